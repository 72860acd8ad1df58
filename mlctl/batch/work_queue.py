"""Which mini-batches are next. Workers take runs of neighbours, since those of one block are read together.

Each worker has a range of its own, a block of a table; who has none left takes half of somebody else's.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

from mlctl.batch.inputs import InputFile, MiniBatch

Make = Callable[[int], MiniBatch]
Choose = Callable[[int | None], int]


@dataclass
class _Range:
    """Mini-batches from `next` on, up to `end`, which is excluded. make: builds one, by its number."""

    next: int
    end: int
    make: Make

    @property
    def left(self) -> int:
        return self.end - self.next


class WorkQueue:
    """Mini-batches, numbered from 0 in the order of the input. Ranges are added while others are taken.

    is_done: says which are committed already and not to be given out.
    """

    def __init__(self, is_done: Callable[[int], bool]) -> None:
        self._is_done = is_done
        self._changed = threading.Condition()
        self._fresh: deque[_Range] = deque()
        self._owned: dict[int, _Range] = {}
        self._is_complete = False
        self._is_stopped = False
        self.mini_batches = self.items = 0

    def add(self, count: int, items: int, make: Make) -> None:
        """Add the next `count` mini-batches, of so many items."""
        with self._changed:
            self._fresh.append(_Range(self.mini_batches, self.mini_batches + count, make))
            self.mini_batches += count
            self.items += items
            self._changed.notify_all()

    def complete(self) -> None:
        """Say that there is no more to add."""
        with self._changed:
            self._is_complete = True
            self._changed.notify_all()

    def stop(self) -> None:
        """Give out no more."""
        with self._changed:
            self._is_stopped = True
            self._changed.notify_all()

    def left(self) -> int:
        """Return how many mini-batches are not given out yet, committed ones among them."""
        with self._changed:
            return self._count_left()

    def _count_left(self) -> int:
        return sum(found.left for found in (*self._fresh, *self._owned.values()))

    @property
    def is_complete(self) -> bool:
        """Whether all mini-batches are known."""
        return self._is_complete

    @property
    def is_exhausted(self) -> bool:
        """Whether there is nothing more to take, now or later."""
        return self._is_stopped or (self._is_complete and not self.left())

    def take(self, worker: int, choose: Choose) -> Sequence[MiniBatch]:
        """Return neighbours for a worker; waits for them, and is empty when there are no more.

        choose: says how many at most, given how many there are, None when that is not known yet.
        """
        with self._changed:
            while not self._is_stopped:
                most = choose(self._count_left() if self._is_complete else None)
                found = self._find(worker)
                if found is None:
                    if self._is_complete and not self._fresh:
                        return ()
                    self._changed.wait()
                    continue
                taken: list[MiniBatch] = []
                while found.left and len(taken) < most:
                    if not self._is_done(found.next):
                        taken.append(found.make(found.next))
                    elif taken:
                        break
                    found.next += 1
                if taken:
                    return taken
        return ()

    def _find(self, worker: int) -> _Range | None:
        own = self._owned.get(worker)
        if own is not None and own.left:
            return own
        if self._fresh:
            own = self._fresh.popleft()
        else:
            victim = max(self._owned.values(), key=lambda found: found.left, default=None)
            if victim is None or not victim.left:
                return None
            middle = victim.end - max(1, victim.left // 2)
            own = _Range(middle, victim.end, victim.make)
            victim.end = middle
        self._owned[worker] = own
        return own


def add_files(queue: WorkQueue, files: Sequence[InputFile], size: int) -> None:
    """Add all mini-batches of files, `size` of them in each; the last one has what is left."""

    def make(index: int) -> MiniBatch:
        return {"index": index, "files": [file.path for file in files[index * size : (index + 1) * size]]}

    queue.add(ceil(len(files) / size), len(files), make)


def add_block(queue: WorkQueue, table: dict[str, Any], rows: int, size: int) -> None:
    """Add the mini-batches of rows that are read together, `size` rows in each; the last one has what is left."""
    base = queue.mini_batches

    def make(index: int) -> MiniBatch:
        start = (index - base) * size
        return {"index": index, "table": table, "start": start, "rows": min(size, rows - start)}

    queue.add(ceil(rows / size), rows, make)
