"""The job's output: all committed rows, in the order of the input, as one file that appears whole or not at all."""

from __future__ import annotations

import importlib
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.batch.folder import JobFolder
from mlctl.batch.journal import Journal, Piece
from mlctl.batch.order import JobOutput
from mlctl.errors import BackendUnavailable, Conflict

_GROUP_ROWS = 1 << 17
_PREDICTION = "prediction"


@dataclass(frozen=True)
class Written:
    """The output. rows: of the results, the header not counted; None where they are not counted."""

    path: Path
    size_bytes: int


def find_target(output: JobOutput) -> Path:
    """Return where the output goes."""
    return Path(output.folder) / output.file_name


def refuse_existing(output: JobOutput) -> None:
    """Refuse an output that is there already: results of another job are not written over."""
    target = find_target(output)
    if output.action == "append_row" and target.exists():
        raise Conflict(
            f"the output {target} exists already",
            hint="choose another: --output-path FOLDER, or --set output_file_name=NAME",
        )


class PartReader:
    """Reads committed rows, and notices those that are not any more as they were written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptors: dict[str, int] = {}

    def read(self, piece: Piece) -> bytes:
        """Return a piece; raises BackendUnavailable when its file is damaged."""
        if piece.part not in self._descriptors:
            self._descriptors[piece.part] = os.open(self._folder / piece.part, os.O_RDONLY | os.O_CLOEXEC)
        data = os.pread(self._descriptors[piece.part], piece.length, piece.offset)
        if len(data) != piece.length or zlib.crc32(data) != piece.crc:
            raise BackendUnavailable(
                f"{self._folder / piece.part} is damaged: rows that were committed cannot be read",
                hint="the disk may be failing; start a new job: mlctl batch invoke …",
            )
        return data

    def schema(self, part: str) -> bytes:
        """Return the schema of a part's rows."""
        return (self._folder / f"{part}.schema").read_bytes()

    def close(self) -> None:
        """Close the files."""
        for descriptor in self._descriptors.values():
            os.close(descriptor)


def assemble(folder: JobFolder, journal: Journal, output: JobOutput, mini_batches: int, job: str) -> Written:
    """Write the output of a job, or find the one that an interrupted run of it has put there."""
    target = find_target(output)
    published = journal.facts.get("published")
    if published is not None and target.exists() and target.stat().st_size == published["size"]:
        return Written(target, published["size"])
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{job}")
    reader = PartReader(folder.parts)
    try:
        pieces = (piece for index in range(mini_batches) for piece in journal.committed.pieces(index))
        if output.format == "parquet":
            _write_parquet(draft, reader, pieces, journal)
        else:
            _write_text(draft, reader, pieces, journal, output)
        size_bytes = _sync(draft)
        journal.note("published", {"size": size_bytes})
        _publish(draft, target)
    finally:
        reader.close()
        with suppress(OSError):
            draft.unlink()
    return Written(target, size_bytes)


def _write_text(draft: Path, reader: PartReader, pieces: Iterator[Piece], journal: Journal, output: JobOutput) -> None:
    with draft.open("wb", buffering=1 << 20) as file:
        if output.header and output.format != "jsonl" and (names := _find_names(reader, journal)):
            separator = " " if output.format == "az" else ","
            file.write((separator.join(_quote(name, separator) for name in names) + "\n").encode())
        for piece in pieces:
            file.write(reader.read(piece))


def _find_names(reader: PartReader, journal: Journal) -> list[str]:
    """Return the names of the columns; those that differ between mini-batches cannot have one header."""
    found = {names for part in journal.committed.parts if (names := reader.schema(part))}
    if len(found) > 1:
        lists = " and ".join(sorted(names.decode() for names in found)[:2])
        raise Conflict(
            f"the results have no common header: run() returned columns {lists}",
            hint="return the same columns for every mini-batch, or turn the header off",
        )
    return json.loads(found.pop()) if found else [_PREDICTION]


def _quote(name: str, separator: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(char in name for char in (separator, '"', "\n")) else name


def _write_parquet(draft: Path, reader: PartReader, pieces: Iterator[Piece], journal: Journal) -> None:
    """Write row groups of 131,072 rows. Columns that are whole numbers in one mini-batch may be floats in another."""
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    schemas = {
        part: arrow.ipc.read_schema(arrow.py_buffer(reader.schema(part))) for part in sorted(journal.committed.parts)
    }
    try:
        common = arrow.unify_schemas([*schemas.values()], promote_options="permissive")
    except arrow.ArrowException as error:
        raise Conflict(
            f"the results of different mini-batches do not fit into one table: {error}",
            hint="return the same columns, of the same types, for every mini-batch",
        ) from error
    waiting: list[Any] = []
    rows = 0
    # Measurements hardly ever repeat: to look for that takes three times as long as to write them.
    repeating = [field.name for field in common if not arrow.types.is_floating(field.type)]
    with parquet.ParquetWriter(draft, common, use_dictionary=repeating) as writer:

        def flush() -> None:
            nonlocal waiting, rows
            if all(schema.equals(common) for schema in schemas.values()):
                table = arrow.Table.from_batches(waiting)
            else:
                table = _join(arrow, [arrow.Table.from_batches([batch]) for batch in waiting], common)
            writer.write_table(table.combine_chunks(), row_group_size=_GROUP_ROWS)
            waiting, rows = [], 0

        for piece in pieces:
            batch = arrow.ipc.read_record_batch(arrow.py_buffer(reader.read(piece)), schemas[piece.part])
            waiting.append(batch)
            rows += batch.num_rows
            if rows >= _GROUP_ROWS:
                flush()
        if waiting:
            flush()


def _join(arrow: Any, tables: list[Any], schema: Any) -> Any:
    return arrow.concat_tables(tables, promote_options="permissive").select(schema.names).cast(schema)


def _sync(file: Path) -> int:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fsync(descriptor)
        return os.fstat(descriptor).st_size
    finally:
        os.close(descriptor)


def _publish(draft: Path, target: Path) -> None:
    """Give the file its name, which nobody else may have taken meanwhile."""
    try:
        os.link(draft, target)
    except FileExistsError as error:
        raise Conflict(
            f"the output {target} exists already: somebody else has written it while the job ran",
            hint=f"move it away, then: mlctl batch resume -n {draft.suffix.removeprefix('.')}",
        ) from error
    except OSError:
        # No hard links here: the time between the look and the rename is what remains.
        if target.exists():
            raise Conflict(f"the output {target} exists already", hint="move it away, then resume the job") from None
        draft.rename(target)
    descriptor = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
