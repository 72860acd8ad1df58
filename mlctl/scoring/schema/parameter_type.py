"""What a parameter of run() is like: the base of all types, and of those that scripts write themselves."""

from __future__ import annotations

import base64
import datetime
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, cast

Document = dict[str, Any]

_ANY_VERSION = ("3.0", "3.1")
_VERSION_2 = "2.0"
_DAY, _MOMENT = "%Y-%m-%d", "%Y-%m-%d %H:%M:%S,%f"


class AbstractParameterType(ABC):
    """A type that is described by a sample. Subclasses convert input, and describe it in terms of swagger."""

    def __init__(self, sample_input: Any) -> None:
        self.sample_input = sample_input
        self.sample_data_type: Any = type(sample_input)

    def supported_versions(self) -> list[str]:
        """Return the versions of swagger that can express the type."""
        schema = self.input_to_swagger()
        if "example" not in schema:
            raise ValueError(f'what input_to_swagger() of {type(self).__name__} returns must have an "example"')
        return [_VERSION_2, *_ANY_VERSION] if _is_alike(schema["example"]) else [*_ANY_VERSION]

    @abstractmethod
    def deserialize_input(self, input_data: Any) -> Any:
        """Convert what was decoded from JSON into what run() is given."""

    @abstractmethod
    def input_to_swagger(self) -> Document:
        """Describe the type; the sample is the `example`."""


def _is_alike(example: Any) -> bool:
    """Say whether the lists in it hold values of one type each: version 2 knows no others."""
    if type(example) is list:
        items = cast("list[Any]", example)
        return all(type(item) is type(items[0]) and (type(item) is not list or _is_alike(item)) for item in items)
    return all(map(_is_alike, cast("dict[Any, Any]", example).values())) if type(example) is dict else True


def list_examples(records: Sequence[Any], schema: Document) -> list[Any]:
    """Write the records of an array or a table as JSON has them. schema: that of one record."""
    return [write_example(record, schema) for record in records]


def write_example(value: Any, schema: Document) -> Any:
    """Write a value as its schema says; one of an unknown kind, a boolean among them, as text."""
    kind = schema["type"]
    if kind == "object":
        return _write_object(value, schema)
    if kind == "array":
        return [write_example(item, schema["items"]) for item in value]
    write: Callable[[Any], Any] = _WRITERS.get((kind, schema.get("format"))) or _WRITERS.get((kind, None), str)
    return write(value)


def _write_object(value: Any, schema: Document) -> Any:
    if "properties" in schema:
        return {name: write_example(value[name], field) for name, field in schema["properties"].items()}
    if "additionalProperties" in schema:
        return {name: write_example(value[name], schema["additionalProperties"]) for name in value}
    return str(value)


def _write_moment(value: Any) -> str:
    pandas: Any = sys.modules.get("pandas")
    is_stamp = pandas is not None and type(value) is pandas.Timestamp
    return (value if is_stamp else value.astype(datetime.datetime)).strftime(_MOMENT)


def _write_day(value: Any) -> str:
    return value.astype(datetime.datetime).strftime(_DAY)


_WRITERS: dict[tuple[str, str | None], Callable[[Any], Any]] = {
    ("number", None): float,
    ("integer", None): int,
    ("string", "date"): _write_day,
    ("string", "date-time"): _write_moment,
    ("string", "binary"): lambda value: base64.b64encode(value).decode(),
}
