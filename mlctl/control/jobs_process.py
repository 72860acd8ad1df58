"""Keeps the jobs service alive while there is anything for it to do. Used by `supervisor`.

Its socket is the daemon's: requests that come while the service is started, or started anew, wait for it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mlctl.registry import batch_endpoints, events, replicas, schedules
from mlctl.registry.store import Store
from mlctl.runtimes.processes import ProcessId, is_running, kill_session, send_signal, spawn
from mlctl.settings import Settings

log = logging.getLogger(__name__)

NAME = "jobs"
# One that ends again at once is not started again at once.
QUICK_DEATH_S = 2.0
STOP_GRACE_S = 40.0
_BACKLOG = 256


def is_needed(store: Store) -> bool:
    """Say whether there is a batch endpoint whose jobs may be asked for, or a schedule that may become due."""
    return bool(batch_endpoints.list_endpoints(store)) or schedules.has_any(store)


class JobsProcess:
    """The jobs service's process; used by one thread."""

    def __init__(self, settings: Settings, path: Path) -> None:
        self._settings = settings
        self._path = path
        self._listener: socket.socket | None = None
        self._process: ProcessId | None = None
        self._former: ProcessId | None = None
        self._kill_former_at = 0.0
        self._started_at = 0.0

    def replace_former(self, store: Store) -> None:
        """Tell the one of a former daemon to end: the next one waits until it has, and is this daemon's."""
        known = replicas.get_process(store, NAME)
        if known is None:
            return
        former = ProcessId(known.pid, known.start_ticks)
        if is_running(former):
            # First, so that at no moment nobody listens: the former one's socket is closed when it is told to end.
            with contextlib.suppress(OSError):
                self._listen()
            send_signal(former, signal.SIGTERM)
            self._former, self._kill_former_at = former, time.monotonic() + STOP_GRACE_S

    def ensure(self, store: Store) -> None:
        """Start it if it is needed and does not run, end it if it is not needed any more."""
        self._end_former()
        is_alive = self._process is not None and is_running(self._process)
        if not is_needed(store):
            if is_alive and self._process is not None:
                send_signal(self._process, signal.SIGTERM)
            return
        if is_alive or time.monotonic() - self._started_at < QUICK_DEATH_S:
            return
        if self._process is not None:
            log.warning("the jobs service ended, starting it again", extra={"event": "jobs.exited"})
        self._start(store)

    def _end_former(self) -> None:
        if self._former is None or not is_running(self._former):
            self._former = None
        elif time.monotonic() > self._kill_former_at:
            kill_session(self._former)

    def _start(self, store: Store) -> None:
        self._started_at = time.monotonic()
        try:
            listener = self._listen()
            self._process = spawn(
                [
                    *(sys.executable, "-P", "-m", "mlctl.service"),
                    *("--home", str(self._settings.home), "--fd", str(listener.fileno())),
                ],
                env=os.environ,
                cwd=self._settings.home,
                log_file=self._settings.logs / "jobs.stderr.log",
                pass_fds=(listener.fileno(),),
            )
        except OSError as error:
            log.error("cannot start the jobs service", extra={"event": "jobs.failed", "reason": str(error)})
            return
        process = self._process
        with store.transaction():
            replicas.put_process(store, NAME, pid=process.pid, start_ticks=process.start_ticks, state="ready")
            events.record(store, "jobs.started", "the jobs service started", pid=process.pid)

    def _listen(self) -> socket.socket:
        if self._listener is None:
            # Put in the place of a former one's in one step.
            made = self._path.with_suffix(".new")
            made.unlink(missing_ok=True)
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                listener.bind(str(made))
                made.chmod(0o600)
                listener.listen(_BACKLOG)
                made.replace(self._path)
            except OSError:
                listener.close()
                raise
            self._listener = listener
        return self._listener

    def stop(self, *, wait_until: Callable[[Callable[[], bool], float], bool]) -> None:
        """End it for good; jobs go on."""
        for process in (self._process, self._former):
            if process is None or not is_running(process):
                continue
            send_signal(process, signal.SIGTERM)
            if not wait_until(lambda process=process: not is_running(process), STOP_GRACE_S):
                kill_session(process)
