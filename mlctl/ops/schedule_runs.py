"""Runs of schedules: each instant is decided once, its job started once. Called by commands and by the jobs service."""

from __future__ import annotations

import re
import secrets
import time

from mlctl.batch.launch import find_folder, is_coordinated
from mlctl.entities.schedule_extensions import ALLOW, MISSED_RUNS, MISSED_WITHIN_S, OVERLAPPING_RUNS, SKIP
from mlctl.entities.stored import read_map
from mlctl.errors import MlctlError
from mlctl.ops import batch_jobs, scheduled_jobs
from mlctl.ops.batch_jobs import Job
from mlctl.ops.session import Session
from mlctl.planning.schedules import Due, MissedRuns, find_due
from mlctl.registry import events, jobs, schedules
from mlctl.registry.schedules import ScheduleRow, ScheduleRunRow

_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST_NAME = 200
# A clock that differs by less was not set back, it was read by another process.
_CLOCK_SLACK_S = 2.0


def name_job(row: ScheduleRow, due_at: int) -> str:
    """Name the job of an instant: the same whoever starts it, and whenever."""
    import hashlib

    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(due_at))
    name = _NO_NAME.sub("-", row.name)[:_LONGEST_NAME].lstrip("-_") or "schedule"
    if name != row.name or row.workspace != "local":
        # Two schedules must not share a name.
        name += "-" + hashlib.sha256(f"{row.workspace}/{row.name}".encode()).hexdigest()[:6]
    return f"{name}-{moment}"


def read_policy(row: ScheduleRow) -> MissedRuns:
    """Return what becomes of a schedule's missed runs."""
    properties = read_map(row.spec, "properties")
    within_s = int(properties.get(MISSED_WITHIN_S) or MissedRuns.within_s)
    return MissedRuns(catches_up=properties.get(MISSED_RUNS) != SKIP, within_s=within_s)


def trigger(session: Session, row: ScheduleRow) -> Job:
    """Start a schedule's job now, whether it is enabled or not, whatever else of it runs."""
    now = int(time.time())
    name = f"{name_job(row, now)}-{secrets.token_hex(3)}"
    schedules.claim_run(session.store, row, job=name, due_at=now, is_triggered=True)
    run = ScheduleRunRow(row.workspace, row.name, name, now, True, "starting", "", now)
    try:
        job = scheduled_jobs.start(session, row, name=name, due_at=now)
    except MlctlError as error:
        schedules.settle_run(session.store, run, state="failed", message=error.message)
        raise
    _settle_started(session, run, "by hand")
    return job


def run_due(session: Session, row: ScheduleRow, *, now: float) -> ScheduleRow | None:
    """Start what is due of a schedule; return the schedule as it is now if there was anything to decide.

    An instant is written down before its job is started, and its job is named after it: it runs once, whoever dies.
    """
    if row.decided_until > now + _CLOCK_SLACK_S:
        # The clock was set back. What was run by the wrong time is known by its job's name, and is not run again.
        schedules.set_decided(session.store, row, now)
        return schedules.find_schedule(session.store, row.workspace, row.name)
    due = find_due(
        row.spec["trigger"], since=row.decided_until, now=now, created_at=row.created_at, policy=read_policy(row)
    )
    if due.run_at is None and not due.missed:
        return None
    if due.missed:
        _tell_missed(session, row, due)
    if due.run_at is not None:
        _run(session, row, due.run_at, is_late=due.is_late)
    schedules.set_decided(session.store, row, now)
    return schedules.find_schedule(session.store, row.workspace, row.name)


def _tell_missed(session: Session, row: ScheduleRow, due: Due) -> None:
    many = "1 run was missed" if len(due.missed) == 1 else f"{len(due.missed)} runs were missed"
    then = ", the last one is run late" if due.is_late else ""
    message = f"{row.name}: {many}, the first at {show_moment(due.missed[0])}{then}"
    events.record(session.store, "schedule.missed", message, schedule=row.name, count=len(due.missed))


def show_moment(at: float) -> str:
    """Render an instant for people."""
    return time.strftime("%Y-%m-%d %H:%M:%SZ", time.gmtime(at))


def _run(session: Session, row: ScheduleRow, due_at: int, *, is_late: bool) -> None:
    name = name_job(row, due_at)
    blocker = find_running(session, row)
    if blocker is not None:
        message = f"{blocker}, its last job, still runs"
        if schedules.claim_run(session.store, row, job=name, due_at=due_at, state="skipped", message=message):
            text = f"{row.name}: not run at {show_moment(due_at)}: {message}"
            events.record(session.store, "schedule.skipped", text, schedule=row.name, job=blocker)
        return
    if schedules.claim_run(session.store, row, job=name, due_at=due_at):
        run = ScheduleRunRow(row.workspace, row.name, name, due_at, False, "starting", "", time.time())
        start_run(session, row, run, reason="late" if is_late else "on time")


def find_running(session: Session, row: ScheduleRow) -> str | None:
    """Return the schedule's last job if it has not ended and the next one has to wait for that."""
    if read_map(row.spec, "properties").get(OVERLAPPING_RUNS) == ALLOW:
        return None
    for run in schedules.list_runs(session.store, row.workspace, row.name, limit=10):
        found = jobs.find(session.store, run.job) if run.state == "started" else None
        if found is not None:
            return None if batch_jobs.look(session, found.name).has_ended else found.name
    return None


def start_run(session: Session, row: ScheduleRow, run: ScheduleRunRow, *, reason: str) -> None:
    """Start the job of a claimed run; why it cannot be is written down, and the schedule goes on."""
    try:
        scheduled_jobs.start(session, row, name=run.job, due_at=run.due_at)
    except MlctlError as error:
        schedules.settle_run(session.store, run, state="failed", message=error.message)
        text = f"{row.name}: the run of {show_moment(run.due_at)} failed to start: {error.message}"
        events.record(session.store, "schedule.run_failed", text, schedule=row.name, job=run.job)
        return
    _settle_started(session, run, reason)


def _settle_started(session: Session, run: ScheduleRunRow, reason: str) -> None:
    with session.store.transaction():
        schedules.settle_run(session.store, run, state="started", message="" if reason == "on time" else reason)
        text = f"{run.schedule}: {run.job} was started, {reason}"
        events.record(session.store, "schedule.run_started", text, schedule=run.schedule, job=run.job)


def recover_run(session: Session, run: ScheduleRunRow) -> None:
    """Go on with a run that was claimed by somebody who died: its job may be there, started or not, or not at all."""
    row = schedules.find_schedule(session.store, run.workspace, run.schedule)
    if row is None:
        return
    found = jobs.find(session.store, run.job)
    if found is None:
        start_run(session, row, run, reason="late")
        return
    if found.state == "NotStarted" and not is_coordinated(find_folder(session.settings.home, found.name)):
        try:
            batch_jobs.start(session, found)
        except MlctlError as error:
            schedules.settle_run(session.store, run, state="failed", message=error.message)
            return
    _settle_started(session, run, "late")
