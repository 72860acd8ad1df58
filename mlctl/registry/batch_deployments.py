"""Batch deployments: what an invocation of their endpoint runs."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlctl.errors import NotFound
from mlctl.registry import batch_endpoints, events
from mlctl.registry.batch_endpoints import name_near
from mlctl.registry.store import Store, read_json


@dataclass(frozen=True)
class BatchDeploymentRow:
    """One batch deployment. plan: what its spec was resolved to. Times: epoch seconds."""

    endpoint: str
    name: str
    spec: dict[str, Any]
    plan: dict[str, Any]
    created_at: float
    created_by: str
    modified_at: float
    modified_by: str

    @property
    def is_pipeline(self) -> bool:
        """Whether it runs a component's steps, and no scoring script."""
        return self.spec.get("type") == "pipeline"


def put_deployment(
    store: Store, *, endpoint: str, name: str, spec: Mapping[str, Any], plan: Mapping[str, Any]
) -> BatchDeploymentRow:
    """Create a batch deployment, or put another spec in its place; NotFound without its endpoint."""
    now, user = time.time(), events.os_user()
    store.require_room()
    with store.transaction():
        owner = batch_endpoints.get_endpoint(store, endpoint).name
        found = find_deployment(store, owner, name)
        verb, name = ("updated", found.name) if found else ("created", name)
        store.execute(
            "INSERT INTO batch_deployments VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET spec ="
            " excluded.spec, plan = excluded.plan, modified_at = excluded.modified_at,"
            " modified_by = excluded.modified_by",
            (owner, name, json.dumps(dict(spec)), json.dumps(dict(plan)), now, user, now, user),
        )
        facts = {"batch_endpoint": owner, "batch_deployment": name}
        events.record(store, f"batch_deployment.{verb}", f"{owner}/{name} was {verb}", **facts)
    return get_deployment(store, owner, name)


def _read(row: Any) -> BatchDeploymentRow:
    return BatchDeploymentRow(**{**dict(row), "spec": read_json(row["spec"]), "plan": read_json(row["plan"])})


def find_deployment(store: Store, endpoint: str, name: str) -> BatchDeploymentRow | None:
    """Return a batch deployment by name, in any case; None when there is none."""
    row = store.row("SELECT * FROM batch_deployments WHERE endpoint = ? AND name = ?", (endpoint, name))
    return _read(row) if row else None


def get_deployment(store: Store, endpoint: str, name: str) -> BatchDeploymentRow:
    """Return a batch deployment by name, in any case; NotFound says what its endpoint has."""
    found = find_deployment(store, endpoint, name)
    if found is None:
        names = [row.name for row in list_deployments(store, endpoint)]
        hint = name_near(name, names) or f"create it: mlctl batch-deployment create -n {name} -e {endpoint} -f FILE"
        raise NotFound(f"there is no batch deployment {name} at {endpoint}", hint=hint)
    return found


def list_deployments(store: Store, endpoint: str | None = None) -> list[BatchDeploymentRow]:
    """Return an endpoint's deployments, or all, oldest first."""
    rows = store.rows(
        "SELECT * FROM batch_deployments WHERE ? IS NULL OR endpoint = ? ORDER BY endpoint, created_at",
        (endpoint, endpoint),
    )
    return [_read(row) for row in rows]


def remove_deployment(store: Store, endpoint: str, name: str) -> bool:
    """Forget a batch deployment; False when it was not there. Jobs stay."""
    with store.transaction():
        found = find_deployment(store, endpoint, name)
        if found is None:
            return False
        key = (found.endpoint, found.name)
        store.execute("DELETE FROM batch_deployments WHERE endpoint = ? AND name = ?", key)
        facts = {"batch_endpoint": found.endpoint, "batch_deployment": found.name}
        events.record(store, "batch_deployment.deleted", f"{found.endpoint}/{found.name} was deleted", **facts)
    return True
