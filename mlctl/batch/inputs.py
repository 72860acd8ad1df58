"""The input of a job: which files there are, whether they are still the same, and how they are cut into mini-batches.

A mini-batch is a plain map, as workers get it (`mlctl.scoring.batch.messages`), so that it can go to another machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.batch.journal import BadItem
from mlctl.errors import InvalidInput

MiniBatch = Mapping[str, Any]
_HIDDEN = (".", "_")


@dataclass(frozen=True)
class InputFile:
    """A file as it was when the job began. Its size and time of change tell whether it is still the same."""

    path: str
    size_bytes: int
    modified_ns: int


def list_files(paths: Sequence[str], *, tables: bool) -> list[InputFile]:
    """Return all files, folders walked in the order of names.

    tables: leave out what no table is named like, as `_SUCCESS` and `.crc` files beside a table's.
    """
    found: list[InputFile] = []
    for path in paths:
        if not Path(path).exists():
            raise InvalidInput(f"the input {path} does not exist", hint=f"ls -l {Path(path).parent}")
        if Path(path).is_dir():
            found.extend(_walk(path, tables))
        else:
            found.append(_look(path))
    return found


def _walk(folder: str, tables: bool, above: frozenset[tuple[int, int]] = frozenset()) -> Iterator[InputFile]:
    """Yield the files below a folder. above: the folders that it lies in, which a link may lead back to."""
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        found = os.stat(folder)  # noqa: PTH116
    except OSError as error:
        raise InvalidInput(f"cannot read the input {folder}: {error.strerror}", hint=f"ls -ld {folder}") from error
    here = (found.st_dev, found.st_ino)
    if here in above:
        raise InvalidInput(f"the input goes round in a circle: {folder} leads back to itself", hint=f"ls -l {folder}")
    for entry in entries:
        if tables and entry.name.startswith(_HIDDEN):
            continue
        if entry.is_dir():
            yield from _walk(entry.path, tables, above | {here})
        elif not tables or entry.name != "MLTable":
            yield _look(entry.path)


def _look(path: str) -> InputFile:
    try:
        found = os.stat(path)  # noqa: PTH116  a Path for each of a million files takes seconds
    except OSError as error:
        raise InvalidInput(f"cannot read the input {path}: {error.strerror}", hint=f"ls -l {path}") from error
    return InputFile(path, found.st_size, found.st_mtime_ns)


def write_inputs(file: Path, inputs: Sequence[InputFile]) -> None:
    """Write down what is scored, whole or not at all."""
    draft = file.with_suffix(".new")
    with draft.open("w", encoding="utf-8") as writer:
        for found in inputs:
            writer.write(json.dumps([found.path, found.size_bytes, found.modified_ns]) + "\n")
        writer.flush()
        os.fsync(writer.fileno())
    draft.replace(file)


def read_inputs(file: Path) -> list[InputFile]:
    """Read what `write_inputs` wrote."""
    with file.open(encoding="utf-8") as reader:
        return [InputFile(*json.loads(line)) for line in reader]


def find_changed(inputs: Sequence[InputFile]) -> list[str]:
    """Return the files that are not any more as they were."""
    changed: list[str] = []
    for known in inputs:
        try:
            found = os.stat(known.path)  # noqa: PTH116
        except OSError:
            changed.append(known.path)
            continue
        if (found.st_size, found.st_mtime_ns) != (known.size_bytes, known.modified_ns):
            changed.append(known.path)
    return changed


def count_items(mini_batch: MiniBatch) -> int:
    """Return how many items a mini-batch has."""
    return len(mini_batch["files"]) if "files" in mini_batch else mini_batch["rows"]


def halve(mini_batch: MiniBatch) -> tuple[MiniBatch, MiniBatch]:
    """Cut a mini-batch of two items at least in two."""
    middle = count_items(mini_batch) // 2
    if "files" in mini_batch:
        files = mini_batch["files"]
        return {**mini_batch, "files": files[:middle]}, {**mini_batch, "files": files[middle:]}
    start, rows = mini_batch["start"], mini_batch["rows"]
    return (
        {**mini_batch, "rows": middle},
        {**mini_batch, "start": start + middle, "rows": rows - middle},
    )


def render_range(mini_batch: MiniBatch) -> str:
    """Say which items a mini-batch has, by the first and the last."""
    if "files" not in mini_batch:
        return name_items(mini_batch, "")[0].render_place()
    files = mini_batch["files"]
    return files[0] if len(files) == 1 else f"{files[0]} to {files[-1]}"


def name_items(mini_batch: MiniBatch, error: str) -> list[BadItem]:
    """Name all items of a mini-batch, as failed with one error."""
    if "files" in mini_batch:
        return [BadItem(file, None, error) for file in mini_batch["files"]]
    table, start = mini_batch["table"], mini_batch["start"]
    return [BadItem(table["origin"], table["first_row"] + start, error, mini_batch["rows"])]
