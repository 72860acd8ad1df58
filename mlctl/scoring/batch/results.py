"""From what run() returned to rows of the output: counted, joined with their input if asked for, rendered as bytes."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from mlctl.scoring.batch.calling import Loaded
from mlctl.scoring.batch.order import Format

_PREDICTION, _FILE = "prediction", "file"


class ResultRefused(Exception):
    """run() returned what cannot be counted or written."""


class Rendered(NamedTuple):
    """Rows as bytes. schema: of Parquet's rows, as Arrow writes it; of others the names of the columns, if any."""

    data: bytes
    schema: bytes


Render = Callable[[Any, Loaded], Rendered]


def count_results(result: Any) -> int:
    """Return how many results there are; raises ResultRefused for what has no length, no order, or is text."""
    if result is None or isinstance(result, str | bytes | bytearray | dict | set | frozenset):
        raise ResultRefused(_complain(result))
    try:
        return len(result)
    except TypeError:
        raise ResultRefused(_complain(result)) from None


def _complain(result: Any) -> str:
    what = "None" if result is None else type(result).__name__
    return f"run() returned {what}: a list or a DataFrame is needed, an element or a row per result"


def choose_render(format_: Format, with_input: bool) -> Render:
    """Return what renders results in a format."""
    if format_ == "az" and not with_input:
        return _render_az
    write: Callable[[Any], Rendered]
    write = (
        _ArrowWriter() if format_ == "parquet" else {"az": _write_az, "csv": _write_csv, "jsonl": _write_jsonl}[format_]
    )

    def render(result: Any, loaded: Loaded) -> Rendered:
        return write(_make_frame(result, loaded, with_input))

    return render


def _render_az(result: Any, loaded: Loaded) -> Rendered:
    """Render as Azure does: text of each element, or the DataFrame's rows, blank-separated and without a header."""
    kind = type(result).__name__
    if kind == "DataFrame" or (kind == "ndarray" and result.ndim == 2):
        return _write_az(_make_frame(result, loaded, with_input=False))
    return Rendered("".join([f"{element}\n" for element in result]).encode(), b"")


def _make_frame(result: Any, loaded: Loaded, with_input: bool) -> Any:
    import pandas

    if isinstance(result, pandas.DataFrame):
        frame = result
    elif type(result).__name__ == "ndarray" and result.ndim == 2:
        frame = pandas.DataFrame(result, columns=[f"{_PREDICTION}_{number}" for number in range(result.shape[1])])
    else:
        elements = list(result)
        if elements and all(isinstance(element, dict) for element in elements):
            frame = pandas.DataFrame(elements)
        else:
            frame = pandas.DataFrame({_PREDICTION: elements})
    if not with_input:
        return frame
    if len(frame) != loaded.items:
        raise ResultRefused(
            f"run() returned {len(frame)} results for {loaded.items} items: input columns cannot stand beside them"
        )
    given = loaded.given if isinstance(loaded.given, pandas.DataFrame) else pandas.DataFrame({_FILE: loaded.given})
    names = {name: f"{name}_result" for name in frame.columns if name in given.columns}
    return pandas.concat([given.reset_index(drop=True), frame.rename(columns=names).reset_index(drop=True)], axis=1)


def _names(frame: Any) -> bytes:
    return json.dumps([str(name) for name in frame.columns]).encode()


def _write_az(frame: Any) -> Rendered:
    return Rendered(frame.to_csv(sep=" ", header=False, index=False).encode(), _names(frame))


def _write_csv(frame: Any) -> Rendered:
    return Rendered(frame.to_csv(header=False, index=False).encode(), _names(frame))


def _write_jsonl(frame: Any) -> Rendered:
    """Render objects, a line each. Not by pandas' to_json, which keeps ten decimals: small probabilities become 0."""
    names = [str(name) for name in frame.columns]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ResultRefused(f"run() returned two columns named {twice[0]}: JSON lines need a name for each")
    columns = [_list_plain(column) for _, column in frame.items()]
    lines = [_encode_line(dict(zip(names, row, strict=True))) for row in zip(*columns, strict=True)]
    return Rendered("".join(lines).encode(), b"")


def _list_plain(column: Any) -> list[Any]:
    """Return a column's values, None for those that are missing."""
    return column.astype(object).where(column.notna(), None).tolist()


def _encode_line(line: dict[str, Any]) -> str:
    try:
        return f"{_encode_strictly(line)}\n"
    except ValueError:
        return f"{_encode_strictly(_drop_not_finite(line))}\n"


def _drop_not_finite(value: Any) -> Any:
    """Copy a value without NaN and the infinities, which JSON does not know: null stands for them."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _drop_not_finite(each) for key, each in cast("dict[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [_drop_not_finite(each) for each in cast("list[Any]", value)]
    return _drop_not_finite(value.tolist()) if hasattr(value, "tolist") else value


def _to_plain(value: Any) -> Any:
    """Turn what json does not know into what it does: numpy's values, dates, and text for the rest."""
    for method in ("tolist", "isoformat"):
        if hasattr(value, method):
            return getattr(value, method)()
    return str(value)


_encode_strictly = json.JSONEncoder(
    default=_to_plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False
).encode


class _ArrowWriter:
    """Renders as record batches. Does itself what pyarrow's from_pandas does, in a fifth of the time for few rows."""

    def __init__(self) -> None:
        self._arrow: Any = importlib.import_module("pyarrow")
        self._schema: Any = None
        self._rendered_schema = b""

    def __call__(self, frame: Any) -> Rendered:
        arrow = self._arrow
        columns = [
            arrow.array(column.to_numpy() if column.dtype.kind in "biuf" else column, from_pandas=True)
            for _, column in frame.items()
        ]
        batch = arrow.RecordBatch.from_arrays(columns, names=[str(name) for name in frame.columns])
        if self._schema is None or not batch.schema.equals(self._schema):
            self._schema, self._rendered_schema = batch.schema, batch.schema.serialize().to_pybytes()
        return Rendered(batch.serialize().to_pybytes(), self._rendered_schema)
