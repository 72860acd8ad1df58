"""Runs schedules: looks at the registry often, and starts what is due. A thread of the service."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mlctl.errors import MlctlError
from mlctl.ops import schedule_runs
from mlctl.ops.session import Session
from mlctl.planning.schedules import find_next_run
from mlctl.registry import schedules
from mlctl.registry.schedules import ScheduleRow, ScheduleRunRow
from mlctl.settings import Settings

log = logging.getLogger(__name__)

POLL_S = 0.5
# As many jobs are started at once; further ones wait.
THREADS = 4
_Key = tuple[str, str]


@dataclass(frozen=True)
class _Next:
    """When a schedule is due next, as long as it is what it was. at: epoch seconds, None: never."""

    modified_at: float
    decided_until: float
    at: int | None


class Clock:
    """Starts what is due until it is stopped. One schedule's runs are started one after the other."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._environ = environ
        self._now = now
        self._stopping = threading.Event()
        self._busy: set[_Key] = set()
        self._next: dict[_Key, _Next] = {}
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
        is_readable = True
        while not self._stopping.is_set():
            session = self._open()
            try:
                self._watch(session)
            except MlctlError as error:
                if is_readable:
                    log.error("cannot look at schedules", extra={"event": "schedules.failed", "reason": error.message})
                is_readable = False
            except Exception:
                # Whatever went wrong now, the next look may go well.
                log.exception("cannot look at schedules", extra={"event": "schedules.failed"})
            finally:
                session.close()
            self._stopping.wait(POLL_S)

    def _watch(self, session: Session) -> None:
        self._recover(session)
        while not self._stopping.is_set():
            self.look(session)
            self._stopping.wait(POLL_S)

    def look(self, session: Session) -> None:
        """Hand every schedule that is due, and not busy, to a thread."""
        for row in schedules.list_schedules(session.store):
            if row.is_enabled and self._may_be_due(row):
                self._submit(_key(row), lambda row=row: self._run_due(row))

    def _may_be_due(self, row: ScheduleRow) -> bool:
        now, known = self._now(), self._next.get(_key(row))
        if known is None or (known.modified_at, known.decided_until) != (row.modified_at, row.decided_until):
            known = self._next[_key(row)] = _Next(row.modified_at, row.decided_until, _find_next(row))
        # Decided ahead of now: the clock was set back.
        return row.decided_until > now or (known.at is not None and known.at <= now)

    def _recover(self, session: Session) -> None:
        """Go on with what another one was about to start when it ended."""
        for run in schedules.list_unsettled(session.store):
            self._submit((run.workspace, run.schedule.lower()), lambda run=run: self._recover_run(run))

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
            # Another thread may have decided it since it was read.
            found = schedules.find_schedule(session.store, row.workspace, row.name)
            if found is not None and found.is_enabled:
                schedule_runs.run_due(session, found, now=self._now())
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


def _find_next(row: ScheduleRow) -> int | None:
    try:
        return find_next_run(row.spec["trigger"], after=row.decided_until, created_at=row.created_at)
    except MlctlError as error:
        # Its zone is not there any more, say: that is no reason to stop the others.
        reason = {"event": "schedule.failed", "schedule": row.name, "reason": error.message}
        log.error("schedule cannot be read", extra=reason)
        return None


def _key(row: ScheduleRow) -> _Key:
    return row.workspace, row.name.lower()


def _note(text: str) -> None:
    log.warning(text, extra={"event": "schedule.notice"})
