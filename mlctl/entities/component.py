"""Components as documents describe them: one command, or a pipeline of steps. What pipeline deployments run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Literal, cast

from pydantic import Discriminator, Field, Tag, ValidationInfo, field_validator

from mlctl.entities.deployment import EnvironmentOrReference
from mlctl.entities.parallel_step import PARALLEL_TAG, ParallelStep, is_parallel
from mlctl.entities.parts import MAP_TAG, TEXT_TAG, Entity, MapTag, Part, ScalarMap, TextOrMap, TextTag
from mlctl.entities.ports import (
    CommandLimits,
    ComponentType,
    InputPort,
    OutputPort,
    StepOutput,
    StepTarget,
    StepType,
    StepValue,
    find_expressions,
    read_source,
)
from mlctl.entities.values import (
    AnyMap,
    AssetName,
    Choice,
    ComputeName,
    Flag,
    Text,
    match_word,
    refuse,
)

PIPELINE_TAG = "\x00pipeline"


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
    limits: CommandLimits | None = Field(default=None, description="How long it may run.")
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


StepComponent = Annotated[Annotated[str, Text(), TextTag] | Annotated[CommandComponent, MapTag], TextOrMap]


class Step(Part, frozen=True):
    """A step of a pipeline: a component, or a command written where it is used."""

    type: Annotated[Literal[ComponentType.COMMAND], StepType(ComponentType, only=(ComponentType.COMMAND,))] = Field(
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
    outputs: Mapping[str, StepTarget | None] = Field(
        default={}, description="Where its outputs go, by name; nothing: the job's own folder."
    )
    compute: Annotated[str, ComputeName()] | None = Field(default=None, description="Where it runs.")
    display_name: Annotated[str, Text()] | None = Field(default=None, description="Name for people.")
    description: Annotated[str, Text(may_be_empty=True)] | None = Field(default=None, description="What it is for.")
    resources: Annotated[Mapping[str, Any], AnyMap()] | None = Field(default=None, description="Accepted as in az.")
    limits: CommandLimits | None = Field(default=None, description="How long it may run.")
    distribution: Annotated[Mapping[str, Any], AnyMap()] | None = Field(
        default=None, description="Accepted as in az: one process runs."
    )
    identity: Annotated[Mapping[str, Any], AnyMap()] | None = Field(default=None, description="Accepted as in az.")

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


def choose_step(value: object) -> str:
    """Choose the model of a step by its `type`; a command when it says nothing."""
    return PARALLEL_TAG if isinstance(value, ParallelStep) or is_parallel(value) else MAP_TAG


AnyStep = Annotated[
    Annotated[Step, MapTag] | Annotated[ParallelStep, Tag(PARALLEL_TAG)],
    Discriminator(choose_step),
]


class PipelineComponent(_Component, frozen=True):
    """A component of steps."""

    label = "pipeline component"
    type: Annotated[Literal[ComponentType.PIPELINE], Choice(ComponentType, only=(ComponentType.PIPELINE,))] = Field(
        description="pipeline: its steps run."
    )
    jobs: Mapping[str, AnyStep] = Field(description="The steps, by name.")
    settings: Annotated[Mapping[str, Any], AnyMap()] | None = Field(default=None, description="How the steps run.")

    @field_validator("jobs")
    @classmethod
    def _check_jobs(cls, value: Mapping[str, AnyStep], info: ValidationInfo) -> Mapping[str, AnyStep]:
        check_steps(value, info.data.get("inputs") or {}, info.data.get("outputs") or {})
        return value


def check_steps(steps: Mapping[str, AnyStep], inputs: Mapping[str, Any], outputs: Mapping[str, Any]) -> None:
    """Refuse steps that read or write what is not there. inputs, outputs: the pipeline's own."""
    if not steps:
        refuse("holds no step")
    for name, step in steps.items():
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}", name) is None:
            refuse("is no name of a step: up to 100 letters, digits, _ and -", key=name)
        for port, given in step.inputs.items():
            if fault := _find_source_fault(given, steps, inputs):
                refuse(fault, key=f"{name}.inputs.{port}")
        for port, target in step.outputs.items():
            if fault := _find_target_fault(target, outputs):
                refuse(fault, key=f"{name}.outputs.{port}")
    try:
        order_steps({name: {source for source, _ in list_sources(step.inputs)} for name, step in steps.items()})
    except CycleError as error:
        circle: list[str] = error.args[1]
        refuse(f"the steps wait for each other: {' -> '.join(reversed(circle))}")


def order_steps(after: Mapping[str, Iterable[str]]) -> list[str]:
    """Order steps so that each comes after those that it needs; graphlib's CycleError when there is no such order."""
    return list(TopologicalSorter({name: sorted(needed) for name, needed in after.items()}).static_order())


def list_sources(inputs: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List the steps and outputs that a step's inputs name: ${{parent.jobs.STEP.outputs.NAME}}."""
    found = (path.split(".") for given in inputs.values() for path in find_expressions(read_source(given)))
    return [(words[2], words[4]) for words in found if words[:2] == ["parent", "jobs"] and len(words) == 5]


def find_parent_output(target: Any) -> str | None:
    """Return the pipeline's output that a step's output is: ${{parent.outputs.NAME}}; None for none."""
    words = [path.split(".") for path in find_expressions(read_source(_read_target(target)))]
    return words[0][2] if len(words) == 1 and words[0][:2] == ["parent", "outputs"] and len(words[0]) == 3 else None


def _read_target(target: Any) -> Any:
    return target.path if isinstance(target, StepOutput) else target


def _find_target_fault(target: Any, outputs: Mapping[str, Any]) -> str:
    text = read_source(_read_target(target))
    found = find_expressions(text)
    if not found:
        return ""
    name = find_parent_output(target)
    if name is None:
        return f"${{{{{found[0]}}}}} is not ${{{{parent.outputs.NAME}}}}"
    return "" if name in outputs else f"the pipeline has no output {name}"


def _find_source_fault(given: Any, steps: Mapping[str, AnyStep], inputs: Mapping[str, Any]) -> str:
    """Say why an expression of a step's input names nothing: ${{parent.inputs.N}}, ${{parent.jobs.STEP.outputs.N}}."""
    for path in find_expressions(read_source(given)):
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
