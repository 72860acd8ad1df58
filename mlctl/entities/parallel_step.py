"""Steps of `type: parallel`: a script's run() over the mini-batches of one input. Source: batch contract 11."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import Field, ValidationInfo, field_validator

from mlctl.entities.environment import InlineEnvironment
from mlctl.entities.parts import MapTag, Part, ScalarMap, TextOrMap, TextTag
from mlctl.entities.ports import ComponentType, StepTarget, StepValue, find_expressions
from mlctl.entities.values import (
    AnyMap,
    Choice,
    ComputeName,
    ReferenceText,
    Text,
    Value,
    WholeNumber,
    match_word,
    refuse,
)

PARALLEL_TAG = "\x00parallel"
_ENVIRONMENT = Annotated[
    Annotated[str, ReferenceText("environment"), TextTag] | Annotated[InlineEnvironment, MapTag], TextOrMap
]


def is_parallel(value: object) -> bool:
    """Say whether a document's step is of `type: parallel`."""
    if not isinstance(value, Mapping):
        return False
    return match_word(cast("Mapping[str, Any]", value).get("type"), (ComponentType.PARALLEL,)) is not None


@dataclass(frozen=True)
class MiniBatchSize(Value):
    """Files, or rows, in a call of run(): a whole number, which Azure wants as text."""

    def check(self, value: Any) -> int:
        """Refuse sizes in bytes: tables are cut by rows here."""
        text = str(value).strip()
        if text.isdecimal() and not isinstance(value, bool) and 1 <= int(text) <= 10**9:
            return int(text)
        is_in_bytes = text[:1].isdecimal() and text.lower().endswith("b")
        refuse(f'"{value}" is not a whole number', "tables are cut by rows, not by bytes" if is_in_bytes else "")

    def json_schema(self) -> dict[str, Any]:
        """Describe both forms."""
        return {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^ *[1-9][0-9]{0,9} *$"}]}


class ParallelRetries(Part, frozen=True):
    """Tries of a mini-batch."""

    max_retries: Annotated[int, WholeNumber(0, 1000)] = Field(
        default=2, description="Further tries of a mini-batch that failed or took too long."
    )
    timeout: Annotated[int, WholeNumber(1, 259_200)] = Field(
        default=60, description="Seconds that a call of run() may take."
    )


class ParallelResources(Part, frozen=True):
    """What it runs on."""

    instance_count: Annotated[int, WholeNumber(1, 1000)] = Field(
        default=1, description="Instances; each has max_concurrency_per_instance workers."
    )
    instance_type: Annotated[str, Text()] | None = Field(default=None, description="Accepted as in az.")
    properties: Annotated[Mapping[str, Any], AnyMap()] | None = Field(default=None, description="Accepted as in az.")


class ParallelTask(Part, frozen=True):
    """The script."""

    type: Annotated[str, Text()] = Field(
        default="run_function", description="run_function: a script's run() is called."
    )
    code: Annotated[str, Text()] = Field(description="Folder of the code.", examples=["./src"])
    entry_script: Annotated[str, Text()] = Field(description="The script in it.", examples=["score.py"])
    program_arguments: Annotated[str, Text(may_be_empty=True)] | None = Field(
        default=None,
        description="What the script finds in sys.argv; ${{inputs.NAME}} and ${{outputs.NAME}} are filled in.",
    )
    append_row_to: Annotated[str, Text()] | None = Field(
        default=None,
        description="The output for what run() returns: ${{outputs.NAME}}; results are only counted without.",
    )
    environment: _ENVIRONMENT | None = Field(default=None, description="What is installed: a reference or a map.")


class ParallelStep(Part, frozen=True):
    """A step that runs a script over an input, in mini-batches."""

    misplaced: ClassVar[Mapping[str, str]] = {
        "partition_keys": "tables are cut by rows here, not by the values of columns"
    }
    type: Annotated[Literal[ComponentType.PARALLEL], Choice(ComponentType, only=(ComponentType.PARALLEL,))] = Field(
        description="parallel: a script's run() is called for each mini-batch."
    )
    task: ParallelTask = Field(description="The script whose run() is called, and what it needs.")
    inputs: Mapping[str, StepValue] = Field(default={}, description="What it is given, by name.")
    outputs: Mapping[str, StepTarget | None] = Field(
        default={}, description="Where its outputs go, by name; nothing: the job's own folder."
    )
    input_data: Annotated[str, Text()] = Field(
        description="The input that is cut into mini-batches.", examples=["${{inputs.rows}}"]
    )
    mini_batch_size: Annotated[int, MiniBatchSize()] = Field(
        default=1, description="Files, or rows, in a call of run()."
    )
    max_concurrency_per_instance: Annotated[int, WholeNumber(1, 1000)] = Field(
        default=1, description="Worker processes of an instance."
    )
    resources: ParallelResources = Field(default=ParallelResources(), description="How many instances it runs on.")
    retry_settings: ParallelRetries = Field(
        default=ParallelRetries(), description="How often and how long a mini-batch is tried."
    )
    error_threshold: Annotated[int, WholeNumber(-1, 2**31 - 1)] = Field(
        default=-1, description="Failed items (files, or rows of tables) that are accepted; -1: any number."
    )
    mini_batch_error_threshold: Annotated[int, WholeNumber(-1, 2**31 - 1)] = Field(
        default=-1, description="Failed mini-batches that are accepted; -1: any number."
    )
    logging_level: Annotated[str, Text()] = Field(default="INFO", description="How much the workers' logs hold.")
    environment_variables: ScalarMap = Field(default={}, description="Variables for the script.")
    compute: Annotated[str, ComputeName()] | None = Field(default=None, description="Where it runs.")
    display_name: Annotated[str, Text()] | None = Field(default=None, description="Name for people.")
    description: Annotated[str, Text(may_be_empty=True)] | None = Field(default=None, description="What it is for.")
    identity: Annotated[Mapping[str, Any], AnyMap()] | None = Field(default=None, description="Accepted as in az.")

    @field_validator("input_data")
    @classmethod
    def _check_input(cls, value: str, info: ValidationInfo) -> str:
        _check_name(value, "inputs", info.data.get("inputs"))
        return value

    @field_validator("outputs")
    @classmethod
    def _check_outputs(cls, value: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
        task: Any = info.data.get("task")
        if isinstance(task, ParallelTask) and task.append_row_to is not None:
            _check_name(task.append_row_to, "outputs", value)
        return value


def read_port(text: str) -> str:
    """Return the name of an input or an output that an expression stands for: ${{inputs.NAME}}; empty for others."""
    found = find_expressions(text)
    return found[0].partition(".")[2] if len(found) == 1 else ""


def _check_name(text: str, side: str, known: Any) -> None:
    name = read_port(text)
    if find_expressions(text) != [f"{side}.{name}"]:
        refuse(f'"{text}" is not ${{{{{side}.NAME}}}}')
    if known is not None and name not in known:
        refuse(f"the step has no {side[:-1]} {name}", f"there are: {', '.join(known)}" if known else "")
