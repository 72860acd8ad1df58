"""What the loaders share: finding the rows in a body, and turning results into what JSON has."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, cast

# Under these keys bodies hold their rows; the first that is there counts.
KEYS = ("features", "input_data", "data")


class Rows(NamedTuple):
    """The rows of a body. columns: the names that the client gave them, in pandas' split form."""

    values: list[Any]
    columns: list[str] | None


def parse_object(text: str) -> dict[str, Any]:
    """Return the body, which must be an object."""
    body: Any = json.loads(text)
    if not isinstance(body, dict):
        raise ValueError("the body must be an object")
    return cast("dict[str, Any]", body)


def find_rows(body: Mapping[str, Any]) -> Rows:
    """Return the rows of a body: a list, or pandas' split form `{"columns": […], "data": [[…], …]}`."""
    key = next((key for key in KEYS if key in body), None)
    if key is None:
        raise ValueError(f"the body has none of the keys {', '.join(KEYS)}")
    value, columns = body[key], None
    if isinstance(value, Mapping):
        table = cast("Mapping[str, Any]", value)
        value, columns = table["data"], _read_names(table["columns"], key)
    if not isinstance(value, list):
        raise ValueError(f"{key} has no list of rows")
    return Rows(value, columns)


def _read_names(columns: Any, key: str) -> list[str]:
    if not isinstance(columns, list):
        raise ValueError(f"{key}.columns is not a list")
    return [str(name) for name in cast("list[Any]", columns)]


def describe_rows(table: Mapping[str, Any], columns: Sequence[str] = ()) -> dict[str, Any]:
    """Describe a body whose rows fit the schema `table`. columns: those that the split form must name."""
    names = {"type": "array", "allOf": [{"contains": {"const": name}} for name in columns]}
    rows = {"type": "array"} if columns else table
    split = {"type": "object", "required": ["columns", "data"], "properties": {"columns": names, "data": rows}}
    form = {"if": {"type": "object"}, "then": split, "else": table}
    described: dict[str, Any] = {"anyOf": [{"required": [key]} for key in KEYS]}
    for key in reversed(KEYS):
        # What stands under the other keys is never looked at.
        described = {"if": {"required": [key]}, "then": {"properties": {key: form}}, "else": described}
    return {"type": "object", **described}


def to_plain(value: Any) -> Any:
    """Turn arrays, scalars and tables into lists, numbers and records, at any depth."""
    numpy, pandas = (cast("Any", sys.modules.get(name)) for name in ("numpy", "pandas"))
    if pandas is not None and isinstance(value, pandas.DataFrame):
        return value.to_dict(orient="records")
    if pandas is not None and isinstance(value, pandas.Series):
        return value.tolist()
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        return value.tolist()
    if isinstance(value, Mapping):
        return {to_plain(key): to_plain(item) for key, item in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in cast("Sequence[Any]", value)]
    return value
