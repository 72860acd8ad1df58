"""The job's output: all committed rows, in the order of the input, as one file that appears whole or not at all."""

from __future__ import annotations

import importlib
import json
import os
import tempfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.batch.folder import JobFolder
from mlctl.batch.journal import Journal, Piece
from mlctl.batch.order import JobOutput
from mlctl.errors import BackendUnavailable, Conflict, InvalidInput

_GROUP_ROWS = 1 << 17
_MOST_OPEN = 64
_DRAFT = ".restored"
_PREDICTION = "prediction"


@dataclass(frozen=True)
class Written:
    """The output. rows: of the results, the header not counted; None where they are not counted."""

    path: Path
    size_bytes: int


def find_target(output: JobOutput) -> Path:
    """Return where the output goes."""
    return Path(output.folder) / output.file_name


def prepare_folder(output: JobOutput) -> None:
    """Make the folder of the output, and see that it can be written to, before anything is scored."""
    folder = Path(output.folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise InvalidInput(
            f"cannot write to the output folder {folder}: {error.strerror}", hint=f"ls -ld {folder}; df -h {folder}"
        ) from error


def refuse_existing(output: JobOutput) -> None:
    """Refuse an output that is there already: results of another job are not written over."""
    target = find_target(output)
    if output.action == "append_row" and target.exists():
        raise Conflict(
            f"the output {target} exists already",
            hint="choose another: --output-path FOLDER, or --set output_file_name=NAME",
        )


class OpenFiles:
    """Files of a folder, not too many of them open at once: each worker that was lost has left one.

    flags: how they are opened.
    """

    def __init__(self, folder: Path, flags: int) -> None:
        self._folder = folder
        self._flags = flags
        self._open: OrderedDict[str, int] = OrderedDict()

    def find(self, name: str) -> int:
        """Return the descriptor of a file."""
        if name not in self._open:
            if len(self._open) >= _MOST_OPEN:
                self._close(self._open.popitem(last=False)[1])
            self._open[name] = os.open(self._folder / name, self._flags | os.O_CLOEXEC, 0o600)
        self._open.move_to_end(name)
        return self._open[name]

    def _close(self, descriptor: int) -> None:
        if self._flags & (os.O_WRONLY | os.O_RDWR):
            os.fdatasync(descriptor)
        os.close(descriptor)

    def close(self) -> None:
        """Close all, what was written safely on the disk."""
        while self._open:
            self._close(self._open.popitem()[1])


class PartReader:
    """Reads committed rows, and notices those that are not any more as they were written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files = OpenFiles(folder, os.O_RDONLY)

    def read(self, piece: Piece) -> bytes:
        """Return a piece; raises BackendUnavailable when its file is damaged."""
        data = os.pread(self._files.find(piece.part), piece.length, piece.offset)
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
        self._files.close()


def assemble(folder: JobFolder, journal: Journal, output: JobOutput, mini_batches: int, job: str) -> Written:
    """Write the output of a job, or find the one that an interrupted run of it has put there."""
    target = find_target(output)
    draft = target.with_name(f".{target.name}.{job}")
    # It may be the output itself, by another name, if the process was killed just before this was to be removed.
    draft.unlink(missing_ok=True)
    if is_published(journal, output):
        return Written(target, target.stat().st_size)
    target.parent.mkdir(parents=True, exist_ok=True)
    reader = PartReader(folder.parts)
    header_bytes = 0
    try:
        pieces = (piece for index in range(mini_batches) for piece in journal.committed.pieces(index))
        if output.format == "parquet":
            _write_parquet(draft, reader, pieces, journal)
        else:
            header_bytes = _write_text(draft, reader, pieces, journal, output)
        size_bytes = _sync(draft)
        inode = draft.stat().st_ino
        journal.note("published", {"size": size_bytes, "header_bytes": header_bytes, "inode": inode})
        if is_replaceable(journal, target):
            draft.rename(target)
            _sync_folder(target.parent)
        else:
            _publish(draft, target)
    finally:
        reader.close()
        with suppress(OSError):
            draft.unlink()
    return Written(target, size_bytes)


def is_published(journal: Journal, output: JobOutput) -> bool:
    """Say whether the output is there, complete and this job's own."""
    published, target = journal.facts.get("published"), find_target(output)
    if not published or not target.exists():
        return False
    found = target.stat()
    # A job that scores changed files once more replaces an output that may be as long as the new one.
    is_same = not journal.facts.get("replaces") or found.st_ino == published["inode"]
    return is_same and found.st_size == published["size"]


def is_replaceable(journal: Journal, target: Path) -> bool:
    """Say whether there is an earlier output of this job, which a new one may replace."""
    replaced = journal.facts.get("replaces")
    return bool(replaced) and target.exists() and target.stat().st_size == replaced["size"]


def restore_parts(folder: JobFolder, journal: Journal, output: JobOutput) -> None:
    """Write the parts of a job that has ended anew, from its output, for a run that replaces some of the rows.

    Raises Conflict when the output is not any more as it was written.
    """
    committed, target = journal.committed, find_target(output)
    if all((folder.parts / part).exists() for part in committed.parts):
        return
    refused = Conflict(
        f"the output {target} is not any more as the job wrote it: rows that need no new score come from it",
        hint="start a new job: mlctl batch invoke …",
    )
    try:
        source = target.open("rb")
    except OSError as error:
        raise refused from error
    # Parts of a restoration that was cut short do not look like parts.
    for draft in folder.parts.glob(f"*{_DRAFT}"):
        draft.unlink()
    files = OpenFiles(folder.parts, os.O_WRONLY | os.O_CREAT)
    with source, closing(files):
        source.seek(journal.facts["published"]["header_bytes"])
        for piece in (piece for index in range(committed.mini_batches) for piece in committed.pieces(index)):
            data = source.read(piece.length)
            if len(data) != piece.length or zlib.crc32(data) != piece.crc:
                raise refused
            _write_at(files.find(f"{piece.part}{_DRAFT}"), data, piece.offset)
    for draft in folder.parts.glob(f"*{_DRAFT}"):
        draft.rename(draft.with_name(draft.name.removesuffix(_DRAFT)))


def _write_at(descriptor: int, data: bytes, offset: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(descriptor, left, offset)
        left, offset = left[written:], offset + written


def _write_text(draft: Path, reader: PartReader, pieces: Iterator[Piece], journal: Journal, output: JobOutput) -> int:
    """Write the rows, below a header if asked for, and return the header's length."""
    header = b""
    with draft.open("wb", buffering=1 << 20) as file:
        if output.header and output.format != "jsonl" and (names := _find_names(reader, journal)):
            separator = " " if output.format == "az" else ","
            header = (separator.join(_quote(name, separator) for name in names) + "\n").encode()
            file.write(header)
        for piece in pieces:
            file.write(reader.read(piece))
    return len(header)


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
    _sync_folder(target.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
