"""Serves an ONNX file through onnxruntime; names, types and shapes of inputs and outputs are read from the model.

Body: every input by its name (`{"X": [[…]], "lengths": […]}`), or `{"features": [[…], …]}` or `{"input_data": …}` with
rows or a table in pandas' split form, for a model with one input, or with one column for each input. Answer: every
output by its name. What the model returns as a list of maps (class to probability) stays one.
"""

from __future__ import annotations

from typing import Any, NamedTuple, cast

from mlctl.scoring.no_code.bodies import check_rows, find_model, is_split, name_type, parse_object, walk_values
from mlctl.scoring.refusals import BodyRefused, Fault

_KEYS = ("features", "input_data")
_INTEGERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
# numpy's name for each element type that ONNX names in its own way.
_TYPES = {"float": "float32", "double": "float64", "float16": "float16", "bool": "bool", "string": "object"}


class _Input(NamedTuple):
    """An input of the model. dtype: numpy's name. shape: None for a dimension that may be any."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    def convert(self, value: Any, path: str, *, is_thorough: bool) -> Any:
        """Return the value as an array that the model takes; BodyRefused says where it does not fit."""
        import numpy as np

        if is_thorough or not self._is_clean(np, value):
            faults = [fault for place, item in walk_values(value, path) if (fault := self.check(item, place))]
            if faults:
                raise BodyRefused(faults)
        try:
            array: Any = np.asarray(value, dtype=self.dtype)
        except (ValueError, OverflowError) as error:
            raise BodyRefused([Fault(path, f"cannot be read as {self.dtype}: {error}")]) from None
        return self._fit(array, path)

    def check(self, item: Any, path: str) -> Fault | None:
        """Say whether a value has the wrong type: numpy would take many of them, true for a number and 1.5 for 1."""
        if self._suits(item):
            return None
        shown = str(item) if isinstance(item, float) else name_type(item)
        return Fault(path, f"must be {self._describe()}, it is {shown}")

    def _is_clean(self, np: Any, value: Any) -> bool:
        """Look at all values at once, in numpy, which sees no boolean among numbers."""
        try:
            kind: str = np.asarray(value).dtype.kind
        except ValueError:
            return False
        return kind in {"bool": "b", "object": "U"}.get(self.dtype, "iu" if self.dtype in _INTEGERS else "fiu")

    def _suits(self, item: Any) -> bool:
        if self.dtype == "object":
            return isinstance(item, str)
        if self.dtype == "bool" or isinstance(item, bool):
            return self.dtype == "bool" and isinstance(item, bool)
        if self.dtype in _INTEGERS:
            return isinstance(item, int) or (isinstance(item, float) and item.is_integer())
        return isinstance(item, int | float)

    def _describe(self) -> str:
        names = {"object": "a string", "bool": "a boolean"}
        return names.get(self.dtype, "a whole number" if self.dtype in _INTEGERS else "a number")

    def _fit(self, array: Any, path: str) -> Any:
        found: tuple[int, ...] = array.shape
        fits = len(found) == len(self.shape) and all(
            want is None or have == want for have, want in zip(found, self.shape, strict=True)
        )
        if not fits:
            wanted = "×".join("N" if size is None else str(size) for size in self.shape) or "a single value"
            shown = "×".join(map(str, found)) or "a single value"
            raise BodyRefused([Fault(path, f"is {shown}, the model's input {self.name} takes {wanted}")])
        return array


class _Model:
    """A session of onnxruntime and its inputs."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._inputs = [_read_input(entry) for entry in session.get_inputs()]
        self._outputs = [entry.name for entry in session.get_outputs()]

    def describe(self) -> str:
        """Tell inputs and outputs, for the log."""
        inputs = ", ".join(
            f"{one.name} ({one.dtype}, {'×'.join('N' if size is None else str(size) for size in one.shape)})"
            for one in self._inputs
        )
        return f"inputs: {inputs}; outputs: {', '.join(self._outputs)}"

    def score(self, body: dict[str, Any], *, is_thorough: bool) -> dict[str, Any]:
        """Return each output by its name. is_thorough: look at each value; there are booleans in the body."""
        results: list[Any] = self._session.run(None, self._read_feed(body, is_thorough))
        return dict(zip(self._outputs, results, strict=True))

    def _read_feed(self, body: dict[str, Any], is_thorough: bool) -> dict[str, Any]:
        names = [one.name for one in self._inputs]
        key = next((key for key in _KEYS if key in body and key not in names), None)
        if key is not None:
            return self._read_table(body[key], f"$.{key}", is_thorough)
        missing = [name for name in names if name not in body]
        if missing:
            known = ", ".join(names)
            raise BodyRefused(
                [
                    Fault(f"$.{name}", f'is missing: give "features", or each input by its name ({known})')
                    for name in missing
                ]
            )
        return {one.name: one.convert(body[one.name], f"$.{one.name}", is_thorough=is_thorough) for one in self._inputs}

    def _read_table(self, value: Any, path: str, is_thorough: bool) -> dict[str, Any]:
        columns = None
        if is_split(value):
            columns, value, path = cast("Any", value["columns"]), value["data"], f"{path}.data"
        if len(self._inputs) == 1:
            only = self._inputs[0]
            return {only.name: only.convert(value, path, is_thorough=is_thorough)}
        return self._split_columns(value, path, columns)

    def _split_columns(self, rows: Any, path: str, columns: Any) -> dict[str, Any]:
        """Give each input its column; by name where the client names them, else in the model's order."""
        names = [one.name for one in self._inputs]
        order = cast("list[Any]", columns) if isinstance(columns, list) else names
        missing = [name for name in names if name not in order]
        if missing:
            raise BodyRefused([Fault(path, f"has no column {', '.join(missing)}")])
        faults = [*check_rows(rows, path, len(order))]
        if faults:
            raise BodyRefused(faults)
        feed: dict[str, Any] = {}
        for one in self._inputs:
            place = order.index(one.name)
            column = [row[place] for row in rows]
            checks = (one.check(item, f"{path}[{number}][{place}]") for number, item in enumerate(column))
            faults += [fault for fault in checks if fault]
            feed[one.name] = [[item] for item in column] if len(one.shape) == 2 else column
        if faults:
            raise BodyRefused(faults)
        return {one.name: one.convert(feed[one.name], path, is_thorough=False) for one in self._inputs}


def _read_input(entry: Any) -> _Input:
    kind = str(entry.type).removeprefix("tensor(").removesuffix(")")
    shape = tuple(size if isinstance(size, int) and size >= 0 else None for size in entry.shape)
    return _Input(entry.name, _TYPES.get(kind, kind), shape)


_loaded: _Model | None = None


def init() -> None:
    """Load the model."""
    global _loaded
    import logging

    import onnxruntime

    options: Any = onnxruntime.SessionOptions()
    # Threads that spin while they wait take the processor from the HTTP loop and from other replicas.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session: Any = onnxruntime.InferenceSession(
        str(find_model((".onnx",))), options, providers=onnxruntime.get_available_providers()
    )
    _loaded = _Model(session)
    logging.getLogger("azmlinfsrv").info("ONNX model: %s", _loaded.describe())


def run(raw_data: str) -> dict[str, Any]:
    """Score a body."""
    assert _loaded is not None
    return _loaded.score(parse_object(raw_data), is_thorough="true" in raw_data or "false" in raw_data)
