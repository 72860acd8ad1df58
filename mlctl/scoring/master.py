"""The process in front of several workers: starts them, replaces the dead and the hung ones, ends them all.

It serves nothing itself and imports little: each worker is a fork of it, with a script, threads and connections of its
own. With WORKER_PRELOAD the script is loaded before, and init() called once. What is said is gunicorn's, which has this
part in Azure's server. Single-threaded; signals are not handled but waited for.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mlctl.scoring.place import READY_SIGNAL, Board, Place
from mlctl.scoring.user_code import Script

FAILED_BOOT = 3
_TICK_S = 0.25
_STOP_WITHIN_S = 38.0  # a worker takes 33 s at most
_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.2, 30.0
_STOP = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGQUIT})
_WAITED_FOR = _STOP | {signal.SIGHUP, signal.SIGCHLD, READY_SIGNAL}
_logger = logging.getLogger("gunicorn.error")


class Changes(Protocol):
    """Sees what changes in the script's files: see `serving.reloading`."""

    def __call__(self) -> str | None:
        """Name a changed file, once."""
        ...

    def settle(self) -> None:
        """Take note that a version has started."""
        ...


@dataclass(frozen=True)
class Crew:
    """What workers there are to be.

    fds: the listening sockets of each worker. sockets: their paths, where each has one of its own. is_shared: see
    `Place`. silence_s: a worker that is not heard of for so long is hung; 0 for never. changes: what names a file of
    the script that has changed since it was asked last, or None.
    """

    fds: tuple[tuple[int, ...], ...]
    is_shared: bool
    silence_s: float
    sockets: tuple[Path, ...] = ()
    changes: Changes | None = None

    @property
    def count(self) -> int:
        """How many workers."""
        return len(self.fds)


@dataclass
class _Worker:
    number: int
    slot: int
    pid: int
    was_ready: bool = False
    is_hung: bool = False


