"""Scores changed files again: what was committed of them is taken back, the rest of the job stays. Used by `engine`.

Which mini-batches a table has may change with it: those of the tables behind it are numbered anew.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlctl.batch import inputs, tables
from mlctl.batch.assemble import is_published, refuse_existing, restore_parts
from mlctl.batch.folder import JobFolder
from mlctl.batch.inputs import InputFile
from mlctl.batch.journal import Cut, Journal
from mlctl.batch.order import JobOrder
from mlctl.errors import Conflict, InvalidInput

_SHOWN = 3


def take_changes(order: JobOrder, folder: JobFolder, journal: Journal) -> list[InputFile]:
    """Return the input as it is now, with nothing committed of the files that have changed; clears the flag for it.

    Raises Conflict when files were added or removed, InvalidInput when a changed table cannot be read; nothing has
    changed then. Can be repeated after being killed at any point.
    """
    known = inputs.read_inputs(folder.inputs)
    found = inputs.list_files(order.input.paths, tables=order.input.mode != "files")
    _refuse_others(known, found)
    changed = [number for number, file in enumerate(found) if file != known[number]]
    cuts = list(
        _cut_files(order, changed) if order.input.mode == "files" else _cut_tables(order, journal, found, changed)
    )
    if changed:
        if journal.facts.get("published"):
            restore_parts(folder, journal, order.output)
            if is_published(journal, order.output):
                journal.note("replaces", journal.facts["published"])
            else:
                refuse_existing(order.output)
        journal.note("published", None)
        journal.uncommit(cuts)
        inputs.write_inputs(folder.inputs, found)
    folder.changed.unlink(missing_ok=True)
    return found


def _refuse_others(known: Sequence[InputFile], found: Sequence[InputFile]) -> None:
    before, now = [file.path for file in known], [file.path for file in found]
    for word, paths in (
        ("added", sorted(set(now) - set(before))),
        ("removed", sorted(set(before) - set(now))),
    ):
        if paths:
            shown = ", ".join(paths[:_SHOWN]) + (f" and {len(paths) - _SHOWN:,} more" if len(paths) > _SHOWN else "")
            raise Conflict(
                f"files were {word} since the job began: {shown}; only changed ones can be scored again",
                hint="start a new job: mlctl batch invoke …",
            )
    if before != now:
        raise Conflict(
            "the input's files come in another order than before", hint="start a new job: mlctl batch invoke …"
        )


def _cut_files(order: JobOrder, changed: Sequence[int]) -> Iterator[Cut]:
    for index in sorted({number // order.mini_batch_size for number in changed}):
        yield Cut(index, 1, 1)


def _cut_tables(order: JobOrder, journal: Journal, files: Sequence[InputFile], changed: Sequence[int]) -> Iterator[Cut]:
    # As numbered once the cuts before are made.
    counts, first, at = dict(journal.committed.file_counts), 0, 0
    for number in changed:
        while at < number and at in counts:
            first, at = first + counts[at], at + 1
        if at < number:
            return  # nothing is committed of this one, nor of those behind it
        if number not in counts:
            yield Cut(first, None, 0)
            return
        new = count_mini_batches(files[number], order.mini_batch_size)
        yield Cut(first, counts[number], new, number)
        counts[number] = new


def count_mini_batches(file: InputFile, size: int) -> int:
    """Return how many mini-batches a table has; reads all of it where its format does not tell."""
    blocks = tables.plan_blocks(file)
    rows = [block.rows for block in blocks] if blocks is not None else _read_blocks(file, size)
    return sum(-(-count // size) for count in rows)


def _read_blocks(file: InputFile, size: int) -> Iterator[int]:
    words = [sys.executable, "-P", "-m", "mlctl.batch.splitting", "-", str(size), "0", file.path]
    pipe = subprocess.PIPE
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as reader:
        assert reader.stdin is not None
        assert reader.stdout is not None
        for line in reader.stdout:
            block: Mapping[str, Any] = json.loads(line)
            if "rows" not in block or "unreadable" in block:
                raise InvalidInput(f"cannot read {file.path}: {block['message']}", hint=f"ls -l {file.path}")
            yield block["rows"]
            reader.stdin.write(b"\n")
            reader.stdin.flush()
    if reader.returncode != 0:
        raise InvalidInput(f"cannot read {file.path}: its reader ended with {reader.returncode}")
