"""What an @input_schema surely refuses, as a JSON Schema; made of its types, not of its swagger. For `request_schema`.

The types convert generously: NumPy and pandas read numbers out of text and out of true and false. Only what no
conversion takes is described, and nothing of types that a script derives for itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

_PACKAGE = "inference_schema.parameter_types."
_TABLES = {"type": ["array", "object"]}
# What StandardPythonParameterType takes for each type of its sample; Python's booleans are whole numbers, too.
_TEXT = {"type": "string"}
_STANDARD: Mapping[str, Mapping[str, Any]] = {
    "int": {"type": ["integer", "boolean"]},
    "float": {"type": ["number", "boolean"]},
    "bool": {"type": "boolean"},
    "str": _TEXT,
    "bytes": _TEXT,
    "bytearray": _TEXT,
    "datetime": _TEXT,
    "time": _TEXT,
    "list": {"type": "array"},
    "dict": {"type": "object"},
}


def describe_parameters(function: Callable[..., object] | None) -> Mapping[str, Any] | None:
    """Describe the values of run()'s parameters; that they are there at all is looked at elsewhere."""
    properties = {name: schema for name, kind in find_types(function) if (schema := _describe(kind)) is not None}
    return {"properties": properties} if properties else None


def find_types(function: Any) -> Iterator[tuple[str, Any]]:
    """Yield the parameters that decorators convert, with their types, out of the variables that decorators keep.

    Optional ones are left out: an empty value of theirs is never converted, whatever it is.
    """
    while function is not None:
        kept = _read_variables(getattr(function, "_self_wrapper", function))
        is_sure = kept.get("convert_to_provided_type", True) and not kept.get("optional", False)
        if is_sure and kept.keys() >= {"param_name", "param_type"}:
            yield kept["param_name"], kept["param_type"]
        function = getattr(function, "__wrapped__", None)


def _read_variables(function: Any) -> dict[str, Any]:
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    try:
        return {name: cell.cell_contents for name, cell in zip(names, function.__closure__ or (), strict=True)}
    except ValueError:  # a variable that has no value yet
        return {}


def _describe(kind: Any) -> Mapping[str, Any] | None:
    owner: type[Any] = cast("type[Any]", type(kind))
    if not owner.__module__.startswith((_PACKAGE, "mlctl.scoring.")):
        return None  # the script's own: only it knows what it takes
    if owner.__name__ == "NumpyParameterType":
        return {"type": "array"}
    if owner.__name__ in ("PandasParameterType", "SparkParameterType"):
        return _TABLES
    sample: type[Any] | None = getattr(kind, "sample_data_type", None)
    return _STANDARD.get(sample.__name__) if owner.__name__ == "StandardPythonParameterType" and sample else None
