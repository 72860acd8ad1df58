"""Keeps the HTTP thread on the processor that the main thread runs on. Used by `__main__` when one thread calls run().

The two hand the interpreter's lock to each other several times a request. Across processors each hand-over costs a
wake-up of the other one; on one processor it is a switch. The main thread is left free while it runs the script, and
with it every thread and process that the script starts. While it waits it stays where it is: woken by a thread on its
own processor it would be put onto another, idle one, with cold caches and the HTTP thread to be moved after it.

The HTTP thread does not interrupt the main thread: what arrives while run() is busy is read in one go after it, not
request by request in between. Both together make a script that takes 0.1 ms a quarter faster.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

_LOOK_EVERY_S = 0.1
# Of the fields of /proc/self/task/N/stat after the name, which processor it last ran on.
_PROCESSOR_FIELD = 36

T = TypeVar("T")


class Companion:
    """Moves the thread that calls `follow` to the main thread's processor. Off where the system has no such calls."""

    def __init__(self, *, is_on: bool) -> None:
        self._is_on = is_on and hasattr(os, "sched_setaffinity")
        self._main = Path(f"/proc/self/task/{os.getpid()}/stat")
        self._next_at = 0.0
        self._processor = -1

    def yield_to_main(self) -> None:
        """Have the calling thread wait, for some milliseconds at most, until the main thread pauses."""
        if self._is_on:
            with contextlib.suppress(OSError):
                os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))

    def settle(self, tickets: queue.SimpleQueue[T]) -> Callable[[], T]:
        """Return what gets from the queue, called in the main thread, which it keeps on its processor meanwhile."""
        try:
            # PyDLL: the call is too short for letting go of the interpreter.
            find_processor: Any = ctypes.PyDLL(None).sched_getcpu
        except (OSError, AttributeError):
            return tickets.get
        return _get_settled(tickets, find_processor) if self._is_on else tickets.get

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


def _get_settled(tickets: queue.SimpleQueue[T], find_processor: Callable[[], int]) -> Callable[[], T]:
    is_empty, get, move = tickets.empty, tickets.get, os.sched_setaffinity
    everywhere = os.sched_getaffinity(0)

    def get_settled() -> T:
        if not is_empty():
            return get()
        try:
            move(0, {find_processor()})
        except OSError:  # the processors that the process may use have changed
            return get()
        try:
            return get()
        finally:
            with contextlib.suppress(OSError):
                move(0, everywhere)

    return get_settled


def _read_processor(stat: Path) -> int:
    return int(stat.read_text().rsplit(")", 1)[1].split()[_PROCESSOR_FIELD])
