"""Samples of Python's own types as schemas of swagger. Used by the types for Python and for pandas."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timezone
from typing import Any, NamedTuple, cast

from mlctl.scoring.schema.parameter_type import AbstractParameterType, Document

DATETIME_FORMAT = "%Y-%m-%d %H:%M:%S.%f %z"
TIME_FORMAT = "%H:%M:%S.%f %z"


class _Form(NamedTuple):
    """How a type is described, and how its sample is written."""

    schema: Document
    write: Callable[[Any], Any]


def _keep(value: Any) -> Any:
    return value


def _write_bytes(value: bytes | bytearray) -> str:
    return base64.b64encode(value).decode()


def _write_datetime(value: datetime) -> str:
    return _in_utc(value).strftime(DATETIME_FORMAT)


def _write_time(value: time) -> str:
    return _in_utc(value).strftime(TIME_FORMAT)


def _in_utc(value: Any) -> Any:
    return value.replace(tzinfo=timezone.utc) if value.tzinfo is None else value


_FORMS: dict[type, _Form] = {
    int: _Form({"type": "integer", "format": "int64"}, _keep),
    bytes: _Form({"type": "string", "format": "byte"}, _write_bytes),
    bytearray: _Form({"type": "string", "format": "byte"}, _write_bytes),
    str: _Form({"type": "string"}, _keep),
    float: _Form({"type": "number", "format": "double"}, _keep),
    bool: _Form({"type": "boolean"}, _keep),
    date: _Form({"type": "string", "format": "date"}, date.isoformat),
    datetime: _Form({"type": "string", "format": "date-time"}, _write_datetime),
    time: _Form({"type": "string", "format": "time"}, _write_time),
}
_OTHER = _Form({"type": "object"}, _keep)


def describe_value(sample: Any) -> Document:
    """Describe a value of any type; one of an unknown type is an object."""
    kind = cast("type[Any]", type(sample))
    if kind in (list, tuple, range):
        return describe_list(sample)
    if kind is dict:
        return describe_object(sample)
    form = _FORMS.get(kind, _OTHER)
    return {**form.schema, "example": form.write(sample)}


def describe_list(sample: Sequence[Any]) -> Document:
    """Describe a list; its last item stands for all. The first says whether they are values or types."""
    is_typed = bool(sample) and isinstance(sample[0], AbstractParameterType)
    described = [item.input_to_swagger() if is_typed else describe_value(item) for item in sample]
    examples = _take_examples(described)
    return {"type": "array", "items": described[-1] if described else {"type": "object"}, "example": examples}


def describe_object(sample: Mapping[str, Any]) -> Document:
    """Describe a dict: all of its keys are required, its values may be types."""
    fields = {
        name: item.input_to_swagger() if isinstance(item, AbstractParameterType) else describe_value(item)
        for name, item in sample.items()
    }
    examples = dict(zip(fields, _take_examples(fields.values()), strict=True))
    return {"type": "object", "required": list(fields), "properties": fields, "example": examples}


def _take_examples(described: Iterable[Document]) -> list[Any]:
    """Take the examples out: they belong to the whole."""
    return [schema.pop("example") for schema in described]
