"""Schedules: what runs when, and what became of each time that was due."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlctl.errors import NotFound
from mlctl.registry import events
from mlctl.registry.batch_endpoints import name_near
from mlctl.registry.store import Store, read_json

KEPT_RUNS = 1000


@dataclass(frozen=True)
class ScheduleRow:
    """One schedule. folder: what relative paths of the spec start from. Times: epoch seconds.

    decided_until: what was due up to this moment was started, or left out, for good.
    """

    workspace: str
    name: str
    spec: Mapping[str, Any]
    folder: str
    is_enabled: bool
    created_at: float
    created_by: str
    modified_at: float
    modified_by: str
    decided_until: float


@dataclass(frozen=True)
class ScheduleRunRow:
    """What became of an instant. due_at: epoch seconds. state: starting, started, failed (to start), skipped."""

    workspace: str
    schedule: str
    job: str
    due_at: int
    is_triggered: bool
    state: str
    message: str
    decided_at: float


def put_schedule(store: Store, *, workspace: str, name: str, spec: Mapping[str, Any], folder: str) -> ScheduleRow:
    """Create a schedule, enabled, or put another spec in the place of its present one, enabled or not as it was.

    What would have been due before, by the new spec, is not run.
    """
    now, user = time.time(), events.os_user()
    store.require_room()
    with store.transaction():
        found = find_schedule(store, workspace, name)
        verb, name = ("updated", found.name) if found else ("created", name)
        store.execute(
            "INSERT INTO schedules (workspace, name, spec, folder, created_at, created_by, modified_at, modified_by,"
            " decided_until) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET spec = excluded.spec,"
            " folder = excluded.folder, modified_at = excluded.modified_at, modified_by = excluded.modified_by,"
            " decided_until = excluded.decided_until",
            (workspace, name, json.dumps(dict(spec)), folder, now, user, now, user, now),
        )
        events.record(store, f"schedule.{verb}", f"{name} was {verb}", schedule=name)
    return get_schedule(store, workspace, name)


def find_schedule(store: Store, workspace: str, name: str) -> ScheduleRow | None:
    """Return a schedule by name, in any case; None when there is none."""
    row = store.row("SELECT * FROM schedules WHERE workspace = ? AND name = ?", (workspace, name))
    return _read(row) if row else None


def get_schedule(store: Store, workspace: str, name: str) -> ScheduleRow:
    """Return a schedule by name, in any case; NotFound names the ones that are near."""
    found = find_schedule(store, workspace, name)
    if found is None:
        names = [row.name for row in list_schedules(store, workspace)]
        hint = name_near(name, names) or "create one: mlctl schedule create -f schedule.yml"
        raise NotFound(f"there is no schedule {name}", hint=hint)
    return found


def list_schedules(store: Store, workspace: str | None = None) -> list[ScheduleRow]:
    """Return the schedules of a workspace, or of all, by name."""
    rows = store.rows("SELECT * FROM schedules WHERE ? IS NULL OR workspace = ? ORDER BY name", (workspace, workspace))
    return [_read(row) for row in rows]


def set_enabled(store: Store, workspace: str, name: str, *, is_enabled: bool) -> None:
    """Let a schedule run, or not; what is due while it is not enabled is never run."""
    now = time.time()
    with store.transaction():
        row = get_schedule(store, workspace, name)
        if row.is_enabled == is_enabled:
            return
        store.execute(
            "UPDATE schedules SET is_enabled = ?, modified_at = ?, modified_by = ?, decided_until = ?"
            " WHERE workspace = ? AND name = ?",
            (int(is_enabled), now, events.os_user(), now, workspace, row.name),
        )
        verb = "enabled" if is_enabled else "disabled"
        events.record(store, f"schedule.{verb}", f"{row.name} was {verb}", schedule=row.name)


def remove_schedule(store: Store, workspace: str, name: str) -> bool:
    """Forget a schedule; False when it was not there."""
    with store.transaction():
        is_gone = bool(store.execute("DELETE FROM schedules WHERE workspace = ? AND name = ?", (workspace, name)))
        if is_gone:
            events.record(store, "schedule.deleted", f"{name} was deleted", schedule=name)
    return is_gone


def has_any(store: Store) -> bool:
    """Say whether there is a schedule that may become due."""
    return store.row("SELECT 1 FROM schedules WHERE is_enabled = 1 LIMIT 1") is not None


def claim_run(
    store: Store,
    row: ScheduleRow,
    *,
    job: str,
    due_at: int,
    state: str = "starting",
    message: str = "",
    is_triggered: bool = False,
) -> bool:
    """Write down what becomes of an instant, before it does; False when that is decided, or the schedule has changed.

    Whoever is told True, and nobody else, is to start the job.
    """
    with store.transaction():
        present = find_schedule(store, row.workspace, row.name)
        if present is None or (not is_triggered and present.modified_at != row.modified_at):
            return False
        return bool(
            store.execute(
                "INSERT OR IGNORE INTO schedule_runs VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (row.workspace, row.name, job, due_at, int(is_triggered), state, message, time.time()),
            )
        )


def settle_run(store: Store, run: ScheduleRunRow, *, state: str, message: str = "") -> None:
    """Write down how starting a job ended."""
    store.execute(
        "UPDATE schedule_runs SET state = ?, message = ? WHERE workspace = ? AND schedule = ? AND job = ?",
        (state, message, run.workspace, run.schedule, run.job),
    )


def set_decided(store: Store, row: ScheduleRow, until: float) -> None:
    """Write down that everything due up to a moment is decided, unless the schedule has changed meanwhile."""
    with store.transaction():
        store.execute(
            "UPDATE schedules SET decided_until = ? WHERE workspace = ? AND name = ? AND modified_at = ?",
            (until, row.workspace, row.name, row.modified_at),
        )
        store.execute(
            "DELETE FROM schedule_runs WHERE workspace = ? AND schedule = ? AND state != 'starting' AND due_at <"
            " (SELECT due_at FROM schedule_runs WHERE workspace = ? AND schedule = ?"
            " ORDER BY due_at DESC LIMIT 1 OFFSET ?)",
            (row.workspace, row.name, row.workspace, row.name, KEPT_RUNS),
        )


def list_runs(store: Store, workspace: str, name: str, *, limit: int) -> list[ScheduleRunRow]:
    """Return what became of the last instants, the newest first."""
    rows = store.rows(
        "SELECT * FROM schedule_runs WHERE workspace = ? AND schedule = ?"
        " ORDER BY decided_at DESC, due_at DESC LIMIT ?",
        (workspace, name, limit),
    )
    return [_read_run(row) for row in rows]


def list_unsettled(store: Store) -> list[ScheduleRunRow]:
    """Return the runs that were about to be started; those by hand are left to who asked for them."""
    rows = store.rows("SELECT * FROM schedule_runs WHERE state = 'starting' AND is_triggered = 0")
    return [_read_run(row) for row in rows]


def _read_run(row: Any) -> ScheduleRunRow:
    fields: dict[str, Any] = {**dict(row)}
    fields |= {"is_triggered": bool(row["is_triggered"])}
    return ScheduleRunRow(**fields)


def _read(row: Any) -> ScheduleRow:
    fields: dict[str, Any] = dict(row)
    fields |= {"spec": read_json(row["spec"]), "is_enabled": bool(row["is_enabled"])}
    return ScheduleRow(**fields)
