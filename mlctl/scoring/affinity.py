"""Keeps the HTTP thread on the processor that the main thread runs on. Used by `__main__` when one thread calls run().

The two hand the interpreter's lock to each other several times a request. Across processors each hand-over costs a
wake-up of the other one; on one processor it is a switch. The main thread is left free, and with it every thread that a
numeric library starts from it.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

_LOOK_EVERY_S = 0.1
# Of the fields of /proc/self/task/N/stat after the name, which processor it last ran on.
_PROCESSOR_FIELD = 36


class Companion:
    """Moves the thread that calls `follow` to the main thread's processor. Off where the system has no such calls."""

    def __init__(self, *, is_on: bool) -> None:
        self._is_on = is_on and hasattr(os, "sched_setaffinity")
        self._main = Path(f"/proc/self/task/{os.getpid()}/stat")
        self._next_at = 0.0
        self._processor = -1

    def follow(self) -> None:
        """Look where the main thread is, ten times a second at most."""
        now = time.monotonic()
        if not self._is_on or now < self._next_at:
            return
        self._next_at = now + _LOOK_EVERY_S
        try:
            self._move(_read_processor(self._main))
        except (OSError, ValueError, IndexError):
            self._is_on = False

    def _move(self, processor: int) -> None:
        if processor != self._processor:
            os.sched_setaffinity(threading.get_native_id(), {processor})
            self._processor = processor


def _read_processor(stat: Path) -> int:
    return int(stat.read_text().rsplit(")", 1)[1].split()[_PROCESSOR_FIELD])
