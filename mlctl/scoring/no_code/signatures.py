"""What an MLflow model's signature makes of input_data, and what it surely refuses. Used by `mlflow_model`.

Azure's script converts columns to the signature's types before the model checks them: whole numbers for decimals, text
that is a number, true and false are all taken. A schema made here lets all of that through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, cast

Convert = Callable[[Any], Any]
_NUMBERS = ("integer", "long", "float", "double")
# Text that float() or int() may read: with a digit, or nan, or infinity.
_NUMERIC_TEXT = r"\d|[nN][aA][nN]|[iI][nN][fF]"


class Signature(NamedTuple):
    """convert: from input_data to what the model takes. schema: of input_data."""

    convert: Convert
    schema: Mapping[str, Any]


class Column(NamedTuple):
    """A column of a table. name: None where columns have none. kind: MLflow's word. dtype: pandas', None: any."""

    name: str | None
    kind: str
    dtype: Any
    is_required: bool


def read_signature(schema: Any) -> Signature | None:
    """Read a signature's inputs; None for what is neither table nor arrays."""
    if schema.is_tensor_spec():
        return _read_arrays(schema)
    columns = [_read_column(one) for one in schema.inputs]
    if any(column.name is None for column in columns):
        return None
    return Signature(_TableReader(columns).convert, describe_table(columns))


def _read_column(spec: Any) -> Column:
    kind = str(getattr(spec.type, "name", ""))
    make_dtype = getattr(spec.type, "to_pandas", None)
    dtype = make_dtype() if make_dtype is not None and kind in (*_NUMBERS, "boolean", "datetime") else None
    return Column(spec.name, kind, dtype, bool(getattr(spec, "required", True)))


class _TableReader:
    """Makes DataFrames with columns of the signature's types."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._dtypes = {column.name: column.dtype for column in columns if column.dtype is not None}

    def convert(self, value: Any) -> Any:
        """Return the table that a split form stands for."""
        import pandas

        table = cast("dict[str, Any]", value) if isinstance(value, dict) else {}
        if not isinstance(table.get("columns"), list) or not isinstance(table.get("data"), list):
            raise ValueError("input_data must be a table in pandas' split form: columns, index and data")
        frame: Any = pandas.DataFrame(table["data"], columns=table["columns"], index=table.get("index"))
        return frame.astype({name: dtype for name, dtype in self._dtypes.items() if name in frame.columns})


def describe_table(columns: Sequence[Column]) -> dict[str, Any]:
    """Describe the split form; types are certain where the client's columns are in the signature's order."""
    names = [column.name for column in columns]
    needed = [{"contains": {"const": column.name}} for column in columns if column.is_required]
    cells = [_describe_cell(column.kind) for column in columns]
    rows = {"items": {"prefixItems": cells, "maxItems": len(cells)}}
    return {
        "type": "object",
        "required": ["columns", "data"],
        "properties": {
            "columns": {"type": "array", "allOf": needed},
            "data": {"type": "array"},
        },
        "if": {"properties": {"columns": {"const": names}}},
        "then": {"properties": {"data": rows}},
    }


def _describe_cell(kind: str) -> Any:
    if kind not in _NUMBERS:
        return True
    types = ["number", "boolean", "null", "string"]
    return {"type": types, "pattern": _NUMERIC_TEXT, "errorMessage": f"must be a number, the column's type is {kind}"}


def _read_arrays(schema: Any) -> Signature:
    import numpy

    specs = schema.inputs
    if not schema.has_input_names():
        dtype = specs[0].type

        def convert_list(value: Any) -> Any:
            if not isinstance(value, list):
                raise ValueError("input_data must be a list")
            return numpy.array(cast("list[Any]", value), dtype=dtype)

        return Signature(convert_list, {"type": "array"})
    dtypes = {spec.name: spec.type for spec in specs}

    def convert_named(value: Any) -> Any:
        if not isinstance(value, dict):
            raise ValueError("input_data must be an object that holds each input by its name")
        named = cast("dict[str, Any]", value)
        return {name: numpy.array(item, dtype=dtypes.get(name)) for name, item in named.items()}

    needed = [spec.name for spec in specs if getattr(spec, "required", True)]
    return Signature(convert_named, {"type": "object", "required": needed})
