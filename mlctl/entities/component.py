"""Components as documents describe them: one command, or a pipeline of steps. What pipeline deployments run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, cast

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator

from mlctl.entities.deployment import EnvironmentOrReference
from mlctl.entities.parts import MAP_TAG, TEXT_TAG, Entity, MapTag, Part, ScalarMap, TextOrMap, TextTag
from mlctl.entities.values import (
    AnyMap,
    AnyScalar,
    AssetName,
    Choice,
    ComputeName,
    Flag,
    Scalar,
    Text,
    match_word,
    refuse,
)

PIPELINE_TAG = "\x00pipeline"
_EXPRESSION = re.compile(r"\$\{\{\s*(?P<path>[^}]*?)\s*\}\}")


class ComponentType(StrEnum):
    """What a component is."""

    COMMAND = "command"
    """One command."""
    PIPELINE = "pipeline"
    """Steps, which are components in turn."""


class PortType(StrEnum):
    """What an input or an output is."""

    URI_FILE = "uri_file"
    """A file."""
    URI_FOLDER = "uri_folder"
    """A folder."""
    MLTABLE = "mltable"
    """A folder that an MLTable file describes."""
    MLFLOW_MODEL = "mlflow_model"
    """A folder with an MLmodel file."""
    CUSTOM_MODEL = "custom_model"
    """A model's file or folder."""
    STRING = "string"
    """Text."""
    NUMBER = "number"
    """A number."""
    INTEGER = "integer"
    """A whole number."""
    BOOLEAN = "boolean"
    """true or false."""


LITERALS = (PortType.STRING, PortType.NUMBER, PortType.INTEGER, PortType.BOOLEAN)
_DATA = tuple(member for member in PortType if member not in LITERALS)


class InputPort(Part, frozen=True):
    """What a component is given: data or a literal."""

    type: Annotated[PortType, Choice(PortType)] = Field(description="What it is.", examples=["uri_folder"])
    description: Annotated[str, Text(may_be_empty=True)] | None = Field(default=None, description="What it is for.")
    optional: Annotated[bool, Flag()] = Field(default=False, description="Whether it may be left out.")
    default: Annotated[Scalar, AnyScalar()] = Field(default=None, description="Its value when it is left out.")
    min: Annotated[Scalar, AnyScalar()] = Field(default=None, description="The least number.")
    max: Annotated[Scalar, AnyScalar()] = Field(default=None, description="The largest number.")
    enum: list[Annotated[Scalar, AnyScalar()]] | None = Field(default=None, description="The only values.")
    mode: Annotated[str, Text()] | None = Field(default=None, description="How data is reached.")

    @field_validator("default")
    @classmethod
    def _check_default(cls, value: Scalar, info: ValidationInfo) -> Scalar:
        kind = info.data.get("type")
        if value is not None and kind is not None and not fits(kind, value):
            refuse(f"{value!r} is no {kind}")
        return value


class OutputPort(Part, frozen=True):
    """What a component writes."""

    type: Annotated[PortType, Choice(PortType, only=_DATA)] = Field(
        default=PortType.URI_FOLDER, description="What it is."
    )
    description: Annotated[str, Text(may_be_empty=True)] | None = Field(default=None, description="What it is for.")
    mode: Annotated[str, Text()] | None = Field(default=None, description="How it is written.")
    path: Annotated[str, Text()] | None = Field(default=None, description="Where it is kept.")


def fits(kind: PortType, value: Any) -> bool:
    """Say whether a literal is of a port's type; a path is for data."""
    match kind:
        case PortType.BOOLEAN:
            return isinstance(value, bool) or str(value).lower() in ("true", "false")
        case PortType.INTEGER:
            return not isinstance(value, bool) and re.fullmatch(r"[+-]?\d+", str(value)) is not None
        case PortType.NUMBER:
            return not isinstance(value, bool) and _is_number(str(value))
        case _:
            return isinstance(value, str) or kind is PortType.STRING


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


