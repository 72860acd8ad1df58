"""Serves an ONNX file through onnxruntime; names, types and shapes of inputs and outputs are read from the model.

Body: every input by its name (`{"X": [[…]], "lengths": […]}`); or rows under `features`, `input_data` or `data`, in
place of which a table in pandas' split form may stand, for a model with one input or with one column for each input.
Answer: every output by its name, as lists; what the model returns as maps (class to probability) stays maps.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mlctl.scoring.no_code.tables import KEYS, Rows, describe_rows, find_rows, parse_object, to_plain

_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
# numpy's name for each element type that ONNX names in its own way.
_TEXT = "object"
_TYPES = {"float": "float32", "double": "float64", "float16": "float16", "bool": "bool", "string": _TEXT}
_logger = logging.getLogger("azmlinfsrv")


class Input(NamedTuple):
    """An input of the model. dtype: numpy's name. shape: None for a dimension that may be any."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def __str__(self) -> str:
        return f"{self.name} ({self.dtype}, {_show_shape(self.shape)})"

    def describe(self) -> dict[str, Any]:
        """Describe the lists that it takes."""
        schema = self.describe_value()
        for size in reversed(self.shape):
            schema = {"type": "array", "items": schema}
            if size is not None:
                schema |= {"minItems": size, "maxItems": size}
        return schema

    def describe_value(self) -> dict[str, Any]:
        """Describe a single value in them. null is taken for not-a-number."""
        if self.dtype in _INTEGERS:
            return {"type": ["integer", "boolean"]}
        types = {_TEXT: "string", "bool": "boolean"}
        return {"type": types.get(self.dtype, ["number", "boolean", "null"])}

    def convert(self, value: Any) -> Any:
        """Return an array that the model takes, or raise ValueError."""
        import numpy

        array = self._convert_text(value) if self.dtype == _TEXT else self._convert_numbers(value)
        shape: tuple[int, ...] = numpy.shape(array)
        fits = len(shape) == len(self.shape) and all(
            want in (None, have) for want, have in zip(self.shape, shape, strict=True)
        )
        if not fits:
            raise ValueError(f"input {self.name} takes {_show_shape(self.shape)}, not {_show_shape(shape)}")
        return array

    def _convert_text(self, value: Any) -> Any:
        import numpy

        array = numpy.asarray(value, dtype=_TEXT)
        if not all(isinstance(item, str) for item in array.flat):
            raise ValueError(f"input {self.name} takes text only")
        return array

    def _convert_numbers(self, value: Any) -> Any:
        import numpy

        plain = numpy.asarray(value)
        kinds = "b" if self.dtype == "bool" else "iufb" if self.dtype in _INTEGERS else "iufbO"
        # Beside null numpy keeps values as they are, text among them.
        has_text = plain.dtype.kind == "O" and any(isinstance(item, str) for item in plain.flat)
        if plain.size and (has_text or plain.dtype.kind not in kinds):
            raise ValueError(f"input {self.name} takes {self.dtype}, numpy reads {plain.dtype}")
        if self.dtype in _INTEGERS and plain.dtype.kind == "f" and not (plain == plain.astype("int64")).all():
            raise ValueError(f"input {self.name} takes whole numbers")
        return numpy.asarray(value, dtype=self.dtype)

    @property
    def is_column(self) -> bool:
        """Whether it takes one value for each row."""
        return self.shape[1:] in ((), (1,)) and len(self.shape) > 0


class OnnxModel:
    """A session of onnxruntime and its inputs."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._session: Any = None
        self._inputs: list[Input] = []
        self._outputs: list[str] = []

    def init(self) -> None:
        """Load the model."""
        import onnxruntime  # pyright: ignore[reportMissingTypeStubs]  of the model's environment

        runtime: Any = onnxruntime
        options = runtime.SessionOptions()
        # Threads that spin while they wait take the processor from the HTTP loop and from other replicas.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        providers = runtime.get_available_providers()
        self._session = runtime.InferenceSession(str(self._path), options, providers=providers)
        self._inputs = [_read_input(entry) for entry in self._session.get_inputs()]
        self._outputs = [entry.name for entry in self._session.get_outputs()]
        inputs = ", ".join(map(str, self._inputs))
        _logger.info("ONNX model: inputs %s; outputs %s", inputs, ", ".join(self._outputs))

    def run(self, raw_data: str) -> dict[str, Any]:
        """Return each output by its name."""
        results: list[Any] = self._session.run(None, self._read(parse_object(raw_data)))
        return {name: to_plain(result) for name, result in zip(self._outputs, results)}  # noqa: B905  equally long

    def describe_body(self) -> Mapping[str, Any]:
        """Describe both forms of a body: each input by its name; else rows, where there may be rows."""
        names = [one.name for one in self._inputs]
        named = {"required": names, "properties": {one.name: one.describe() for one in self._inputs}}
        rows = self._describe_rows(names)
        if rows is None:
            return {"type": "object", **named}
        if self._is_rows_only:
            return rows
        has_rows = {"anyOf": [{"required": [key]} for key in KEYS]}
        otherwise = {"if": has_rows, "then": rows, "else": named}
        return {"type": "object", "if": {"required": names}, "then": named, "else": otherwise}

    @property
    def _is_rows_only(self) -> bool:
        """Whether the one input is called as rows are: the split form is then taken under its name as well."""
        return len(self._inputs) == 1 and self._inputs[0].name in KEYS

    def _describe_rows(self, names: list[str]) -> dict[str, Any] | None:
        if len(self._inputs) == 1:
            return describe_rows(self._inputs[0].describe())
        if not all(one.is_column for one in self._inputs):
            return None
        cells = [one.describe_value() for one in self._inputs]
        row = {"type": "array", "minItems": len(names), "prefixItems": cells}
        return describe_rows({"type": "array", "items": row}, names)

    def _read(self, body: Mapping[str, Any]) -> dict[str, Any]:
        if all(one.name in body for one in self._inputs) and not self._is_rows_only:
            return {one.name: one.convert(body[one.name]) for one in self._inputs}
        if not any(key in body for key in KEYS):
            missing = ", ".join(one.name for one in self._inputs if one.name not in body)
            raise ValueError(f"the body lacks the inputs {missing}, and has no rows under {', '.join(KEYS)}")
        rows = find_rows(body)
        if len(self._inputs) == 1:
            return {self._inputs[0].name: self._inputs[0].convert(rows.values)}
        return {one.name: one.convert(column) for one, column in self._split(rows)}

    def _split(self, rows: Rows) -> list[tuple[Input, list[Any]]]:
        """Give each input its column; by name where the client names them, else in the model's order."""
        if not all(one.is_column for one in self._inputs):
            raise ValueError(f"the model has the inputs {', '.join(map(str, self._inputs))}: give each by its name")
        order = rows.columns if rows.columns is not None else [one.name for one in self._inputs]
        found: list[tuple[Input, list[Any]]] = []
        for one in self._inputs:
            place = order.index(one.name)
            found.append((one, [[row[place]] if len(one.shape) > 1 else row[place] for row in rows.values]))
        return found


def _read_input(entry: Any) -> Input:
    kind = str(entry.type).removeprefix("tensor(").removesuffix(")")
    shape = tuple(size if isinstance(size, int) and size >= 0 else None for size in entry.shape)
    return Input(entry.name, _TYPES.get(kind, kind), shape)


def _show_shape(shape: tuple[int | None, ...]) -> str:
    return "×".join("N" if size is None else str(size) for size in shape) or "a single value"
