"""Batch endpoints: names under which batch deployments are invoked."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlctl.entities.stored import read_map
from mlctl.errors import NotFound
from mlctl.registry import events
from mlctl.registry.store import Store, read_json


@dataclass(frozen=True)
class BatchEndpointRow:
    """One batch endpoint. Times: epoch seconds."""

    name: str
    spec: Mapping[str, Any]
    workspace: str
    resource_group: str
    created_at: float
    created_by: str
    modified_at: float
    modified_by: str

    @property
    def default_deployment(self) -> str | None:
        """The deployment of invocations that name none."""
        return read_map(self.spec, "defaults").get("deployment_name")


def put_endpoint(
    store: Store, *, name: str, spec: Mapping[str, Any], workspace: str, resource_group: str
) -> BatchEndpointRow:
    """Create a batch endpoint, or put another spec in the place of its present one."""
    now, user = time.time(), events.os_user()
    store.require_room()
    with store.transaction():
        verb = "updated" if find_endpoint(store, name) else "created"
        store.execute(
            "INSERT INTO batch_endpoints VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
            " SET spec = excluded.spec, modified_at = excluded.modified_at, modified_by = excluded.modified_by",
            (name, json.dumps(dict(spec)), workspace, resource_group, now, user, now, user),
        )
        events.record(store, f"batch_endpoint.{verb}", f"{name} was {verb}", batch_endpoint=name)
    return get_endpoint(store, name)


def find_endpoint(store: Store, name: str) -> BatchEndpointRow | None:
    """Return a batch endpoint by name, in any case; None when there is none."""
    row = store.row("SELECT * FROM batch_endpoints WHERE name = ?", (name,))
    return BatchEndpointRow(**{**dict(row), "spec": read_json(row["spec"])}) if row else None


def get_endpoint(store: Store, name: str) -> BatchEndpointRow:
    """Return a batch endpoint by name, in any case; NotFound names the ones that are near."""
    found = find_endpoint(store, name)
    if found is None:
        names = [row.name for row in list_endpoints(store)]
        hint = name_near(name, names) or f"create it: mlctl batch create -n {name}"
        raise NotFound(f"there is no batch endpoint {name}", hint=hint)
    return found


def list_endpoints(store: Store) -> list[BatchEndpointRow]:
    """Return all batch endpoints by name."""
    rows = store.rows("SELECT * FROM batch_endpoints ORDER BY name")
    return [BatchEndpointRow(**{**dict(row), "spec": read_json(row["spec"])}) for row in rows]


def set_default(store: Store, name: str, deployment: str | None) -> None:
    """Choose the deployment of invocations that name none; None: there is none from now on."""
    with store.transaction():
        row = get_endpoint(store, name)
        defaults = {} if deployment is None else {"deployment_name": deployment}
        put_endpoint(
            store,
            name=row.name,
            spec={**row.spec, "defaults": defaults},
            workspace=row.workspace,
            resource_group=row.resource_group,
        )


def remove_endpoint(store: Store, name: str) -> bool:
    """Forget a batch endpoint and its deployments; False when it was not there. Jobs stay."""
    with store.transaction():
        is_gone = bool(store.execute("DELETE FROM batch_endpoints WHERE name = ?", (name,)))
        if is_gone:
            events.record(store, "batch_endpoint.deleted", f"{name} was deleted", batch_endpoint=name)
    return is_gone


def name_near(name: str, names: list[str]) -> str:
    """Say which of the names that there are was probably meant, or which there are; empty when there are none."""
    import difflib

    by_lower = {known.lower(): known for known in names}
    close = difflib.get_close_matches(name.lower(), by_lower, n=3)
    if close:
        return f"did you mean {' or '.join(by_lower[known] for known in close)}?"
    return f"there are: {', '.join(names[:10])}" if names else ""
