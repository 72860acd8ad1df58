"""Schedules: one function per verb. The daemon's jobs service starts what is due; see `schedule_runs`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlctl.entities.schedule_extensions import FOUND_OUT
from mlctl.entities.stored import read_map
from mlctl.errors import Conflict, InvalidInput, MlctlError, Problem
from mlctl.ops import batch_jobs, daemon, schedule_runs, scheduled_jobs
from mlctl.ops.documents import Document, creation_context, show_utc, without_nulls, workspace_id
from mlctl.ops.session import Session
from mlctl.planning.schedules import describe_trigger, find_next_run, find_zone
from mlctl.registry import jobs, schedules
from mlctl.registry.schedules import ScheduleRow, ScheduleRunRow

if TYPE_CHECKING:
    from mlctl.entities.document import Document as YamlDocument

Operation = tuple[str, Sequence[str]]
# az's word for what a schedule does.
ACTION_TYPE = "CreateJob"
_SHOWN_RUNS = 5


@dataclass(frozen=True)
class RunGlance:
    """A run as a line of its schedule's view. status: the job's, or why there is none. at: epoch seconds."""

    at: int
    job: str
    status: str
    message: str


@dataclass(frozen=True)
class ScheduleResult:
    """document: what az prints. The rest: what a person wants to see beside it. next_run: epoch seconds."""

    document: Document
    words: str
    target: str
    next_run: int | None
    time_zone: str
    runs: tuple[RunGlance, ...] = ()


def create(
    session: Session, *, file: Path, name: str | None = None, overrides: Sequence[str] = (), waits: bool = True
) -> ScheduleResult:
    """Create a schedule, or put another spec in the place of the one that is there, as in az; it is enabled then."""
    from mlctl.entities.schedule import Schedule
    from mlctl.ops.loading import load

    folder = file.absolute().parent

    def find_more(document: YamlDocument) -> list[Problem]:
        return scheduled_jobs.find_missing(session, document, folder)

    entity = load(file, lambda _: Schedule, overrides=overrides, options={"name": name}, find_more=find_more)
    return _put(session, entity.to_document(), str(folder), waits=waits)


def update(
    session: Session, name: str, *, operations: Sequence[Operation] = (), forces_text: bool = False, waits: bool = True
) -> ScheduleResult:
    """Change a schedule's document; what would have been due before by the new one is not run."""
    from mlctl.ops.loading import update_schedule

    row = _get(session, name)
    spec = update_schedule(row.spec, operations, forces_text=forces_text)
    return _put(session, {**spec, "name": row.name}, row.folder, waits=waits)


def _put(session: Session, spec: dict[str, Any], folder: str, *, waits: bool) -> ScheduleResult:
    spec["properties"] = {key: value for key, value in spec["properties"].items() if key not in FOUND_OUT}
    now = time.time()
    draft = ScheduleRow(
        session.workspace,
        spec["name"],
        spec,
        folder,
        is_enabled=True,
        created_at=now,
        created_by="",
        modified_at=now,
        modified_by="",
        decided_until=now,
    )
    _check(session, draft)
    row = schedules.put_schedule(
        session.store, workspace=session.workspace, name=spec["name"], spec=spec, folder=folder
    )
    _tell_trigger(session, row)
    _serve(session, waits=waits)
    return _result(session, row)


def _check(session: Session, row: ScheduleRow) -> None:
    """Refuse what could never run, before it is kept."""
    trigger = row.spec["trigger"]
    find_zone(str(trigger.get("time_zone") or "UTC"))
    if trigger["type"] == "recurrence" and trigger.get("schedule") and trigger["frequency"] in ("minute", "hour"):
        raise InvalidInput(
            f"trigger.schedule: every {trigger['frequency']} has no hours and minutes of its own",
            hint="leave schedule out, or write frequency: day, week or month",
        )
    scheduled_jobs.check(session, row)


def _tell_trigger(session: Session, row: ScheduleRow) -> None:
    trigger = row.spec["trigger"]
    if find_next_run(trigger, after=row.decided_until, created_at=row.created_at) is None:
        session.on_notice(f"{row.name} never runs: {describe_trigger(trigger)} has no time that is still to come")
    fields = str(trigger.get("expression") or "* * * * *").split()
    if fields[2:4] != ["*", "*"]:
        session.on_notice(
            f"{row.name}: Azure ignores days and months of a cron expression and would run it every day, "
            "here they count; for the same in both use a recurrence with month_days"
        )


def _serve(session: Session, *, waits: bool) -> None:
    """See to it that a daemon runs: without one nothing is started."""
    if waits:
        daemon.ensure_running(session)
        daemon.wake(session, "")
    else:
        daemon.launch(session)


