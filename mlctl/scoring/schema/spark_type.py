"""`SparkParameterType`: a parameter that is a Spark DataFrame. pyspark is imported when a script makes one."""

from __future__ import annotations

import base64
import importlib
from collections.abc import Callable
from decimal import Decimal
from typing import Any, cast

from mlctl.scoring.schema.parameter_type import AbstractParameterType, Document, list_examples

_KINDS: dict[str, Document] = {
    "byte": {"type": "integer", "format": "int8"},
    "short": {"type": "integer", "format": "int16"},
    "integer": {"type": "integer", "format": "int32"},
    "long": {"type": "integer", "format": "int64"},
    "boolean": {"type": "boolean"},
    "float": {"type": "number", "format": "float"},
    "double": {"type": "number", "format": "double"},
    "decimal": {"type": "number", "format": "decimal"},
    "string": {"type": "string"},
    "binary": {"type": "string", "format": "binary"},
    "date": {"type": "string", "format": "date"},
    "timestamp": {"type": "string", "format": "date-time"},
    "null": {"type": "object"},
    "void": {"type": "object"},  # what newer versions call null
}


class SparkParameterType(AbstractParameterType):
    """A DataFrame; apply_sample_schema: with the sample's schema, else Spark infers one."""

    def __init__(self, sample_input: Any, apply_sample_schema: bool = True) -> None:
        if not isinstance(sample_input, _sql().DataFrame):
            raise TypeError("Invalid sample input provided, must provide a sample Spark DataFrame array.")
        super().__init__(sample_input)
        self.apply_sample_schema = apply_sample_schema

    def deserialize_input(self, input_data: Any) -> Any:
        """Convert a list of objects into a DataFrame."""
        if isinstance(input_data, _sql().DataFrame):
            return input_data
        if not isinstance(input_data, list):
            raise TypeError(f'Error, unable to convert input of type "{type(input_data)}" to Spark DataFrame')
        rows = cast("list[Any]", input_data)
        session = _sql().SparkSession.builder.getOrCreate()
        if not self.apply_sample_schema:
            return session.createDataFrame(data=rows)
        schema = self.sample_input.schema
        return session.createDataFrame(data=[_prepare(row, schema) for row in rows], schema=schema)

    def input_to_swagger(self) -> Document:
        """Describe the DataFrame as a list of its rows."""
        row = _describe(self.sample_input.schema)
        return {"type": "array", "items": row, "example": list_examples(self.sample_input.collect(), row)}


def _sql() -> Any:
    return importlib.import_module("pyspark.sql")


def _describe(kind: Any) -> Document:
    """Describe one of Spark's types."""
    name: str = kind.typeName()
    if name == "struct":
        return {"type": "object", "properties": {field.name: _describe(field.dataType) for field in kind.fields}}
    if name == "array":
        return {"type": "array", "items": _describe(kind.elementType)}
    if name == "map":
        return {"type": "object", "additionalProperties": _describe(kind.valueType)}
    if name not in _KINDS:
        hint = " Please use ArrayType or MapType if applicable." if name == "udt" else ""
        raise TypeError(f"We currently do not support extracting schema from data of type {kind}.{hint}")
    return dict(_KINDS[name])


def _prepare(value: Any, kind: Any) -> Any:
    """Make of JSON what Spark takes, which converts no text into dates and the like."""
    match kind.typeName():
        case "struct":
            return {field.name: _prepare(value[field.name], field.dataType) for field in kind.fields}
        case "array":
            return [_prepare(item, kind.elementType) for item in value]
        case "map":
            return {name: _prepare(item, kind.valueType) for name, item in value.items()}
        case name:
            parse = _PARSERS.get(name)
            return parse(value) if parse else value


def _parse_moment(text: str) -> Any:
    parser: Any = importlib.import_module("dateutil.parser")
    return parser.parse(text)


_PARSERS: dict[str, Callable[[Any], Any]] = {
    "date": lambda text: _parse_moment(text).date(),
    "timestamp": _parse_moment,
    "decimal": Decimal,
    "binary": lambda text: bytearray(base64.b64decode(text.encode())),
}