class _Component(Entity, frozen=True):
    """What all components have in common."""

    name: Annotated[str, AssetName()] | None = Field(default=None, description="Name of the component.")
    version: Annotated[str, AssetName(is_version=True)] | None = Field(
        default=None, description="Version; the next number if left out."
    )
    display_name: Annotated[str, Text()] | None = Field(default=None, description="Name for people.")
    description: Annotated[str, Text(may_be_empty=True)] | None = Field(default=None, description="What it is for.")
    tags: ScalarMap = Field(default={}, description="Your own labels: any names and values.")
    properties: ScalarMap = Field(default={}, description="Further values, kept and shown.")
    inputs: Mapping[str, InputPort] = Field(default={}, description="What it is given, by name.")
    outputs: Mapping[str, OutputPort] = Field(default={}, description="What it writes, by name.")
    is_deterministic: Annotated[bool, Flag()] = Field(
        default=True, description="Whether the same input gives the same output."
    )


class CommandComponent(_Component, frozen=True):
    """A component that runs one command."""

    label = "command component"
    type: Annotated[Literal[ComponentType.COMMAND], Choice(ComponentType, only=(ComponentType.COMMAND,))] = Field(
        default=ComponentType.COMMAND, description="command: one command runs."
    )
    command: Annotated[str, Text()] = Field(
        description="The command line; ${{inputs.NAME}} and ${{outputs.NAME}} are filled in.",
        examples=["python prep.py --data ${{inputs.data}} --out ${{outputs.out}}"],
    )
    code: Annotated[str, Text()] | None = Field(default=None, description="Folder of the code.", examples=["./src"])
    environment: EnvironmentOrReference | None = Field(
        default=None, description="What is installed: a reference or a map."
    )
    environment_variables: ScalarMap = Field(default={}, description="Variables for the command.")
    resources: Annotated[Mapping[str, Any], AnyMap()] | None = Field(default=None, description="Accepted as in az.")
    limits: Annotated[Mapping[str, Any], AnyMap()] | None = Field(default=None, description="Accepted as in az.")
    distribution: Annotated[Mapping[str, Any], AnyMap()] | None = Field(
        default=None, description="Accepted as in az: one process runs."
    )

    @field_validator("command")
    @classmethod
    def _check_expressions(cls, value: str, info: ValidationInfo) -> str:
        ports: dict[str, Any] = {"inputs": info.data.get("inputs"), "outputs": info.data.get("outputs")}
        for path in find_expressions(value):
            side, _, name = path.partition(".")
            known: Any = ports.get(side, ())
            if known is not None and name not in known:
                shown = ", ".join(f"${{{{{side}.{name}}}}}" for side, found in ports.items() for name in found or ())
                refuse(f"${{{{{path}}}}} names no input and no output", f"there are {shown}" if shown else "")
        return value


def find_expressions(text: str) -> list[str]:
    """List what stands between `${{` and `}}`."""
    return [match["path"] for match in _EXPRESSION.finditer(text)]


class StepInput(Part, frozen=True):
    """Data that a step is given."""

    type: Annotated[PortType, Choice(PortType)] | None = Field(default=None, description="What it is.")
    path: Annotated[str, Text()] | None = Field(default=None, description="Where it is.")
    mode: Annotated[str, Text()] | None = Field(default=None, description="How it is reached.")
    value: Annotated[Scalar, AnyScalar()] = Field(default=None, description="A literal.")


class StepOutput(Part, frozen=True):
    """Where a step's output is kept."""

    type: Annotated[PortType, Choice(PortType, only=_DATA)] | None = Field(default=None, description="What it is.")
    path: Annotated[str, Text()] | None = Field(default=None, description="Where it is kept.")
    mode: Annotated[str, Text()] | None = Field(default=None, description="How it is written.")


StepValue = Annotated[Annotated[Scalar, AnyScalar(), TextTag] | Annotated[StepInput, MapTag], TextOrMap]
StepTarget = Annotated[Annotated[str, Text(), TextTag] | Annotated[StepOutput, MapTag], TextOrMap]
StepComponent = Annotated[Annotated[str, Text(), TextTag] | Annotated[CommandComponent, MapTag], TextOrMap]


