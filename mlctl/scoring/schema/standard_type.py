"""`StandardPythonParameterType`: a parameter that is what JSON has, bytes, a date with time, or made of other types."""

from __future__ import annotations

import base64
import importlib
import json
from collections.abc import Callable
from datetime import date, datetime, time
from typing import Any

from mlctl.scoring.schema.parameter_type import AbstractParameterType, Document
from mlctl.scoring.schema.python_values import DATETIME_FORMAT, TIME_FORMAT, describe_value

_NO_JSON = (
    "Invalid python data sample provided: ensure that the data is fully JSON serializable to be able to generate"
    " swagger schema from it. Actual error: {}"
)


class StandardPythonParameterType(AbstractParameterType):
    """A parameter of the sample's type. Dicts and lists may hold types, whose values are converted in their place."""

    def __init__(self, sample_input: Any) -> None:
        super().__init__(sample_input)
        self.sample_data_type_map: dict[str, AbstractParameterType] = {}
        self.sample_data_type_list: list[AbstractParameterType] = []
        if self.sample_data_type is dict:
            self.sample_data_type_map.update({name: item for name, item in sample_input.items() if _is_type(item)})
        elif self.sample_data_type in (list, tuple):
            self.sample_data_type_list.extend(item for item in sample_input if _is_type(item))

    def deserialize_input(self, input_data: Any) -> Any:
        """Convert text where JSON has nothing better; anything else has to be of the type. An int is a float, too."""
        parse = _PARSERS.get(self.sample_data_type)
        value = parse(input_data) if parse else input_data
        is_fine = isinstance(value, self.sample_data_type) or (self.sample_data_type is float and type(value) is int)
        if not is_fine:
            raise refuse_type(self.sample_data_type, value)
        return value

    def input_to_swagger(self) -> Document:
        """Describe the type."""
        if self.sample_input is None:
            raise ValueError("Sample input cannot be None")
        schema = describe_value(self.sample_input)
        try:
            json.dumps(schema)
        except TypeError as error:
            raise TypeError(_NO_JSON.format(error)) from None
        return schema


def refuse_type(expected: Any, value: object) -> ValueError:
    """Build the error for a value of another type than the sample's."""
    return ValueError(f"Invalid input data type to parse. Expected: {expected} but got {type(value)}")


def _is_type(value: object) -> bool:
    return isinstance(value, AbstractParameterType)


def _parse_bytes(text: str) -> bytes:
    return base64.b64decode(text.encode())


def _parse_datetime(text: str) -> datetime:
    parser = _find_dateutil()
    return parser.parse(text) if parser else _parse_as(text, DATETIME_FORMAT, datetime.fromisoformat)


def _parse_time(text: str) -> time:
    parser = _find_dateutil()
    if parser:
        return parser.parse(text).timetz()
    return _parse_as(text, TIME_FORMAT, lambda other: datetime.fromisoformat(f"2000-01-01T{other}")).timetz()


def _find_dateutil() -> Any:
    """Return what inference-schema parses dates with; None where it is not installed."""
    try:
        return importlib.import_module("dateutil.parser")
    except ImportError:
        return None


def _parse_as(text: str, form: str, parse_iso: Callable[[str], datetime]) -> datetime:
    """Parse what swagger documents show, and ISO 8601."""
    try:
        return datetime.strptime(text, form)
    except ValueError:
        pass
    try:
        return parse_iso(text)
    except ValueError:
        hint = "write it as ISO 8601 does, or put python-dateutil in the environment"
        raise ValueError(f"Unknown form of a date or time: {hint}") from None


def _refuse_date(_: object) -> None:
    # In Azure each such request fails: the package calls a function that datetime.date does not have.
    raise ValueError("inference-schema cannot read a datetime.date: make the sample a datetime.datetime or text")


_PARSERS: dict[type, Callable[[Any], Any]] = {
    bytes: _parse_bytes,
    bytearray: _parse_bytes,
    date: _refuse_date,
    datetime: _parse_datetime,
    time: _parse_time,
}
