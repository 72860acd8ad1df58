"""Where a worker stands among those of its master, and what the two tell each other: in memory that they share."""

from __future__ import annotations

import mmap
import os
import signal
import time
from dataclasses import dataclass

from mlctl.scoring.user_code import Script

# Tells the master that a worker has begun to serve: it need not look for that all the time.
READY_SIGNAL = signal.SIGUSR1


class Board:
    """For each place: when its worker was last heard of, on time.monotonic's clock, and whether it serves."""

    def __init__(self, places: int) -> None:
        self._memory = mmap.mmap(-1, 16 * places)
        self._values = memoryview(self._memory).cast("d")

    def reset(self, place: int) -> None:
        """Note that a worker is being started."""
        self._values[2 * place + 1] = 0.0
        self.beat(place)

    def beat(self, place: int) -> None:
        """Note that a worker lives."""
        self._values[2 * place] = time.monotonic()

    def silent_for_s(self, place: int) -> float:
        """Return how long ago it was heard of."""
        return time.monotonic() - self._values[2 * place]

    def set_ready(self, place: int) -> None:
        """Note that a worker serves."""
        self._values[2 * place + 1] = 1.0

    def is_ready(self, place: int) -> bool:
        """Say whether it does."""
        return self._values[2 * place + 1] == 1.0


@dataclass(frozen=True)
class Place:
    """A worker's part. number: from 1 to count. fds: the listening sockets, shared with the other workers or its own.

    master: the process that looks after it, 0 for none. script: what the master has loaded already, init() called.
    """

    fds: tuple[int, ...]
    number: int = 1
    count: int = 1
    is_shared: bool = False
    master: int = 0
    board: Board | None = None
    slot: int = 0
    script: Script | None = None

    @property
    def is_orphaned(self) -> bool:
        """Whether the master has died."""
        return self.master != 0 and os.getppid() != self.master

    def beat(self) -> None:
        """Tell the master that all is well."""
        if self.board is not None:
            self.board.beat(self.slot)

    def say_ready(self) -> None:
        """Tell the master that requests are answered."""
        if self.board is not None and not self.is_orphaned:
            self.board.beat(self.slot)
            self.board.set_ready(self.slot)
            os.kill(self.master, READY_SIGNAL)
