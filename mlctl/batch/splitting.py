"""Turns a table into Arrow files that workers can read from anywhere: a process beside the coordinator of a job.

Reads in a stream, writes one block after the other and tells each on its standard output, and waits when it is too far
ahead: a block is only written when a line comes in for it. Blocks are the same each time the same table is read.
"""

from __future__ import annotations

import bisect
import bz2
import contextlib
import ctypes
import gzip
import importlib
import io
import json
import lzma
import os
import signal
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mlctl.batch.tables import find_format

_BLOCK_ROWS = 1 << 17
_BLOCK_BYTES = 64 << 20
# Arrow reads 32 of them ahead.
_CSV_BYTES = (1 << 20, 16 << 20, 256 << 20)
_READ_BYTES = 4 << 20
_PR_SET_PDEATHSIG = 1


class Unreadable(Exception):
    """A table cannot be read. rows: how many were, before the fault."""

    def __init__(self, message: str, rows: int) -> None:
        super().__init__(message)
        self.rows = rows


def split(path: str, folder: Path | None, number: int, size: int) -> Iterator[dict[str, Any]]:
    """Write the blocks of a table and yield where each lies and how many rows it has.

    folder: None: only count. number: of the file, part of the blocks' names. size: a block has a multiple of so many
    rows, but for the last. Raises Unreadable for the table, OSError when there is no room for a block.
    """
    arrow: Any = importlib.import_module("pyarrow")
    waiting: list[Any] = []
    rows = size_bytes = first_row = count = 0
    least = max(1, -(-_BLOCK_ROWS // size)) * size

    def write(table: Any) -> dict[str, Any]:
        nonlocal first_row, count
        block = {"kind": "arrow", "block": 0, "origin": path, "first_row": first_row, "rows": table.num_rows}
        if folder is not None:
            target = folder / f"{number:06d}-{count:06d}.arrow"
            block |= {"path": str(target), "blocks": _write_block(table.combine_chunks(), target)}
        first_row, count = first_row + table.num_rows, count + 1
        return block

    for batch in _read_counted(path):
        waiting.append(batch)
        rows, size_bytes = rows + batch.num_rows, size_bytes + batch.nbytes
        if rows >= least or (size_bytes >= _BLOCK_BYTES and rows >= size):
            table = arrow.Table.from_batches(waiting)
            whole = rows - rows % size
            yield write(table.slice(0, whole))
            rest = table.slice(whole)
            waiting, rows, size_bytes = rest.to_batches(), rest.num_rows, rest.nbytes if rest.num_rows else 0
    if rows:
        yield write(arrow.Table.from_batches(waiting))


def _write_block(table: Any, target: Path) -> int:
    """Write a block, whole or not at all, and return how many record batches it has."""
    arrow: Any = importlib.import_module("pyarrow")
    draft = target.with_suffix(f".{os.getpid()}")
    try:
        with arrow.OSFile(str(draft), "wb") as sink, arrow.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        with arrow.memory_map(str(draft)) as source:
            batches = arrow.ipc.open_file(source).num_record_batches
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return batches


def _read_counted(path: str) -> Iterator[Any]:
    """Read a table; raises Unreadable."""
    arrow: Any = importlib.import_module("pyarrow")
    rows = 0
    try:
        for batch in _read(path):
            rows += batch.num_rows
            yield batch
    except (arrow.ArrowException, OSError, EOFError, ValueError, lzma.LZMAError, zlib.error) as error:
        raise Unreadable(str(error), rows) from error


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
        if format_ in _DELIMITERS:
            yield from _read_delimited(lambda: stack.enter_context(_open(path, compression)), _DELIMITERS[format_])
            return
        stream = stack.enter_context(_open(path, compression))
        yield from _READERS[format_](stream)


def _open(path: str, compression: str) -> Any:
    openers: dict[str, Any] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
    if compression in openers:
        return openers[compression](path, "rb")
    arrow: Any = importlib.import_module("pyarrow")
    if compression:
        packed = arrow.CompressedInputStream(arrow.OSFile(path, "rb"), {".zst": "zstd", ".lz4": "lz4"}[compression])
        return io.BufferedReader(packed, _READ_BYTES)  # it cannot read lines by itself
    return Path(path).open("rb")


def _read_delimited(open_stream: Callable[[], Any], delimiter: str) -> Iterator[Any]:
    """Yield batches; the first one decides on the types. Where a row is too long, more is read at a time."""
    csv: Any = importlib.import_module("pyarrow.csv")
    parse = csv.ParseOptions(delimiter=delimiter, newlines_in_values=True)
    done, types = 0, None
    for size_bytes in _CSV_BYTES:
        # One thread: only then the reader knows the number of a row that is wrong.
        read = csv.ReadOptions(use_threads=False, block_size=size_bytes)
        skipped = 0
        try:
            for batch in csv.open_csv(open_stream(), read, parse, csv.ConvertOptions(column_types=types)):
                known, skipped = min(batch.num_rows, done - skipped), skipped + batch.num_rows
                if known < batch.num_rows:
                    _refuse_binary(batch, done)
                    types, done = batch.schema, done + batch.num_rows - known
                    yield batch.slice(known)
            return
        except Exception as error:
            if "straddling object" not in str(error) or size_bytes == _CSV_BYTES[-1]:
                raise


def _refuse_binary(batch: Any, first_row: int) -> None:
    """Refuse text that is not UTF-8, which pyarrow hands over as bytes when it meets it in the first rows."""
    arrow: Any = importlib.import_module("pyarrow")
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if arrow.types.is_binary(column.type):
            for row, value in enumerate(column.to_pylist()):
                try:
                    (value or b"").decode()
                except UnicodeDecodeError as error:
                    raise ValueError(
                        f"row {first_row + row:,}, column {name}: the text is not UTF-8: {error.reason}"
                    ) from None


def _read_jsonl(stream: Any) -> Iterator[Any]:
    """Yield batches of JSON lines; the first ones decide on the types."""
    json_reader: Any = importlib.import_module("pyarrow.json")
    schema: Any = None
    line_number = 0
    while lines := stream.readlines(_READ_BYTES):
        options = json_reader.ParseOptions(
            explicit_schema=schema, unexpected_field_behavior="error" if schema else "infer"
        )

        def parse(chosen: Sequence[bytes], options: Any = options) -> Any:
            return json_reader.read_json(io.BytesIO(b"".join(chosen)), parse_options=options)

        if not b"".join(lines).strip():
            line_number += len(lines)
            continue
        try:
            table = parse(lines)
        except Exception as error:
            raise ValueError(f"line {line_number + _find_line(lines, parse):,}: {error}") from error
        schema = schema or table.schema
        line_number += len(lines)
        yield from table.to_batches()


def _find_line(lines: Sequence[bytes], parse: Callable[[Sequence[bytes]], Any]) -> int:
    """Return the first line, from 1, with which the lines up to it cannot be parsed any more."""

    def fails(count: int) -> bool:
        if not b"".join(lines[:count]).strip():
            return False
        try:
            parse(lines[:count])
        except Exception:  # pyarrow raises what its parts raise
            return True
        return False

    return bisect.bisect_left(range(1, len(lines) + 1), True, key=fails) + 1


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


_DELIMITERS = {"csv": ",", "tsv": "\t"}
_READERS: dict[str, Callable[[Any], Iterator[Any]]] = {
    "jsonl": _read_jsonl,
    "arrow": _read_arrow,
    "parquet": _read_packed_parquet,
}


def main(arguments: Sequence[str]) -> int:
    """Split the tables that are named on the command line: the folder for blocks, the size, then numbers and paths.

    `-` in place of the folder: blocks are counted, not written.
    """
    # The coordinator may be killed; another one has the same blocks written again.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    folder, size, *named = arguments
    for number, path in zip(named[::2], named[1::2], strict=True):
        try:
            for block in split(path, None if folder == "-" else Path(folder), int(number), int(size)):
                print(json.dumps(block), flush=True)  # noqa: T201 (this is what it is for)
                if not sys.stdin.readline():
                    return 0
        except Unreadable as error:
            print(json.dumps({"unreadable": path, "message": str(error), "rows": error.rows}), flush=True)  # noqa: T201
            return 0
        except OSError as error:
            print(json.dumps({"unwritable": path, "message": str(error)}), flush=True)  # noqa: T201
            return 0
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
