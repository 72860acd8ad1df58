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
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from mlctl.errors import Conflict

_SYNC_EVERY_S = 0.25
_EXAMPLES = 5


class Piece(NamedTuple):
    """Rows of a mini-batch in a part file; crc: zlib's."""

    part: str
    offset: int
    length: int
    crc: int


class BadItem(NamedTuple):
    """An item that could not be scored. item: a path, or a file and a row (from 0).

    rows: so many from that one on failed together: when all fail, that is told in few words. Without a row: so many of
    the items that `item` names, a range, got no result.
    """

    item: str
    row: int | None
    error: str
    rows: int = 1

    def render_place(self) -> str:
        """Say where it is."""
        if self.row is None:
            return self.item
        last = f" to {self.row + self.rows - 1:,}" if self.rows > 1 else ""
        return f"{self.item} row{'s' if last else ''} {self.row:,}{last}"


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


class Cut(NamedTuple):
    """Mini-batches that are not committed any more: `old` from `first` on (None: all), in whose place are `new`.

    file: the table, by its number, whose mini-batches these are; None: they are files.
    """

    first: int
    old: int | None
    new: int
    file: int | None = None

    def renumber(self, index: int) -> int | None:
        """Return a mini-batch's number after the cut; None for one that is cut out."""
        if index < self.first:
            return index
        if self.old is None or index < self.first + self.old:
            return None
        return index + self.new - self.old


class Committed:
    """What the journal says, in little memory: a job may have millions of mini-batches."""

    def __init__(self) -> None:
        self.mini_batches = self.failed_mini_batches = 0
        self.items = self.succeeded = 0
        self.file_counts: dict[int, int] = {}
        self._parts: list[str] = []
        self._numbers: dict[str, int] = {}
        self._is_in = bytearray()
        self._part, self._offset = array("i"), array("q")
        self._length, self._crc = array("q"), array("L")
        self._items, self._succeeded = array("l"), array("l")
        self._several: dict[int, tuple[Piece, ...]] = {}
        self._examples: list[tuple[int, BadItem]] = []

    def __contains__(self, index: int) -> bool:
        return index < len(self._is_in) and bool(self._is_in[index])

    @property
    def _columns(self) -> tuple[array[int], ...]:
        return (self._part, self._offset, self._length, self._crc, self._items, self._succeeded)

    @property
    def parts(self) -> Sequence[str]:
        """The files that committed rows lie in."""
        used = {self._part[index] for index, is_in in enumerate(self._is_in) if is_in}
        names = {self._parts[number] for number in used if number >= 0}
        names.update(piece.part for pieces in self._several.values() for piece in pieces)
        return sorted(names)

    @property
    def examples(self) -> Sequence[BadItem]:
        """The first of the items that could not be scored, in the order of the input."""
        return [bad for _, bad in self._examples]

    def add(self, outcome: Outcome) -> None:
        """Add a mini-batch, once."""
        index = outcome.index
        if index in self:
            raise AssertionError(f"mini-batch {index} is committed twice")
        while len(self._is_in) <= index:
            grow = max(64, len(self._is_in))
            self._is_in.extend(bytes(grow))
            for column in self._columns:
                column.extend([0] * grow)
        self._is_in[index] = 1
        self._items[index], self._succeeded[index] = outcome.items, outcome.succeeded
        if outcome.bad:
            known = [*self._examples, *((index, bad) for bad in outcome.bad[:_EXAMPLES])]
            self._examples = sorted(known, key=itemgetter(0))[:_EXAMPLES]
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

    def uncommit(self, cut: Cut) -> None:
        """Forget mini-batches, and number those behind them anew."""
        first, end = cut.first, len(self._is_in) if cut.old is None else cut.first + cut.old
        for index in range(first, min(end, len(self._is_in))):
            if self._is_in[index]:
                self.mini_batches -= 1
                self.failed_mini_batches -= self._succeeded[index] == 0 and self._items[index] > 0
                self.items -= self._items[index]
                self.succeeded -= self._succeeded[index]
        if first < len(self._is_in):
            self._is_in[first:end] = bytes(cut.new)
            for column in self._columns:
                column[first:end] = array(column.typecode, [0] * cut.new)
        moved = ((cut.renumber(index), pieces) for index, pieces in self._several.items())
        self._several = {index: pieces for index, pieces in moved if index is not None}
        examples = ((cut.renumber(index), bad) for index, bad in self._examples)
        self._examples = [(index, bad) for index, bad in examples if index is not None]
        if cut.file is not None:
            self.file_counts[cut.file] = cut.new

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
            elif "file" in record:
                self.committed.file_counts[record["file"]] = record["count"]
            elif "cut" in record:
                self.committed.uncommit(Cut(*record["cut"]))
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

    def uncommit(self, cuts: Sequence[Cut]) -> None:
        """Take mini-batches back, one cut after the other: they will be scored again."""
        for cut in cuts:
            self.committed.uncommit(cut)
        self._append([{"cut": cut} for cut in cuts])
        self.sync()

    def count_file(self, file: int, mini_batches: int) -> None:
        """Write down how many mini-batches a table has, before any of the next one is committed."""
        known = self.committed.file_counts.setdefault(file, mini_batches)
        if known != mini_batches:
            raise Conflict(
                f"input file {file + 1} has {mini_batches:,} mini-batches, it had {known:,} when the job began",
                hint=f"mlctl batch resume -n {self._path.parent.name} --changed scores it again",
            )
        self._append([{"file": file, "count": mini_batches}])

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
    """Yield each mini-batch's number and its items that could not be scored, in the order of the input.

    Rows that failed together come one by one. There may be millions: only where they are told is held in memory.
    """
    places: list[tuple[int, int]] = []
    at = 0
    for length, record in _read_records(path):
        if record.get("bad"):
            places.append((record["mb"], at))
        elif "cut" in record:
            moved = ((Cut(*record["cut"]).renumber(index), place) for index, place in places)
            places = [(index, place) for index, place in moved if index is not None]
        at += length
    if not places:
        return
    with path.open("rb") as file:
        for index, place in sorted(places):
            file.seek(place)
            for entry in json.loads(file.readline().partition(b" ")[2])["bad"]:
                yield from ((index, item) for item in _tell_apart(BadItem(*entry)))


def _tell_apart(bad: BadItem) -> Iterator[BadItem]:
    if bad.row is None:
        yield bad
        return
    for number in range(bad.rows):
        yield BadItem(bad.item, bad.row + number, bad.error)
