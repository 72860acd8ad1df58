"""The kinds of documents: which model reads which, and which schema belongs to it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from mlctl.entities.batch_deployment import (
    BatchDeployment,
    BatchDeploymentType,
    ModelBatchDeployment,
    PipelineBatchDeployment,
)
from mlctl.entities.batch_endpoint import BatchEndpoint
from mlctl.entities.command_job import CommandJob
from mlctl.entities.component import CommandComponent, PipelineComponent
from mlctl.entities.compute import Compute
from mlctl.entities.data import Data
from mlctl.entities.deployment import DeploymentType, KubernetesOnlineDeployment, ManagedOnlineDeployment
from mlctl.entities.endpoint import KubernetesOnlineEndpoint, ManagedOnlineEndpoint
from mlctl.entities.environment import Environment
from mlctl.entities.model import Model
from mlctl.entities.names import schema_file, schema_url
from mlctl.entities.parts import Entity
from mlctl.entities.pipeline_job import PipelineJob, job_class
from mlctl.entities.ports import ComponentType
from mlctl.entities.schedule import Schedule
from mlctl.entities.values import match_word

Family = Literal[
    "endpoint",
    "deployment",
    "model",
    "environment",
    "batch-endpoint",
    "batch-deployment",
    "data",
    "compute",
    "schedule",
    "component",
    "job",
]


@dataclass(frozen=True)
class Kind:
    """A kind of document. name: the schema's, without suffix. when: how a document becomes one of this kind."""

    name: str
    family: Family
    model_class: type[Entity]
    when: str = ""

    @property
    def schema_file(self) -> str:
        """The schema's file name."""
        return schema_file(self.name)

    @property
    def schema_url(self) -> str:
        """The official address to write into `$schema`."""
        return schema_url(self.name)


MANAGED_ENDPOINT = Kind("managedOnlineEndpoint", "endpoint", ManagedOnlineEndpoint, "without compute")
KUBERNETES_ENDPOINT = Kind("kubernetesOnlineEndpoint", "endpoint", KubernetesOnlineEndpoint, "with compute")
MANAGED_DEPLOYMENT = Kind("managedOnlineDeployment", "deployment", ManagedOnlineDeployment, "type: managed")
KUBERNETES_DEPLOYMENT = Kind("kubernetesOnlineDeployment", "deployment", KubernetesOnlineDeployment, "type: kubernetes")
MODEL = Kind("model", "model", Model)
ENVIRONMENT = Kind("environment", "environment", Environment)
BATCH_ENDPOINT = Kind("batchEndpoint", "batch-endpoint", BatchEndpoint)
BATCH_DEPLOYMENT = Kind("batchDeployment", "batch-deployment", BatchDeployment, "without type")
MODEL_BATCH_DEPLOYMENT = Kind("modelBatchDeployment", "batch-deployment", ModelBatchDeployment, "type: model")
PIPELINE_BATCH_DEPLOYMENT = Kind(
    "pipelineComponentBatchDeployment", "batch-deployment", PipelineBatchDeployment, "type: pipeline"
)
DATA = Kind("data", "data", Data)
COMPUTE = Kind("amlCompute", "compute", Compute)
SCHEDULE = Kind("schedule", "schedule", Schedule)
COMMAND_COMPONENT = Kind("commandComponent", "component", CommandComponent, "type: command")
PIPELINE_COMPONENT = Kind("pipelineComponent", "component", PipelineComponent, "type: pipeline")
COMMAND_JOB = Kind("commandJob", "job", CommandJob, "type: command")
PIPELINE_JOB = Kind("pipelineJob", "job", PipelineJob, "type: pipeline")
KINDS = (
    *(MANAGED_ENDPOINT, KUBERNETES_ENDPOINT, MANAGED_DEPLOYMENT, KUBERNETES_DEPLOYMENT, MODEL, ENVIRONMENT),
    *(BATCH_ENDPOINT, BATCH_DEPLOYMENT, MODEL_BATCH_DEPLOYMENT, PIPELINE_BATCH_DEPLOYMENT, DATA, COMPUTE),
    *(SCHEDULE, COMMAND_COMPONENT, PIPELINE_COMPONENT, COMMAND_JOB, PIPELINE_JOB),
)

