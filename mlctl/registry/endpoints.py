"""Endpoints: what is asked for (spec, keys, generation) beside what the gateway took (accepted_*)."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlctl.errors import Conflict, NotFound
from mlctl.registry import events
from mlctl.registry.store import Store, read_json


@dataclass(frozen=True)
class EndpointRow:
    """One endpoint. `error` holds the last refusal: {generation, code, message}; `credentials` is ciphertext."""

    name: str
    generation: int
    observed_generation: int
    spec: dict[str, Any]
    credentials: bytes = field(repr=False)
    state: str
    error: dict[str, Any] | None
    workspace: str
    resource_group: str
    created_at: float
    created_by: str
    modified_at: float
    modified_by: str
    accepted_spec: dict[str, Any] | None = None
    accepted_credentials: bytes | None = field(default=None, repr=False)


def insert_endpoint(
    store: Store, *, name: str, spec: Mapping[str, Any], credentials: bytes, workspace: str, resource_group: str
) -> EndpointRow:
    """Create an endpoint in state Creating; Conflict when the name is taken in this registry."""
    now, user = time.time(), events.os_user()
    store.require_room()
    with store.transaction():
        if find_endpoint(store, name):
            raise Conflict(
                f"endpoint {name} exists already",
                hint=f"change it: mlctl endpoint update -n {name} …, or pick another name",
            )
        store.execute(
            "INSERT INTO endpoints (name, generation, spec, credentials, state, workspace, resource_group, created_at,"
            " created_by, modified_at, modified_by) VALUES (?, 1, ?, ?, 'Creating', ?, ?, ?, ?, ?, ?)",
            (name, json.dumps(spec), credentials, workspace, resource_group, now, user, now, user),
        )
        events.record(store, "endpoint.create", f"{name} created", endpoint=name)
    return get_endpoint(store, name)


def find_endpoint(store: Store, name: str) -> EndpointRow | None:
    """Return an endpoint by name, in any case; None when there is none."""
    row = store.row("SELECT * FROM endpoints WHERE name = ?", (name,))
    return _endpoint(row) if row else None


def get_endpoint(store: Store, name: str) -> EndpointRow:
    """Return an endpoint by name, in any case; NotFound names the ones that are near."""
    found = find_endpoint(store, name)
    if found is None:
        raise NotFound(f"there is no endpoint {name}", hint=_near(name, [row.name for row in list_endpoints(store)]))
    return found


def list_endpoints(store: Store) -> list[EndpointRow]:
    """Return all endpoints by name."""
    return [_endpoint(row) for row in store.rows("SELECT * FROM endpoints ORDER BY name")]


def write_spec(
    store: Store, name: str, *, spec: Mapping[str, Any] | None = None, credentials: bytes | None = None, event: str
) -> int:
    """Ask for a new generation of an endpoint's spec, keys or both; return its number. Call within a transaction."""
    store.require_room()
    with store.transaction():
        row = get_endpoint(store, name)
        store.execute(
            "UPDATE endpoints SET generation = generation + 1, spec = ?, credentials = ?, modified_at = ?,"
            " modified_by = ?, state = CASE state WHEN 'Deleting' THEN state ELSE 'Updating' END WHERE name = ?",
            (
                json.dumps(row.spec if spec is None else spec),
                credentials or row.credentials,
                time.time(),
                events.os_user(),
                name,
            ),
        )
        events.record(store, "endpoint.update", event, endpoint=name)
    return row.generation + 1


def mark_deleting(store: Store, name: str) -> None:
    """Ask for an endpoint's end; the daemon removes the row when all that ran for it has stopped."""
    store.require_room()
    with store.transaction():
        store.execute("UPDATE endpoints SET state = 'Deleting', generation = generation + 1 WHERE name = ?", (name,))
        store.execute("UPDATE deployments SET state = 'Deleting' WHERE endpoint = ?", (name,))
        events.record(store, "endpoint.delete", f"deleting {name}", endpoint=name)


def remove_endpoint(store: Store, name: str) -> None:
    """Forget an endpoint and its deployments."""
    with store.transaction():
        store.execute("DELETE FROM endpoints WHERE name = ?", (name,))
        events.record(store, "endpoint.deleted", f"{name} deleted", endpoint=name)


def accept(store: Store, name: str, generation: int) -> None:
    """Record that the gateway serves `generation`; nothing happens when a newer one was asked for meanwhile."""
    with store.transaction():
        changed = store.execute(
            "UPDATE endpoints SET observed_generation = generation, accepted_spec = spec,"
            " accepted_credentials = credentials,"
            " state = CASE state WHEN 'Deleting' THEN state ELSE 'Succeeded' END"
            " WHERE name = ? AND generation = ? AND observed_generation < ?",
            (name, generation, generation),
        )
        if changed:
            events.record(store, "endpoint.accepted", f"{name} is routed", endpoint=name, generation=generation)


def reject(store: Store, name: str, generation: int, *, code: str, message: str) -> None:
    """Roll a refused generation back to the accepted one; an endpoint that was never accepted turns Failed."""
    error = json.dumps({"generation": generation, "code": code, "message": message})
    with store.transaction():
        row = find_endpoint(store, name)
        if row is None or row.generation != generation:
            return
        if row.accepted_spec is None:
            store.execute(
                "UPDATE endpoints SET observed_generation = generation, state = 'Failed', error = ? WHERE name = ?",
                (error, name),
            )
        else:
            store.execute(
                "UPDATE endpoints SET generation = generation + 1, observed_generation = generation + 1,"
                " spec = accepted_spec, credentials = accepted_credentials, state = 'Succeeded', error = ?"
                " WHERE name = ?",
                (error, name),
            )
        events.record(store, "endpoint.rejected", message, endpoint=name, generation=generation)


def _endpoint(row: Any) -> EndpointRow:
    fields = dict(row)
    for key in ("spec", "accepted_spec", "error"):
        fields[key] = read_json(fields[key]) if fields[key] else None
    return EndpointRow(**fields)


def _near(name: str, names: list[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name.lower(), names, n=3)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"there are: {', '.join(names[:10])}" if names else "create one: mlctl endpoint create -n NAME"
