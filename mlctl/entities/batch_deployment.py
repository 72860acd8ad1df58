"""Batch deployments as documents describe them, in Azure's three forms; `normalize` makes two of them one.

Source: az's surface 3.6, batch contract 3 and 10.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator

from mlctl.entities.batch_extensions import check_batch_extensions
from mlctl.entities.component import ComponentOrReference
from mlctl.entities.deployment import EnvironmentOrReference, ModelOrReference
from mlctl.entities.deployment_settings import CodeConfiguration
from mlctl.entities.parts import Entity, Part, ScalarMap
from mlctl.entities.values import (
    AnyMap,
    AssetName,
    Choice,
    ComputeName,
    FileName,
    Flag,
    Name,
    Text,
    WholeNumber,
    refuse,
)

DEFAULT_FILE = "predictions.csv"
LOCAL = "local"
Count = Annotated[int, WholeNumber(1, 1000)]
Threshold = Annotated[int, WholeNumber(-1, 2**31 - 1)]
_ONLINE = "online deployments have it; here instances stand under resources: {instance_count: 2}"


class OutputAction(StrEnum):
    """What becomes of the results of run()."""

    APPEND_ROW = "append_row"
    """All of them are put together in one file."""
    SUMMARY_ONLY = "summary_only"
    """They are counted; the script writes what it wants to keep."""


class LoggingLevel(StrEnum):
    """How much the workers' logs hold."""

    DEBUG = "debug"
    """Everything."""
    INFO = "info"
    """What happens."""
    WARNING = "warning"
    """What goes wrong."""


class BatchDeploymentType(StrEnum):
    """What an invocation runs."""

    MODEL = "model"
    """A scoring script over the input, in mini-batches."""
    PIPELINE = "pipeline"
    """A component's steps."""


class RetrySettings(Part, frozen=True):
    """Tries of a mini-batch."""

    max_retries: Annotated[int, WholeNumber(0, 1000)] = Field(
        default=3, description="Further tries of a mini-batch that failed or took too long."
    )
    timeout: Annotated[int, WholeNumber(1, 259_200)] = Field(
        default=30, description="Seconds that a call of run() may take."
    )


class BatchResources(Part, frozen=True):
    """What a job runs on."""

    instance_count: Count | None = Field(
        default=None, description="Instances, 1 if left out; each has max_concurrency_per_instance workers."
    )
    instance_type: Annotated[str, Text()] | None = Field(default=None, description="Size of an instance.")
    properties: Annotated[Mapping[str, Any], AnyMap()] | None = Field(default=None, description="Further values.")
    shm_size: Annotated[str, Text()] | None = Field(default=None, description="Shared memory of a container.")
    docker_args: Annotated[str, Text()] | None = Field(default=None, description="Arguments for containers.")


class BatchSettings(Part, frozen=True):
    """How a job cuts its input, runs the script, and writes the results."""

    mini_batch_size: Annotated[int, WholeNumber(1, 10**9)] = Field(
        default=10, description="Files, or rows of a table, in a call of run()."
    )
    max_concurrency_per_instance: Count = Field(default=1, description="Worker processes of an instance.")
    output_action: Annotated[OutputAction, Choice(OutputAction)] = Field(
        default=OutputAction.APPEND_ROW, description="What becomes of the results of run()."
    )
    output_file_name: Annotated[str, FileName()] = Field(
        default=DEFAULT_FILE, description="The file that holds the results, with append_row."
    )
    retry_settings: RetrySettings = Field(
        default=RetrySettings(), description="How often and how long a mini-batch is tried."
    )
    error_threshold: Threshold = Field(
        default=-1, description="Failed items (files, or rows of tables) that are accepted; -1: any number."
    )
    mini_batch_error_threshold: Threshold | None = Field(
        default=None, description="Failed mini-batches that are accepted, -1: any number; not in Azure's files."
    )
    logging_level: Annotated[LoggingLevel, Choice(LoggingLevel)] = Field(
        default=LoggingLevel.INFO, description="How much the workers' logs hold."
    )
    environment_variables: ScalarMap = Field(
        default={}, description="Variables for the scoring script; values reach it as text."
    )
    instance_count: Count | None = Field(default=None, description="Instances; resources.instance_count, too.")

    @field_validator("output_file_name")
    @classmethod
    def _check_file_name(cls, value: str, info: ValidationInfo) -> str:
        if value != DEFAULT_FILE and info.data.get("output_action") is OutputAction.SUMMARY_ONLY:
            refuse("stands beside output_action: summary_only, which writes no such file", "remove one of the two")
        return value


