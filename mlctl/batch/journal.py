"""The job's log: what is committed, and nothing else is. Lines of JSON, each with its checksum, only ever appended.

A line that was cut off by the end of the process is not there: its mini-batch is scored again. Source: decision 10.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from mlctl.errors import Conflict

_SYNC_EVERY_S = 0.25


class Piece(NamedTuple):
    """Rows of a mini-batch in a part file; crc: zlib's."""

    part: str
    offset: int
    length: int
    crc: int


class BadItem(NamedTuple):
    """An item that could not be scored. item: a path, or a file and a row (from 0)."""

    item: str
    row: int | None
    error: str


@dataclass(frozen=True)
class Outcome:
    """What came of a mini-batch after all its tries. tries: what stands in the report, a row each."""

    index: int
    pieces: tuple[Piece, ...]
    items: int
    succeeded: int
    bad: tuple[BadItem, ...] = ()
    tries: tuple[tuple[Any, ...], ...] = field(default=(), compare=False)

    @property
    def failed(self) -> int:
        """Items without a result."""
        return self.items - self.succeeded


class Committed:
    """What the journal says, in little memory: a job may have millions of mini-batches."""

    def __init__(self) -> None:
        self.mini_batches = self.failed_mini_batches = 0
        self.items = self.succeeded = 0
        self._parts: list[str] = []
        self._numbers: dict[str, int] = {}
        self._is_in = bytearray()
        self._part, self._offset = array("i"), array("q")
        self._length, self._crc = array("q"), array("L")
        self._several: dict[int, tuple[Piece, ...]] = {}

    def __contains__(self, index: int) -> bool:
        return index < len(self._is_in) and bool(self._is_in[index])

    @property
    def parts(self) -> Sequence[str]:
        """The files that committed rows lie in."""
        return self._parts

    def add(self, outcome: Outcome) -> None:
        """Add a mini-batch, once."""
        index = outcome.index
        if index in self:
            raise AssertionError(f"mini-batch {index} is committed twice")
        while len(self._is_in) <= index:
            grow = max(64, len(self._is_in))
            self._is_in.extend(bytes(grow))
            for column in (self._part, self._offset, self._length, self._crc):
                column.extend([0] * grow)
        self._is_in[index] = 1
        self.mini_batches += 1
        self.failed_mini_batches += outcome.succeeded == 0 and outcome.items > 0
        self.items += outcome.items
        self.succeeded += outcome.succeeded
        numbers = [self._number(piece.part) for piece in outcome.pieces]
        if len(outcome.pieces) == 1:
            _, self._offset[index], self._length[index], self._crc[index] = outcome.pieces[0]
            self._part[index] = numbers[0]
        else:
            self._part[index] = -1
            self._several[index] = outcome.pieces

    def _number(self, part: str) -> int:
        if part not in self._numbers:
            self._numbers[part] = len(self._parts)
            self._parts.append(part)
        return self._numbers[part]

    def pieces(self, index: int) -> tuple[Piece, ...]:
        """Return where a mini-batch's rows lie."""
        if self._part[index] < 0:
            return self._several[index]
        part = self._parts[self._part[index]]
        return (Piece(part, self._offset[index], self._length[index], self._crc[index]),)


class Journal:
    """The file. One process has it open at a time, which the job's lock sees to.

    facts: what the job wrote down about itself, the last of each name.
    """

    def __init__(self, path: Path, parts: Path) -> None:
        self.committed = Committed()
        self.facts: dict[str, Any] = {}
        self._parts = parts
        self._path = path
        end = self._replay()
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.ftruncate(self._fd, end)
        os.lseek(self._fd, end, os.SEEK_SET)
        self._unsynced: set[str] = set()
        self._synced_at = time.monotonic()

    def _replay(self) -> int:
        """Read what is there; return where its last whole line ends."""
        end = 0
        for length, record in _read_records(self._path):
            end += length
            if "fact" in record:
                self.facts[record["fact"]] = record["value"]
            else:
                self.committed.add(_read_outcome(record))
        return end

    def commit(self, outcomes: Sequence[Outcome]) -> None:
        """Commit mini-batches: they will not be scored again, whatever happens to this process."""
        for outcome in outcomes:
            self.committed.add(outcome)
            self._unsynced.update(piece.part for piece in outcome.pieces)
        self._append([_write_outcome(outcome) for outcome in outcomes])
        if time.monotonic() - self._synced_at > _SYNC_EVERY_S:
            self.sync()

    def note(self, fact: str, value: Any) -> None:
        """Write a fact about the job down, at once and for good."""
        self.facts[fact] = value
        self._append([{"fact": fact, "value": value}])
        self.sync()

    def sync(self) -> None:
        """Make what is committed outlive a power cut: first the rows, then the lines that speak of them."""
        for part in self._unsynced:
            descriptor = os.open(self._parts / part, os.O_RDONLY)
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)
        self._unsynced.clear()
        os.fdatasync(self._fd)
        self._synced_at = time.monotonic()

    def _append(self, records: Sequence[dict[str, Any]]) -> None:
        left = memoryview(b"".join(map(_seal, records)))
        start = os.lseek(self._fd, 0, os.SEEK_CUR)
        try:
            while left:
                left = left[os.write(self._fd, left) :]
        except OSError:
            os.ftruncate(self._fd, start)
            os.lseek(self._fd, start, os.SEEK_SET)
            raise

    def close(self) -> None:
        """Sync, and let go."""
        self.sync()
        os.close(self._fd)


def _seal(record: dict[str, Any]) -> bytes:
    text = json.dumps(record, separators=(",", ":")).encode()
    return b"%08x %b\n" % (zlib.crc32(text), text)


def _read_records(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield each line's length and content, up to the first that is not whole."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for line in file:
            checksum, _, text = line.partition(b" ")
            if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text[:-1]):
                # After a power cut the last lines may be torn; a torn one in the middle is damage.
                if any(_is_sealed(later) for later in file):
                    raise Conflict(f"the journal {path} is damaged", hint="start a new job: mlctl batch invoke …")
                return
            yield len(line), json.loads(text)


def _is_sealed(line: bytes) -> bool:
    checksum, _, text = line.partition(b" ")
    return line.endswith(b"\n") and checksum == b"%08x" % zlib.crc32(text[:-1])


def _write_outcome(outcome: Outcome) -> dict[str, Any]:
    record: dict[str, Any] = {"mb": outcome.index, "p": outcome.pieces, "n": outcome.items, "ok": outcome.succeeded}
    if outcome.bad:
        record["bad"] = outcome.bad
    return record


def _read_outcome(record: dict[str, Any]) -> Outcome:
    return Outcome(
        record["mb"],
        tuple(Piece(*piece) for piece in record["p"]),
        record["n"],
        record["ok"],
        tuple(BadItem(*item) for item in record.get("bad", ())),
    )


def read_bad_items(path: Path) -> Iterator[tuple[int, BadItem]]:
    """Yield each mini-batch's number and its items that could not be scored, in the order of commits."""
    for _, record in _read_records(path):
        for item in record.get("bad", ()):
            yield record["mb"], BadItem(*item)