# Fields that tell nothing about the family, because several have them.
_SHARED = {"name", "version", "description", "tags", "properties", "type", "datastore"}
# What options supply as well: a document without them may still be complete.
_FROM_OPTIONS = {"name", "endpoint_name"}
_CONDA_FIELDS = {"name", "channels", "dependencies", "variables", "prefix"}
# Of two families that know as much of a document, these are meant: `auth_mode` alone is an online endpoint's.
_PREFERRED: tuple[Family, ...] = ("endpoint", "deployment", "model", "environment", "component")
# What a document needs to be whole; one of each.
_SUBSTANCE: Mapping[Family, tuple[str, ...]] = {
    "deployment": ("model", "environment"),
    "batch-deployment": ("model", "code_configuration", "component", "job_definition"),
    "endpoint": ("name",),
}
# `type: WORD` that only one family has.
_TYPES: Mapping[str, Family] = {
    "uri_folder": "data",
    "uri_file": "data",
    "mltable": "data",
    "amlcompute": "compute",
    "local": "compute",
    "dask": "compute",
}


def endpoint_class(data: Mapping[str, Any]) -> type[ManagedOnlineEndpoint] | type[KubernetesOnlineEndpoint]:
    """Choose the model of an endpoint: `compute` makes it Kubernetes, as in Azure."""
    return KubernetesOnlineEndpoint if data.get("compute") is not None else ManagedOnlineEndpoint


def deployment_class(data: Mapping[str, Any]) -> type[ManagedOnlineDeployment] | type[KubernetesOnlineDeployment]:
    """Choose the model of a deployment by its `type`; managed when it says nothing."""
    is_kubernetes = match_word(data.get("type"), (DeploymentType.KUBERNETES,)) is not None
    return KubernetesOnlineDeployment if is_kubernetes else ManagedOnlineDeployment


def batch_endpoint_class(_: Mapping[str, Any]) -> type[BatchEndpoint]:
    """Return the model of a batch endpoint: there is one."""
    return BatchEndpoint


def batch_deployment_class(
    data: Mapping[str, Any],
) -> type[BatchDeployment] | type[ModelBatchDeployment] | type[PipelineBatchDeployment]:
    """Choose the model of a batch deployment by its `type`; the older, flat form when it says nothing."""
    match match_word(data.get("type"), tuple(BatchDeploymentType)):
        case BatchDeploymentType.MODEL:
            return ModelBatchDeployment
        case BatchDeploymentType.PIPELINE:
            return PipelineBatchDeployment
        case _:
            return BatchDeployment


def component_class(data: Mapping[str, Any]) -> type[CommandComponent] | type[PipelineComponent]:
    """Choose the model of a component by its `type`; a command when it says nothing."""
    is_pipeline = match_word(data.get("type"), (ComponentType.PIPELINE,)) is not None
    return PipelineComponent if is_pipeline else CommandComponent


def find_kind_of_class(model_class: type[Entity]) -> Kind | None:
    """Find the kind that a model reads; None for inline models."""
    return next((kind for kind in KINDS if kind.model_class is model_class), None)


def find_kind(data: Mapping[str, Any]) -> Kind | None:
    """Guess the kind of a document when no command says it: by `$schema`, else by its fields; None: cannot tell.

    `$schema` only tells the family; managed or Kubernetes is decided by the fields, as everywhere.
    """
    family = _find_family_by_schema(data.get("$schema")) or _find_family_by_fields(data)
    choose = CHOICES.get(family) if family is not None else None
    return find_kind_of_class(choose(data)) if choose is not None else None


# Family -> how one of its models is chosen.
CHOICES: Mapping[Family, Callable[[Mapping[str, Any]], type[Entity]]] = {
    "endpoint": endpoint_class,
    "deployment": deployment_class,
    "model": lambda _: Model,
    "environment": lambda _: Environment,
    "batch-endpoint": batch_endpoint_class,
    "batch-deployment": batch_deployment_class,
    "data": lambda _: Data,
    "compute": lambda _: Compute,
    "schedule": lambda _: Schedule,
    "component": component_class,
    "job": job_class,
}


