"""Schedules: what runs when."""

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


@dataclass(frozen=True)
class ScheduleRow:
    """One schedule. folder: what relative paths of the spec start from. Times: epoch seconds."""

    workspace: str
    name: str
    spec: Mapping[str, Any]
    folder: str
    is_enabled: bool
    created_at: float
    created_by: str
    modified_at: float
    modified_by: str


def put_schedule(store: Store, *, workspace: str, name: str, spec: Mapping[str, Any], folder: str) -> ScheduleRow:
    """Create a schedule, enabled, or put another spec in the place of its present one, which stays as it was."""
    now, user = time.time(), events.os_user()
    store.require_room()
    with store.transaction():
        found = find_schedule(store, workspace, name)
        verb, name = ("updated", found.name) if found else ("created", name)
        store.execute(
            "INSERT INTO schedules VALUES (?, ?, ?, ?, 1, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET spec = excluded.spec,"
            " folder = excluded.folder, modified_at = excluded.modified_at, modified_by = excluded.modified_by",
            (workspace, name, json.dumps(dict(spec)), folder, now, user, now, user),
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
    """Let a schedule run, or not."""
    with store.transaction():
        row = get_schedule(store, workspace, name)
        store.execute(
            "UPDATE schedules SET is_enabled = ?, modified_at = ?, modified_by = ? WHERE workspace = ? AND name = ?",
            (int(is_enabled), time.time(), events.os_user(), workspace, row.name),
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


def _read(row: Any) -> ScheduleRow:
    fields: dict[str, Any] = dict(row)
    fields |= {"spec": read_json(row["spec"]), "is_enabled": bool(row["is_enabled"])}
    return ScheduleRow(**fields)
