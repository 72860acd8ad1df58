"""Pipeline jobs: steps, or a component of steps, run once with what the file gives them. Source: pipelineJob."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from mlctl.entities.batch_deployment import PipelineSettings
from mlctl.entities.command_job import CommandJob
from mlctl.entities.component import AnyStep, ComponentOrReference, check_steps
from mlctl.entities.parts import Entity, ScalarMap
from mlctl.entities.ports import ComponentType, StepTarget, StepValue
from mlctl.entities.values import AnyMap, AssetName, Choice, ComputeName, Text, match_word, refuse


class PipelineJob(Entity, frozen=True):
    """A job that runs steps."""

    read_only = Entity.read_only | {"status", "services"}
    label = "pipeline job"
    name: Annotated[str, AssetName()] | None = Field(default=None, description="Name of the job.")
    type: Annotated[Literal[ComponentType.PIPELINE], Choice(ComponentType, only=(ComponentType.PIPELINE,))] = Field(
        description="pipeline: steps run."
    )
    display_name: Annotated[str, Text()] | None = Field(default=None, description="Name for people.")
    experiment_name: Annotated[str, Text()] | None = Field(default=None, description="Recorded on the job.")
    description: Annotated[str, Text(may_be_empty=True)] | None = Field(default=None, description="What it is for.")
    tags: ScalarMap = Field(default={}, description="Your own labels: any names and values.")
    properties: ScalarMap = Field(default={}, description="Further values, kept and shown.")
    inputs: Mapping[str, StepValue] = Field(default={}, description="What it is given, by name.")
    outputs: Mapping[str, StepTarget | None] = Field(default={}, description="What it writes, by name.")
    component: ComponentOrReference | None = Field(
        default=None, description="A component whose steps run: its file, a reference or a map; this or jobs."
    )
    jobs: Mapping[str, AnyStep] | None = Field(
        default=None, description="The steps, by name; this or component.", validate_default=True
    )
    settings: PipelineSettings = Field(default=PipelineSettings(), description="How the steps run.")
    compute: Annotated[str, ComputeName()] | None = Field(default=None, description="Where steps run.")
    identity: Annotated[Mapping[str, Any], AnyMap()] | None = Field(default=None, description="Accepted as in az.")

    @field_validator("jobs")
    @classmethod
    def _check_jobs(cls, value: Mapping[str, AnyStep] | None, info: ValidationInfo) -> Mapping[str, AnyStep] | None:
        if "component" not in info.data:
            return value
        if (value is None) == (info.data["component"] is None):
            refuse(
                "is missing, and so is component: one of them is needed"
                if value is None
                else "stands beside component, only one of them is allowed"
            )
        if value is not None:
            check_steps(value, info.data.get("inputs") or {}, info.data.get("outputs") or {})
        return value


def job_class(data: Mapping[str, Any]) -> type[CommandJob] | type[PipelineJob]:
    """Choose the model of a job by its `type`; a command when it says nothing."""
    is_pipeline = match_word(data.get("type"), (ComponentType.PIPELINE,)) is not None
    return PipelineJob if is_pipeline else CommandJob