def find_other_family(data: Mapping[str, Any], family: Family) -> Family | None:
    """Name the family that a document belongs to when it has nothing of the one it was given for.

    Or when that one does not know all of its fields, and another does.
    """
    by_schema = _find_family_by_schema(data.get("$schema"))
    if {family, by_schema} == {"job", "component"}:
        # They have nearly all fields in common: what the file says itself decides.
        return by_schema
    own = _list_known(family)
    if (own - _SHARED) & data.keys() - _FROM_OPTIONS:
        strange = data.keys() - own
        knowing: list[Family] = [other for other in CHOICES if other != family and data.keys() <= _list_known(other)]
        return knowing[0] if strange and knowing else None
    by_fields = _find_family_by_fields(data)
    if by_fields is not None and _count_known(by_fields, data) <= _count_known(family, data):
        return None
    found = by_fields or by_schema
    return found if found != family else None


def is_conda_file(data: Mapping[str, Any]) -> bool:
    """Say whether a document is no document of Azure's but what an environment's `conda_file` points to."""
    return "dependencies" in data and data.keys() <= _CONDA_FIELDS


def is_complete(data: Mapping[str, Any], kind: Kind) -> bool:
    """Say whether a document describes the whole thing; one that does not is merged into what is there already.

    Names may be missing, options supply them. A deployment is whole when it says what to run: model or environment.
    """
    needed = set(kind.model_class.list_required()) - _FROM_OPTIONS
    if any(data.get(name) is None for name in needed):
        return False
    names = _SUBSTANCE.get(kind.family, ())
    return not names or any(data.get(name) is not None for name in names)


def merge_top_level(base: Mapping[str, Any], partial: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a partial document over a whole one: each of its fields takes the place of the whole field there."""
    return {**base, **{name: value for name, value in partial.items() if name != "$schema"}}


def _find_family_by_schema(schema: object) -> Family | None:
    if not isinstance(schema, str):
        return None
    file = schema.rsplit("/", 1)[-1].lower()
    return next((kind.family for kind in KINDS if kind.schema_file.lower() == file), None)


def _list_known(family: Family) -> set[str]:
    """List the fields that some kind of a family knows, or ignores."""
    classes = [kind.model_class for kind in KINDS if kind.family == family]
    return {name for known in classes for name in (*known.list_fields(), *known.read_only)}


def _count_known(family: Family, data: Mapping[str, Any]) -> int:
    """Count the fields of a document that tell it from other families, for the kind that knows most of them."""
    classes = [kind.model_class for kind in KINDS if kind.family == family]
    return max(len((known.list_fields().keys() - _SHARED) & data.keys()) for known in classes)


def _find_family_by_fields(data: Mapping[str, Any]) -> Family | None:
    word = match_word(data.get("type"), tuple(_TYPES))
    if word is not None:
        return _TYPES[word]
    is_batch = match_word(data.get("type"), tuple(BatchDeploymentType)) is not None
    if is_batch and "jobs" not in data and data.keys() & {"endpoint_name", "settings", "component"}:
        return "batch-deployment"
    if data.keys() & {"command", "jobs"}:
        return "job" if _is_job(data) else "component"
    counts: dict[Family, int] = {family: _count_known(family, data) for family in CHOICES if family != "job"}
    best = max(counts, key=lambda family: counts[family])
    tied: list[Family] = [family for family in counts if counts[family] == counts[best]]
    meant = tied if len(tied) == 1 else list[Family](family for family in tied if family in _PREFERRED)
    return meant[0] if counts[best] > 0 and len(meant) == 1 else None


def _is_job(data: Mapping[str, Any]) -> bool:
    """Say whether what may be a component is a job: it says where to run, or what its inputs are, not their types."""
    if data.keys() & (_list_known("job") - _list_known("component")):
        return True
    inputs = data.get("inputs")
    given: list[Any] = [*cast("dict[Any, Any]", inputs).values()] if isinstance(inputs, dict) else []
    return any("path" in each if isinstance(each, dict) else each is not None for each in given)
