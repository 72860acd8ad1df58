"""Inputs and outputs of components and steps: their types, and what may be written where a value belongs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, cast

from pydantic import Field, ValidationInfo, field_validator

from mlctl.entities.parts import MapTag, Part, TextOrMap, TextTag
from mlctl.entities.values import AnyScalar, Choice, Flag, Scalar, Text, WholeNumber, match_word, refuse

_EXPRESSION = re.compile(r"\$\{\{\s*(?P<path>[^}]*?)\s*\}\}")


class ComponentType(StrEnum):
    """What a component is."""

    COMMAND = "command"
    """One command."""
    PIPELINE = "pipeline"
    """Steps, which are components in turn."""
    PARALLEL = "parallel"
    """A script over the mini-batches of an input; a step only."""


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
    TRITON_MODEL = "triton_model"
    """A model's folder, laid out for Triton."""
    STRING = "string"
    """Text."""
    NUMBER = "number"
    """A number."""
    INTEGER = "integer"
    """A whole number."""
    BOOLEAN = "boolean"
    """true or false."""


MODELS = (PortType.MLFLOW_MODEL, PortType.CUSTOM_MODEL, PortType.TRITON_MODEL)
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


class CommandLimits(Part, frozen=True):
    """How long a command may run."""

    timeout: Annotated[int, WholeNumber(1, 10_000_000)] | None = Field(
        default=None, description="Seconds until the command is ended."
    )


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


# Steps that Azure has and that nothing runs here, with the reason.
_NOT_RUN = {
    "pipeline": "write its steps in place of it: pipelines are not nested here",
    "sweep": "a search for parameters needs many machines; run the command with the values that were found",
    "spark": "there is no Spark cluster here; a command may start Spark in local mode",
    "automl": "AutoML is a service of Azure",
    "data_transfer": "copy the files in a command",
    "import": "there are no connections to databases here; read the rows in a command",
}


@dataclass(frozen=True)
class StepType(Choice):
    """The type of a step; those that are not run here are refused with the reason."""

    def check(self, value: Any) -> StrEnum:
        """Find the type that is meant."""
        word = match_word(value, tuple(_NOT_RUN))
        if word is not None:
            refuse(f"{word} steps are not run by mlctl", _NOT_RUN[word])
        return super().check(value)


StepValue = Annotated[Annotated[Scalar, AnyScalar(), TextTag] | Annotated[StepInput, MapTag], TextOrMap]
StepTarget = Annotated[Annotated[str, Text(), TextTag] | Annotated[StepOutput, MapTag], TextOrMap]


def read_source(given: Any) -> str:
    """Return the text of an input in which expressions may stand: a path, or text."""
    path: Any = given.path if isinstance(given, StepInput) else given
    if isinstance(path, Mapping):
        path = cast("Mapping[str, Any]", path).get("path")
    return path if isinstance(path, str) else ""
