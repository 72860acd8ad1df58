"""Command jobs: one command line, run once in its environment. Source: Azure ML CLI v2, commandJob."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator

from mlctl.entities.deployment import EnvironmentOrReference
from mlctl.entities.parts import Entity, ScalarMap
from mlctl.entities.ports import CommandLimits, ComponentType, StepTarget, StepType, StepValue, find_expressions
from mlctl.entities.values import AnyMap, AssetName, Text, refuse


class CommandJob(Entity, frozen=True):
    """A job that runs one command."""

    read_only = Entity.read_only | {"status", "log_files"}
    label = "command job"
    name: Annotated[str, AssetName()] | None = Field(default=None, description="Name of the job.")
    type: Annotated[Literal[ComponentType.COMMAND], StepType(ComponentType, only=(ComponentType.COMMAND,))] = Field(
        default=ComponentType.COMMAND, description="command: one command runs."
    )
    display_name: Annotated[str, Text()] | None = Field(default=None, description="Name for people.")
    experiment_name: Annotated[str, Text()] | None = Field(default=None, description="Recorded on the job.")
    description: Annotated[str, Text(may_be_empty=True)] | None = Field(default=None, description="What it is for.")
    tags: ScalarMap = Field(default={}, description="Your own labels: any names and values.")
    properties: ScalarMap = Field(default={}, description="Further values, kept and shown.")
    inputs: Mapping[str, StepValue] = Field(default={}, description="What it is given, by name.")
    outputs: Mapping[str, StepTarget | None] = Field(default={}, description="What it writes, by name.")
    command: Annotated[str, Text()] = Field(
        description="The command line; ${{inputs.NAME}} and ${{outputs.NAME}} are filled in.",
        examples=["python train.py --data ${{inputs.data}}"],
    )
    code: Annotated[str, Text()] | None = Field(default=None, description="Folder of the code.", examples=["./src"])
    environment: EnvironmentOrReference | None = Field(
        default=None, description="What is installed: a reference or a map."
    )
    environment_variables: ScalarMap = Field(default={}, description="Variables for the command.")
    compute: Annotated[str, Text()] | None = Field(default=None, description="Accepted as in az: it runs here.")
    resources: Annotated[Mapping[str, Any], AnyMap()] | None = Field(default=None, description="Accepted as in az.")
    distribution: Annotated[Mapping[str, Any], AnyMap()] | None = Field(
        default=None, description="Accepted as in az: one process runs."
    )
    limits: CommandLimits | None = Field(default=None, description="How long it may run.")
    services: Annotated[Mapping[str, Any], AnyMap()] | None = Field(default=None, description="Accepted as in az.")
    identity: Annotated[Mapping[str, Any], AnyMap()] | None = Field(default=None, description="Accepted as in az.")

    @field_validator("command")
    @classmethod
    def _check_expressions(cls, value: str, info: ValidationInfo) -> str:
        for path in find_expressions(value):
            side, _, name = path.partition(".")
            known: Any = info.data.get(side, ()) if side in ("inputs", "outputs") else ()
            if known is not None and name not in known and (side, name) != ("outputs", "default"):
                refuse(f"${{{{{path}}}}} names no input and no output of this job")
        return value