class Step(Part, frozen=True):
    """A step of a pipeline: a component, or a command written where it is used."""

    type: Annotated[Literal[ComponentType.COMMAND], Choice(ComponentType, only=(ComponentType.COMMAND,))] = Field(
        default=ComponentType.COMMAND, description="command: one command runs."
    )
    component: StepComponent | None = Field(
        default=None, description="The component: its file, a reference or a map; this or command."
    )
    command: Annotated[str, Text()] | None = Field(
        default=None, description="The command line; this or component.", validate_default=True
    )
    code: Annotated[str, Text()] | None = Field(default=None, description="Folder of the code.")
    environment: EnvironmentOrReference | None = Field(default=None, description="What is installed.")
    environment_variables: ScalarMap = Field(default={}, description="Variables for the command.")
    inputs: Mapping[str, StepValue] = Field(default={}, description="What it is given, by name.")
    outputs: Mapping[str, StepTarget] = Field(default={}, description="Where its outputs go, by name.")
    compute: Annotated[str, ComputeName()] | None = Field(default=None, description="Where it runs.")
    display_name: Annotated[str, Text()] | None = Field(default=None, description="Name for people.")
    description: Annotated[str, Text(may_be_empty=True)] | None = Field(default=None, description="What it is for.")
    resources: Annotated[Mapping[str, Any], AnyMap()] | None = Field(default=None, description="Accepted as in az.")
    limits: Annotated[Mapping[str, Any], AnyMap()] | None = Field(default=None, description="Accepted as in az.")

    @field_validator("command")
    @classmethod
    def _check_command(cls, value: str | None, info: ValidationInfo) -> str | None:
        if "component" not in info.data:
            return value
        if (value is None) == (info.data["component"] is None):
            refuse(
                "is missing, and so is component: one of them is needed"
                if value is None
                else "stands beside component, only one of them is allowed"
            )
        return value


class PipelineComponent(_Component, frozen=True):
    """A component of steps."""

    label = "pipeline component"
    type: Annotated[Literal[ComponentType.PIPELINE], Choice(ComponentType, only=(ComponentType.PIPELINE,))] = Field(
        description="pipeline: its steps run."
    )
    jobs: Mapping[str, Step] = Field(description="The steps, by name.")
    settings: Annotated[Mapping[str, Any], AnyMap()] | None = Field(default=None, description="How the steps run.")

    @field_validator("jobs")
    @classmethod
    def _check_jobs(cls, value: Mapping[str, Step], info: ValidationInfo) -> Mapping[str, Step]:
        if not value:
            refuse("holds no step")
        inputs: Mapping[str, Any] = info.data.get("inputs") or {}
        for name, step in value.items():
            for port, given in step.inputs.items():
                fault = _find_source_fault(given, value, inputs)
                if fault:
                    refuse(fault, key=f"{name}.inputs.{port}")
        return value


def _find_source_fault(given: Any, steps: Mapping[str, Step], inputs: Mapping[str, Any]) -> str:
    """Say why an expression of a step's input names nothing: ${{parent.inputs.N}}, ${{parent.jobs.STEP.outputs.N}}."""
    text: Any = given.path if isinstance(given, StepInput) else given
    for path in find_expressions(text) if isinstance(text, str) else ():
        words = path.split(".")
        if words[:2] == ["parent", "inputs"] and len(words) == 3:
            if words[2] not in inputs:
                return f"the pipeline has no input {words[2]}"
        elif words[:2] == ["parent", "jobs"] and len(words) == 5 and words[3] == "outputs":
            if words[2] not in steps:
                return f"the pipeline has no step {words[2]}"
        else:
            return f"${{{{{path}}}}} is neither ${{{{parent.inputs.NAME}}}} nor ${{{{parent.jobs.STEP.outputs.NAME}}}}"
    return ""


def choose_component(value: object) -> str:
    """Choose the half of a union by `type`: text, a command's map, a pipeline's map."""
    if isinstance(value, PipelineComponent):
        return PIPELINE_TAG
    if not isinstance(value, Mapping | Part):
        return TEXT_TAG
    fields = cast("Mapping[str, Any]", value if isinstance(value, Mapping) else {})
    return PIPELINE_TAG if match_word(fields.get("type"), (ComponentType.PIPELINE,)) else MAP_TAG


ComponentOrReference = Annotated[
    Annotated[str, Text(), TextTag]
    | Annotated[CommandComponent, MapTag]
    | Annotated[PipelineComponent, Tag(PIPELINE_TAG)],
    Discriminator(choose_component),
]
