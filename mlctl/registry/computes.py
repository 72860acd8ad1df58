"""Computes: names for where batch jobs run. `local`, this machine, is always there and is not written down."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlctl.registry import events
from mlctl.registry.store import Store, read_json


@dataclass(frozen=True)
class ComputeRow:
    """One compute. Times: epoch seconds."""

    workspace: str
    name: str
    spec: Mapping[str, Any]
    created_at: float
    created_by: str
    modified_at: float
    modified_by: str


def put_compute(store: Store, *, workspace: str, name: str, spec: Mapping[str, Any]) -> ComputeRow:
    """Create a compute, or put another spec in the place of its present one."""
    now, user = time.time(), events.os_user()
    store.require_room()
    with store.transaction():
        found = find_compute(store, workspace, name)
        verb, name = ("updated", found.name) if found else ("created", name)
        store.execute(
            "INSERT INTO computes VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET spec = excluded.spec, modified_at = excluded.modified_at, modified_by = excluded.modified_by",
            (workspace, name, json.dumps(dict(spec)), now, user, now, user),
        )
        events.record(store, f"compute.{verb}", f"{name} was {verb}", compute=name)
    stored = find_compute(store, workspace, name)
    assert stored is not None
    return stored


def find_compute(store: Store, workspace: str, name: str) -> ComputeRow | None:
    """Return a compute by name, in any case; None when there is none."""
    row = store.row("SELECT * FROM computes WHERE workspace = ? AND name = ?", (workspace, name))
    return _read(row) if row else None


def list_computes(store: Store, workspace: str) -> list[ComputeRow]:
    """Return a workspace's computes by name."""
    return [_read(row) for row in store.rows("SELECT * FROM computes WHERE workspace = ? ORDER BY name", (workspace,))]


def remove_compute(store: Store, workspace: str, name: str) -> bool:
    """Forget a compute; False when it was not there."""
    with store.transaction():
        is_gone = bool(store.execute("DELETE FROM computes WHERE workspace = ? AND name = ?", (workspace, name)))
        if is_gone:
            events.record(store, "compute.deleted", f"{name} was deleted", compute=name)
    return is_gone


def _read(row: Any) -> ComputeRow:
    return ComputeRow(**{**dict(row), "spec": read_json(row["spec"])})
