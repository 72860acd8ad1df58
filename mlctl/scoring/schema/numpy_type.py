"""`NumpyParameterType`: a parameter that is an array. numpy is imported when a script makes one."""

from __future__ import annotations

import importlib
from typing import Any, cast

from mlctl.scoring.schema.parameter_type import AbstractParameterType, Document, list_examples

_KINDS: dict[str, Document] = {
    **{
        f"{sign}int{bits}": {"type": "integer", "format": f"{sign}int{bits}"}
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
    "bool": {"type": "boolean"},
    "float16": {"type": "number", "format": "float"},
    "float32": {"type": "number", "format": "float"},
    "float64": {"type": "number", "format": "double"},
    "object": {"type": "object"},
}
_FAMILIES: dict[str, Document] = {
    "datetime": {"type": "string", "format": "date-time"},
    "str": {"type": "string"},
    "bytes": {"type": "string", "format": "binary"},
    "void": {"type": "string", "format": "binary"},
    "timedelta": {"type": "string", "format": "timedelta"},
}
_UNITS = {
    "years": "Y",
    "months": "M",
    "weeks": "W",
    "days": "D",
    "hours": "h",
    "minutes": "m",
    "seconds": "s",
    "milliseconds": "ms",
    "microseconds": "us",
    "nanoseconds": "ns",
    "picoseconds": "ps",
    "femtoseconds": "fs",
    "attoseconds": "as",
}


class NumpyParameterType(AbstractParameterType):
    """An array with the sample's dtype and shape, but for the first dimension; both can be switched off."""

    def __init__(self, sample_input: Any, enforce_column_type: bool = True, enforce_shape: bool = True) -> None:
        if not isinstance(sample_input, _numpy().ndarray):
            raise TypeError("Invalid sample input provided, must provide a sample Numpy array.")
        super().__init__(sample_input)
        self.enforce_column_type = enforce_column_type
        self.enforce_shape = enforce_shape

    def deserialize_input(self, input_data: Any) -> Any:
        """Convert nested lists into an array; ValueError where the shape is another."""
        numpy = _numpy()
        if isinstance(input_data, numpy.ndarray):
            return input_data
        if not isinstance(input_data, list):
            raise ValueError("Invalid input format: expected an array of items.")
        rows = cast("list[Any]", input_data)
        dtype = self.sample_input.dtype
        if not self.enforce_column_type:
            array = numpy.array(rows)
        elif len(dtype) or dtype.kind in "mM":
            array = numpy.array([_prepare(row, dtype) for row in rows], dtype=dtype)
        else:
            array = numpy.array(rows, dtype=dtype)
        if self.enforce_shape:
            _check_shape(array.shape, self.sample_input.shape)
        return array

    def input_to_swagger(self) -> Document:
        """Describe the array."""
        schema = _describe_array(_describe_dtype(self.sample_input.dtype), self.sample_input.shape)
        schema["example"] = list_examples([*self.sample_input], schema["items"])
        return {**schema, "format": "numpy.ndarray"}


def _numpy() -> Any:
    return importlib.import_module("numpy")


def _check_shape(shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if len(shape) != len(expected):
        raise ValueError(
            f"Invalid input array: an array with {len(expected)} dimensions is expected; input has {len(shape)}"
            f" [shape {shape}]"
        )
    for dimension in range(1, len(expected)):
        if shape[dimension] != expected[dimension]:
            raise ValueError(
                f"Invalid input array: array has size {shape[dimension]} on dimension #{dimension},"
                f" while expected value is {expected[dimension]}"
            )


def _describe_dtype(dtype: Any) -> Document:
    if len(dtype):
        return {"type": "object", "properties": {name: _describe_dtype(dtype[name]) for name in dtype.names}}
    if dtype.subdtype is not None:
        inner, shape = dtype.subdtype
        return _describe_array(_describe_dtype(inner), shape)
    name: str = dtype.name.lower()
    for family, schema in _FAMILIES.items():
        if name.startswith(family):
            return dict(schema)
    if name not in _KINDS:
        raise TypeError(f"We currently do not support extracting schema from data of type {name}")
    return dict(_KINDS[name])


def _describe_array(items: Document, shape: tuple[int, ...]) -> Document:
    schema: Document = {"type": "array", "items": items}
    for _ in shape[1:]:
        schema = {"type": "array", "items": schema}
    return schema


def _prepare(value: Any, dtype: Any) -> Any:
    """Make of JSON what numpy.array takes: rows with named fields are tuples, durations and dates no text."""
    if len(dtype):
        keys: Any = dtype.names if type(value) is dict else range(len(dtype))
        return tuple(_prepare(value[key], dtype[at]) for at, key in enumerate(keys))
    if dtype.kind == "M":
        return _numpy().datetime64(value)
    return _parse_duration(value) if dtype.kind == "m" else value


def _parse_duration(text: str) -> Any:
    """Parse `3 days`."""
    parts = text.split(None, 1)
    if len(parts) != 2:
        raise ValueError(
            f"Invalid numpy.timestamp64 value specified: {text}. Format should be <value> <time_unit_code>"
        )
    unit = _UNITS.get(parts[1].lower())
    if unit is None:
        raise ValueError(f"Invalid numpy.timestamp64 value specified: {text}. Unrecognized time unit code")
    return _numpy().timedelta64(int(parts[0]), unit)