def _get(session: Session, name: str) -> ScheduleRow:
    return schedules.get_schedule(session.store, session.workspace, name)


def show(session: Session, name: str) -> ScheduleResult:
    """Return a schedule, when it runs next and how its last runs ended."""
    row = _get(session, name)
    daemon.warn_if_stopped(session)
    return _result(session, row)


def list_all(
    session: Session, *, include_disabled: bool = False, disabled_only: bool = False, max_results: int | None = None
) -> list[ScheduleResult]:
    """Return the schedules that are enabled, as az does, or others as well."""
    if include_disabled and disabled_only:
        raise InvalidInput(
            "--include-disabled and --disabled-only exclude each other", hint="mlctl schedule list --include-disabled"
        )
    daemon.warn_if_stopped(session)
    rows = schedules.list_schedules(session.store, session.workspace)
    shown = [row for row in rows if include_disabled or row.is_enabled != disabled_only]
    if not include_disabled and not disabled_only and len(shown) < len(rows):
        session.on_notice(f"{len(rows) - len(shown)} disabled are not shown: --include-disabled")
    return [_result(session, row) for row in shown[:max_results]]


def set_enabled(session: Session, name: str, *, is_enabled: bool, waits: bool = True) -> ScheduleResult:
    """Let a schedule run, or not. What was due meanwhile is not run."""
    row = _get(session, name)
    schedules.set_enabled(session.store, row.workspace, row.name, is_enabled=is_enabled)
    if is_enabled:
        _serve(session, waits=waits)
    return _result(session, _get(session, row.name))


def delete(session: Session, name: str) -> bool:
    """Forget a schedule that is disabled; its jobs stay. One that is gone is no error: False."""
    row = schedules.find_schedule(session.store, session.workspace, name)
    if row is None:
        session.on_notice(f"there is no schedule {name}: nothing to delete")
        return False
    if row.is_enabled:
        raise Conflict(
            f"schedule {row.name} is enabled: it has to be disabled before it is deleted",
            hint=f"mlctl schedule disable -n {row.name}",
        )
    return schedules.remove_schedule(session.store, row.workspace, row.name)


def trigger(session: Session, name: str) -> Document:
    """Start a schedule's job now."""
    job = schedule_runs.trigger(session, _get(session, name))
    return {"job_name": job.row.name, "schedule_action_type": ACTION_TYPE}


def _result(session: Session, row: ScheduleRow) -> ScheduleResult:
    trigger = row.spec["trigger"]
    next_run = None
    if row.is_enabled:
        next_run = find_next_run(trigger, after=max(row.decided_until, time.time()), created_at=row.created_at)
    runs = schedules.list_runs(session.store, row.workspace, row.name, limit=_SHOWN_RUNS)
    glances = tuple(_glance(session, run) for run in runs)
    return ScheduleResult(
        document=_document(session, row, next_run, glances),
        words=describe_trigger(trigger),
        target=scheduled_jobs.describe(row),
        next_run=next_run,
        time_zone=str(trigger.get("time_zone") or "UTC"),
        runs=glances,
    )


def _glance(session: Session, run: ScheduleRunRow) -> RunGlance:
    found = jobs.find(session.store, run.job) if run.state == "started" else None
    try:
        status = batch_jobs.look(session, found.name).status if found else run.state
    except MlctlError:
        status = run.state
    message = (found.error if found else None) or run.message
    return RunGlance(run.due_at, run.job, status, message)


def _document(session: Session, row: ScheduleRow, next_run: int | None, runs: Sequence[RunGlance]) -> Document:
    spec = row.spec
    found = {"mlctl.next_run": show_utc(next_run) if next_run is not None else None}
    if runs:
        last = runs[0]
        found |= {"mlctl.last_run": show_utc(last.at), "mlctl.last_job": last.job, "mlctl.last_state": last.status}
        found |= {"mlctl.last_message": last.message or None}
    return without_nulls(
        {
            "id": f"{workspace_id(row.workspace, session.resource_group)}/schedules/{row.name}",
            "name": row.name,
            "display_name": spec.get("display_name"),
            "description": spec.get("description"),
            "tags": read_map(spec, "tags"),
            "properties": {**read_map(spec, "properties"), **without_nulls(found)},
            "trigger": spec["trigger"],
            "create_job": spec["create_job"],
            "is_enabled": row.is_enabled,
            "provisioning_state": "Succeeded",
            "creation_context": creation_context(row.created_at, row.created_by, row.modified_at, row.modified_by),
            "resourceGroup": session.resource_group,
        }
    )
