"""Runs schedules: looks at the registry often, and starts what is due. A thread of the service."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from mlctl.errors import MlctlError
from mlctl.ops import schedule_runs
from mlctl.ops.session import Session
from mlctl.registry import schedules
from mlctl.registry.schedules import ScheduleRow, ScheduleRunRow
from mlctl.settings import Settings

log = logging.getLogger(__name__)

POLL_S = 0.5
# As many jobs are started at once; further ones wait.
THREADS = 4
_Key = tuple[str, str]


class Clock:
    """Starts what is due until it is stopped. One schedule's runs are started one after the other."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._environ = environ
        self._now = now
        self._stopping = threading.Event()
        self._busy: set[_Key] = set()
        self._lock = threading.Lock()
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="schedule")
        self._thread = threading.Thread(target=self._run, name="schedules", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the jobs that are being started."""
        self._stopping.set()
        self._thread.join()
        self._threads.shutdown()

    def _run(self) -> None:
        has_recovered, is_readable = False, True
        while not self._stopping.is_set():
            try:
                has_recovered = has_recovered or self._recover()
                self.look()
                is_readable = True
            except MlctlError as error:
                if is_readable:
                    log.error("cannot look at schedules", extra={"event": "schedules.failed", "reason": error.message})
                is_readable = False
            except Exception:
                # Whatever went wrong now, the next look may go well.
                log.exception("cannot look at schedules", extra={"event": "schedules.failed"})
            self._stopping.wait(POLL_S)

    def look(self) -> None:
        """Hand every schedule that is enabled, and not busy, to a thread if something may be due."""
        session = self._open()
        try:
            rows = schedules.list_schedules(session.store)
        finally:
            session.close()
        for row in rows:
            if row.is_enabled:
                self._submit((row.workspace, row.name.lower()), lambda row=row: self._run_due(row))

    def _recover(self) -> bool:
        """Go on with what another one was about to start when it ended."""
        session = self._open()
        try:
            runs = schedules.list_unsettled(session.store)
        finally:
            session.close()
        for run in runs:
            self._submit((run.workspace, run.schedule.lower()), lambda run=run: self._recover_run(run))
        return True

    def _submit(self, key: _Key, work: Callable[[], None]) -> None:
        with self._lock:
            if key in self._busy:
                return
            self._busy.add(key)
        self._threads.submit(self._work, key, work)

    def _work(self, key: _Key, work: Callable[[], None]) -> None:
        try:
            work()
        except MlctlError as error:
            log.error(
                "schedule failed", extra={"event": "schedule.failed", "schedule": key[1], "reason": error.message}
            )
        except Exception:
            log.exception("schedule failed", extra={"event": "schedule.failed", "schedule": key[1]})
        finally:
            with self._lock:
                self._busy.discard(key)

    def _run_due(self, row: ScheduleRow) -> None:
        session = self._open(row.workspace)
        try:
            schedule_runs.run_due(session, row, now=self._now())
        finally:
            session.close()

    def _recover_run(self, run: ScheduleRunRow) -> None:
        session = self._open(run.workspace)
        try:
            schedule_runs.recover_run(session, run)
        finally:
            session.close()

    def _open(self, workspace: str | None = None) -> Session:
        session = Session(settings=self._settings, environ=self._environ, on_notice=_note)
        if workspace is not None:
            session.workspace = workspace
        return session


def _note(text: str) -> None:
    log.warning(text, extra={"event": "schedule.notice"})