class _InWorker(BaseException):
    """Leads a fork out of the master's code."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place


class Master:
    """Looks after a crew. preload: loads the script for all; None where each worker does so itself."""

    def __init__(self, crew: Crew, preload: Callable[[], Script | None] | None = None) -> None:
        self._crew = crew
        self._preload = preload
        self._script: Script | None = None
        self._board = Board(2 * crew.count)  # those of the next version come up beside the present ones
        self._workers: dict[int, _Worker] = {}
        self._next: dict[int, _Worker] = {}
        self._leaving: list[_Worker] = []
        self._due: dict[int, float] = {}
        self._failures: dict[int, int] = {}
        self._hidden: set[int] = set()
        self._has_served = False
        self._pid = os.getpid()

    def run(self) -> int | Place:
        """Look after the workers until told to stop; returns the exit code, or in a worker its place."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR)
        try:
            return self._run()
        except _InWorker as worker:
            return worker.place

    def _run(self) -> int:
        if self._preload is not None:
            self._script = self._preload()
            if self._script is None:
                return self._give_up()
            # Memory is shared until somebody writes to it, as a garbage collection does.
            gc.collect()
            gc.freeze()
        self._start_all(self._workers)
        while True:
            number = self._wait(_TICK_S)
            if number in _STOP:
                _logger.info("Handling signal: %s", signal.Signals(number).name.removeprefix("SIG").lower())
                return self._stop()
            self._see_who_is_ready()
            if self._reap():
                return self._give_up()
            self._end_hung()
            self._replace_dead()
            self._look_for_change(is_asked=number == signal.SIGHUP)

    @staticmethod
    def _wait(timeout_s: float) -> int:
        found = signal.sigtimedwait(_WAITED_FOR, timeout_s)
        return found.si_signo if found else 0

    # Starting

    def _start_all(self, workers: dict[int, _Worker]) -> None:
        # Each is noted before the next one is started: so that they get different slots.
        for number in range(1, self._crew.count + 1):
            workers[number] = self._start(number)

    def _start(self, number: int) -> _Worker:
        slot = self._find_slot()
        self._board.reset(slot)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        with warnings.catch_warnings():
            # A preloaded script may have threads. That they are not in the workers is said in the documentation.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid:
            return _Worker(number, slot, pid)
        _logger.info("Booting worker with pid: %d", os.getpid())
        _leave_master()
        raise _InWorker(self._place(number, slot))

    def _find_slot(self) -> int:
        workers = [*self._workers.values(), *self._next.values(), *self._leaving]
        taken = {worker.slot for worker in workers}
        free = (slot for slot in range(2 * self._crew.count) if slot not in taken)
        # A third generation at a time shares the places of those that are about to end.
        return next(free, self._leaving[0].slot if self._leaving else 0)

    def _place(self, number: int, slot: int) -> Place:
        crew = self._crew
        fds = crew.fds[number - 1]
        for fd in {fd for others in crew.fds for fd in others}.difference(fds):
            os.close(fd)
        return Place(fds, number, crew.count, crew.is_shared, self._pid, self._board, slot, self._script)

    # Ends of workers

    def _reap(self) -> bool:
        """Take note of those that have ended; True when that is the end of all."""
        for worker in [*self._leaving]:
            if _collect(worker) is not None:
                self._leaving.remove(worker)
        for worker in [*self._next.values()]:
            if _collect(worker) is not None:
                del self._next[worker.number]
                self._drop_next("its worker ended before it was ready")
                break
        for worker in [*self._workers.values()]:
            status = _collect(worker)
            if status is not None and self._settle(worker, status):
                return True
        return False

    def _settle(self, worker: _Worker, status: int) -> bool:
        self._hide(worker.number)
        del self._workers[worker.number]
        was_ready = worker.was_ready or self._board.is_ready(worker.slot)
        code = os.waitstatus_to_exitcode(status)
        if code < 0:
            _logger.error("Worker (pid:%d) was sent %s!", worker.pid, _name_signal(-code))
        else:
            _logger.error("Worker (pid:%d) exited with code %d.", worker.pid, code)
        if was_ready:
            self._failures[worker.number] = 0
            self._has_served = True
        elif not self._has_served:
            return True
        else:
            self._failures[worker.number] = self._failures.get(worker.number, 0) + 1
        failures = self._failures[worker.number]
        wait_s = min(_FIRST_WAIT_S * 2 ** min(failures - 1, 10), _LONGEST_WAIT_S) if failures else 0.0
        self._due[worker.number] = time.monotonic() + wait_s
        return False

    def _give_up(self) -> int:
        """End all since one did not start: it would not the next time, either."""
        _logger.error("Worker failed to boot.")
        if self._crew.changes is not None and self._preload is None:
            _kill([*self._workers.values(), *self._next.values()])
            self._workers, self._next = {}, {}
            return self._await_change(self._crew.changes)
        _logger.error("Shutting down: Master")
        _kill([*self._workers.values(), *self._next.values(), *self._leaving])
        return FAILED_BOOT

    def _await_change(self, changes: Changes) -> int:
        _logger.info("Waiting for a change of the script's files; Ctrl-C ends.")
        while (changed := changes()) is None:
            if self._wait(_TICK_S) in _STOP:
                return FAILED_BOOT
        _logger.info("%s has changed: trying again", changed)
        return self._run()

    def _replace_dead(self) -> None:
        now = time.monotonic()
        for number in [number for number, at in self._due.items() if at <= now]:
            del self._due[number]
            self._workers[number] = self._start(number)

    def _end_hung(self) -> None:
        limit_s = self._crew.silence_s
        for worker in self._workers.values():
            if not limit_s or self._board.silent_for_s(worker.slot) <= limit_s:
                continue
            if worker.is_hung:
                os.kill(worker.pid, signal.SIGKILL)
                continue
            _logger.critical("WORKER TIMEOUT (pid:%d)", worker.pid)
            worker.is_hung = True
            os.kill(worker.pid, signal.SIGABRT)  # faulthandler writes where each thread is

    # Which sockets can be connected to

    def _see_who_is_ready(self) -> None:
        for worker in self._workers.values():
            if not worker.was_ready and self._board.is_ready(worker.slot):
                worker.was_ready = True
                self._show(worker.number)
        is_complete = len(self._workers) == self._crew.count
        if not self._has_served and is_complete and all(worker.was_ready for worker in self._workers.values()):
            self._has_served = True
            if self._crew.changes:
                self._crew.changes.settle()
        if self._next and all(self._board.is_ready(worker.slot) for worker in self._next.values()):
            self._switch()

    def _hide(self, number: int) -> None:
        """Take a dead worker's socket away: whoever connects is to try another one at once, not to wait for init().

        Where none is left, waiting is better: all are shown again.
        """
        if not self._crew.sockets:
            return
        others = [worker for worker in self._workers.values() if worker.number != number and worker.was_ready]
        if others:
            self._hidden.add(number)
            _rename(self._crew.sockets[number - 1], is_away=True)
        else:
            for other in range(1, self._crew.count + 1):
                self._show(other)

    def _show(self, number: int) -> None:
        if number in self._hidden:
            self._hidden.discard(number)
            _rename(self._crew.sockets[number - 1], is_away=False)

    # The next version

    def _look_for_change(self, *, is_asked: bool) -> None:
        changed = self._crew.changes() if self._crew.changes else None
        if changed is None and not is_asked:
            return
        if self._preload is not None or self._crew.sockets:
            _logger.warning("Nothing is loaded anew: start again for that")
            return
        _logger.info("%s: starting it anew", f"{changed} has changed" if changed else "Handling signal: hup")
        if self._next:
            _kill([*self._next.values()])
        self._next = {}
        self._start_all(self._next)

    def _switch(self) -> None:
        _send([*self._workers.values()], signal.SIGTERM)
        self._leaving += self._workers.values()
        self._workers, self._next = self._next, {}
        self._due.clear()
        for worker in self._workers.values():
            worker.was_ready = True
        if self._crew.changes:
            self._crew.changes.settle()
        _logger.info("The new version serves")

    def _drop_next(self, reason: str) -> None:
        _kill([*self._next.values()])
        self._next = {}
        _logger.error("The new version does not serve, the one before goes on: %s", reason)

    # The end

    def _stop(self) -> int:
        """Let all finish what they have; whoever asks a second time wants it at once."""
        workers = [*self._workers.values(), *self._leaving]
        _kill([*self._next.values()])
        _send(workers, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_WITHIN_S
        while workers and time.monotonic() < deadline:
            workers = [worker for worker in workers if _collect(worker) is None]
            if workers and self._wait(_TICK_S) in _STOP:
                break
        _kill(workers)
        _logger.info("Shutting down: Master")
        return 0


def _leave_master() -> None:
    """Undo in a fork what is the master's: until it serves, a worker simply ends when it is told to."""
    for number in _STOP:
        signal.signal(number, _exit)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(READY_SIGNAL, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _WAITED_FOR)


def _exit(_number: int, _frame: object) -> None:
    os._exit(0)


def _collect(worker: _Worker) -> int | None:
    """Return how a worker ended; None while it runs."""
    try:
        pid, status = os.waitpid(worker.pid, os.WNOHANG)
    except ChildProcessError:
        return 0
    return status if pid else None


def _send(workers: Sequence[_Worker], number: signal.Signals) -> None:
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            os.kill(worker.pid, number)


def _kill(workers: Sequence[_Worker]) -> None:
    _send(workers, signal.SIGKILL)
    for worker in workers:
        with contextlib.suppress(ChildProcessError):
            os.waitpid(worker.pid, 0)


def _rename(path: Path, *, is_away: bool) -> None:
    aside = path.with_name(f"{path.name}.away")
    with contextlib.suppress(FileNotFoundError):  # it is so already
        (path if is_away else aside).rename(aside if is_away else path)


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