class _Deployment(Entity, frozen=True):
    """What all batch deployments have in common."""

    read_only = Entity.read_only | {"provisioning_error"}
    name: Annotated[str, AssetName()] = Field(description="Name of the deployment.", examples=["classic"])
    endpoint_name: Annotated[str, Name()] = Field(
        description="The batch endpoint it belongs to; -e sets it too.", examples=["fraud-batch"]
    )
    description: Annotated[str, Text(may_be_empty=True)] | None = Field(default=None, description="What it is for.")
    tags: ScalarMap = Field(default={}, description="Your own labels: any names and values.")
    properties: ScalarMap = Field(default={}, description="Further values, kept and shown; mlctl's own settings.")

    @field_validator("properties")
    @classmethod
    def _check_properties(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        check_batch_extensions(value)
        return value


class _ScriptDeployment(_Deployment, frozen=True):
    """A model, its code and environment."""

    misplaced: ClassVar[Mapping[str, str]] = {"instance_type": _ONLINE, "request_settings": "run() has no requests"}
    model: ModelOrReference | None = Field(
        default=None,
        description="The model: a reference (azureml:NAME:VERSION) or a map.",
        examples=["azureml:fraud-model:3"],
    )
    code_configuration: CodeConfiguration | None = Field(default=None, description="The scoring script.")
    environment: EnvironmentOrReference | None = Field(
        default=None, description="What is installed: a reference or a map.", examples=["azureml:fraud-infer:2"]
    )
    environment_variables: ScalarMap = Field(
        default={}, description="Variables for the scoring script; values reach it as text."
    )
    compute: Annotated[str, ComputeName()] = Field(
        default=LOCAL, description="Where jobs run: azureml:NAME, or local: worker processes of this machine."
    )
    resources: BatchResources = Field(default=BatchResources(), description="How many instances a job runs on.")


def _refuse_two_counts(settings: BatchSettings, info: ValidationInfo, *, key: str) -> None:
    resources: Any = info.data.get("resources")
    is_given = isinstance(resources, BatchResources) and resources.instance_count is not None
    if is_given and settings.instance_count is not None:
        refuse("stands beside resources.instance_count, only one of them is allowed", key=key)


class ModelBatchDeployment(_ScriptDeployment, frozen=True):
    """A batch deployment of a script, with its settings in a block of their own."""

    label = "model batch deployment"
    type: Annotated[
        Literal[BatchDeploymentType.MODEL], Choice(BatchDeploymentType, only=(BatchDeploymentType.MODEL,))
    ] = Field(description="model: a scoring script runs over the input.")
    settings: BatchSettings = Field(default=BatchSettings(), description="How a job runs.")
    error_threshold: Threshold | None = Field(
        default=None, description="As settings.error_threshold, which wins; Azure ignores it here."
    )

    @field_validator("settings")
    @classmethod
    def _check_settings(cls, value: BatchSettings, info: ValidationInfo) -> BatchSettings:
        _refuse_two_counts(value, info, key="instance_count")
        return value


class BatchDeployment(_ScriptDeployment, BatchSettings, frozen=True):
    """A batch deployment of a script, with its settings at the top level: Azure's older form, and how it is shown."""

    label = "batch deployment"
    type: ClassVar[str] = ""

    @field_validator("resources")
    @classmethod
    def _check_counts(cls, value: BatchResources, info: ValidationInfo) -> BatchResources:
        if info.data.get("instance_count") is not None and value.instance_count is not None:
            refuse("instance_count stands at the top level as well, only one of them is allowed", key="instance_count")
        return value


class PipelineSettings(Part, frozen=True):
    """How a component's steps run."""

    default_compute: Annotated[str, ComputeName()] | None = Field(
        default=None, description="Where steps run that name no compute of their own."
    )
    default_datastore: Annotated[str, Text()] | None = Field(default=None, description="Where outputs go.")
    continue_on_step_failure: Annotated[bool, Flag()] | None = Field(
        default=None, description="Whether steps that need nothing of a failed one run."
    )
    force_rerun: Annotated[bool, Flag()] | None = Field(
        default=None, description="Whether steps run that have run before with the same code and input."
    )
    experiment_name: Annotated[str, Text()] | None = Field(default=None, description="Recorded on its jobs.")


class PipelineBatchDeployment(_Deployment, frozen=True):
    """A batch deployment of a component: an invocation runs its steps."""

    label = "pipeline batch deployment"
    type: Annotated[
        Literal[BatchDeploymentType.PIPELINE], Choice(BatchDeploymentType, only=(BatchDeploymentType.PIPELINE,))
    ] = Field(description="pipeline: a component's steps run.")
    job_definition: Annotated[str, Text()] | None = Field(
        default=None, description="A job that is run again (azureml:JOB); this or component.", examples=["azureml:JOB"]
    )
    component: ComponentOrReference | None = Field(
        default=None,
        description="The component: its file, a reference (azureml:NAME:VERSION) or a map; this or job_definition.",
        validate_default=True,
    )
    settings: PipelineSettings = Field(default=PipelineSettings(), description="How the steps run.")

    @field_validator("component")
    @classmethod
    def _check_component(cls, value: Any, info: ValidationInfo) -> Any:
        if "job_definition" not in info.data:
            return value
        if value is not None and info.data["job_definition"] is not None:
            refuse("stands beside job_definition, only one of them is allowed")
        if value is None and info.data["job_definition"] is None:
            refuse("is missing, and so is job_definition: one of them is needed", "for example ./component.yml")
        return value


# The fields that Azure's newer form has in a block of their own.
SETTINGS = tuple(name for name in BatchSettings.list_fields() if name != "environment_variables")
AnyBatchDeployment = BatchDeployment | ModelBatchDeployment | PipelineBatchDeployment


def normalize(entity: AnyBatchDeployment) -> dict[str, Any]:
    """Render a deployment as it is kept and shown: settings at the top level, whatever form the document had."""
    if isinstance(entity, PipelineBatchDeployment):
        return entity.to_document()
    document = entity.to_document()
    if isinstance(entity, ModelBatchDeployment):
        settings: dict[str, Any] = document.pop("settings")
        if entity.error_threshold is not None and "error_threshold" not in entity.settings.model_fields_set:
            settings["error_threshold"] = entity.error_threshold
        variables = {**document["environment_variables"], **settings["environment_variables"]}
        document = {**document, **settings, "environment_variables": variables}
    document.pop("type", None)
    count = document.pop("instance_count", 1)
    document["resources"] = {"instance_count": count, **document["resources"]}
    if document["output_action"] == OutputAction.SUMMARY_ONLY:
        document.pop("output_file_name", None)
    return document


def with_settings(document: Mapping[str, Any]) -> dict[str, Any]:
    """Render what `normalize` made in the form that has a block of settings."""
    above = {name: value for name, value in document.items() if name not in SETTINGS}
    settings = {name: document[name] for name in SETTINGS if name in document}
    return {**above, "type": str(BatchDeploymentType.MODEL), "settings": settings}
