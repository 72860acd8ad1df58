"""Turns a table into Arrow files that workers can read from anywhere: a process beside the coordinator of a job.

Reads in a stream, writes one block after the other and tells each on its standard output, and waits when it is too far
ahead: a block is only written when a line comes in for it. Blocks are the same each time the same table is read.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import importlib
import io
import json
import lzma
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mlctl.batch.tables import find_format

_BLOCK_ROWS = 1 << 17
_BLOCK_BYTES = 64 << 20
_READ_BYTES = 4 << 20


class Unreadable(Exception):
    """A table cannot be read. rows: how many were, before the fault."""

    def __init__(self, message: str, rows: int) -> None:
        super().__init__(message)
        self.rows = rows


def split(path: str, folder: Path, number: int, size: int) -> Iterator[dict[str, Any]]:
    """Write the blocks of a table and yield where each lies and how many rows it has.

    number: of the file, part of the blocks' names. size: a block has a multiple of so many rows, but for the last.
    """
    arrow: Any = importlib.import_module("pyarrow")
    waiting: list[Any] = []
    rows = size_bytes = written = count = 0
    least = max(1, -(-_BLOCK_ROWS // size)) * size

    def write(table: Any) -> dict[str, Any]:
        nonlocal count, written
        target = folder / f"{number:06d}-{count:06d}.arrow"
        draft = target.with_suffix(".new")
        table = table.combine_chunks()
        with arrow.OSFile(str(draft), "wb") as sink, arrow.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        with arrow.memory_map(str(draft)) as source:
            batches = arrow.ipc.open_file(source).num_record_batches
        draft.replace(target)
        block = {
            "path": str(target),
            "kind": "arrow",
            "block": 0,
            "blocks": batches,
            "origin": path,
            "first_row": written,
            "rows": table.num_rows,
        }
        written, count = written + table.num_rows, count + 1
        return block

    try:
        for batch in _read(path):
            waiting.append(batch)
            rows, size_bytes = rows + batch.num_rows, size_bytes + batch.nbytes
            if rows >= least or (size_bytes >= _BLOCK_BYTES and rows >= size):
                table = arrow.Table.from_batches(waiting)
                whole = rows - rows % size
                yield write(table.slice(0, whole))
                rest = table.slice(whole)
                waiting, rows, size_bytes = rest.to_batches(), rest.num_rows, rest.nbytes if rest.num_rows else 0
    except (arrow.ArrowException, OSError, EOFError, UnicodeDecodeError, ValueError, lzma.LZMAError) as error:
        raise Unreadable(str(error), written + rows) from error
    if rows:
        yield write(arrow.Table.from_batches(waiting))


def _read(path: str) -> Iterator[Any]:
    format_, compression = find_format(path)
    if Path(path).stat().st_size == 0:
        return
    with contextlib.ExitStack() as stack:
        if format_ == "parquet" and not compression:
            parquet: Any = importlib.import_module("pyarrow.parquet")
            file = stack.enter_context(parquet.ParquetFile(path))
            yield from file.iter_batches(batch_size=1 << 16)
            return
        stream = stack.enter_context(_open(path, compression))
        yield from _READERS[format_](stream)


def _open(path: str, compression: str) -> Any:
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    if compression in openers:
        return openers[compression](path, "rb")
    arrow: Any = importlib.import_module("pyarrow")
    if compression:
        return arrow.CompressedInputStream(arrow.OSFile(path, "rb"), {".zst": "zstd", ".lz4": "lz4"}[compression])
    return Path(path).open("rb")


def _read_delimited(stream: Any, delimiter: str) -> Iterator[Any]:
    csv: Any = importlib.import_module("pyarrow.csv")
    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    # One thread: only then the reader knows the number of a row that is wrong.
    reader = csv.open_csv(stream, csv.ReadOptions(use_threads=False, block_size=_READ_BYTES), parse)
    yield from reader


def _read_jsonl(stream: Any) -> Iterator[Any]:
    """Yield batches of JSON lines; the first ones decide on the types."""
    json_reader: Any = importlib.import_module("pyarrow.json")
    schema: Any = None
    line_number = 0
    while lines := stream.readlines(_READ_BYTES):
        options = json_reader.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="error" if schema else "infer"
        )
        if not b"".join(lines).strip():
            continue
        try:
            table = json_reader.read_json(io.BytesIO(b"".join(lines)), parse_options=options)
        except Exception as error:
            raise ValueError(f"lines {line_number + 1:,} to {line_number + len(lines):,}: {error}") from error
        schema = schema or table.schema
        line_number += len(lines)
        yield from table.to_batches()


def _read_arrow(stream: Any) -> Iterator[Any]:
    arrow: Any = importlib.import_module("pyarrow")
    start = stream.read(6)
    rest = stream
    if hasattr(stream, "seek") and stream.seekable():
        stream.seek(0)
    else:
        rest = io.BytesIO(start + stream.read())
    if start == b"ARROW1":
        file = arrow.ipc.open_file(rest)
        for number in range(file.num_record_batches):
            yield file.get_batch(number)
    else:
        yield from arrow.ipc.open_stream(rest)


def _read_packed_parquet(stream: Any) -> Iterator[Any]:
    parquet: Any = importlib.import_module("pyarrow.parquet")
    yield from parquet.ParquetFile(io.BytesIO(stream.read())).iter_batches()


_READERS: dict[str, Callable[[Any], Iterator[Any]]] = {
    "csv": partial(_read_delimited, delimiter=","),
    "tsv": partial(_read_delimited, delimiter="\t"),
    "jsonl": _read_jsonl,
    "arrow": _read_arrow,
    "parquet": _read_packed_parquet,
}


def main(arguments: Sequence[str]) -> int:
    """Split the tables that are named on the command line: the folder for blocks, the size, then numbers and paths."""
    folder, size, *named = arguments
    for number, path in zip(named[::2], named[1::2], strict=True):
        try:
            for block in split(path, Path(folder), int(number), int(size)):
                print(json.dumps(block), flush=True)  # noqa: T201 (this is what it is for)
                if not sys.stdin.readline():
                    return 0
        except Unreadable as error:
            print(json.dumps({"unreadable": path, "message": str(error), "rows": error.rows}), flush=True)  # noqa: T201
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
