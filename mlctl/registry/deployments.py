"""Deployments: what each generation asks for, and how far the daemon has got with it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlctl.errors import Conflict, NotFound
from mlctl.registry import endpoints, events
from mlctl.registry.store import Store, read_json


@dataclass(frozen=True)
class DeploymentRow:
    """One deployment at its newest generation. `plan`: what the spec was resolved to (see `ops.resolve`)."""

    endpoint: str
    name: str
    generation: int
    observed_generation: int
    serving_generation: int | None
    takes_all_traffic: int
    state: str
    error: dict[str, Any] | None
    failures: int
    next_start_at: float
    created_at: float
    created_by: str
    modified_at: float
    modified_by: str
    spec: dict[str, Any]
    plan: dict[str, Any]


@dataclass(frozen=True)
class GenerationRow:
    """What one generation asks for."""

    generation: int
    spec: dict[str, Any]
    plan: dict[str, Any]


_SELECT = (
    "SELECT d.*, g.spec, g.plan FROM deployments d JOIN deployment_generations g"
    " ON g.endpoint = d.endpoint AND g.deployment = d.name AND g.generation = d.generation"
)


def insert_deployment(
    store: Store, *, endpoint: str, name: str, spec: Mapping[str, Any], plan: Mapping[str, Any], takes_all_traffic: bool
) -> DeploymentRow:
    """Create a deployment in state Creating; NotFound without its endpoint, Conflict when it exists."""
    now, user = time.time(), events.os_user()
    store.require_room()
    with store.transaction():
        owner = endpoints.get_endpoint(store, endpoint)
        if owner.state == "Deleting":
            raise Conflict(f"endpoint {owner.name} is being deleted")
        _refuse_existing(store, owner.name, name)
        store.execute(
            "INSERT INTO deployments (endpoint, name, generation, takes_all_traffic, state, created_at, created_by,"
            " modified_at, modified_by) VALUES (?, ?, 1, ?, 'Creating', ?, ?, ?, ?)",
            (owner.name, name, int(takes_all_traffic), now, user, now, user),
        )
        _insert_generation(store, (owner.name, name, 1), spec, plan)
        events.record(store, "deployment.create", f"{name} created", endpoint=owner.name, deployment=name)
    return get_deployment(store, owner.name, name)


def _refuse_existing(store: Store, endpoint: str, name: str) -> None:
    found = find_deployment(store, endpoint, name)
    if found is not None:
        state = " (Failed)" if found.state == "Failed" else ""
        raise Conflict(
            f"deployment {name} exists already at {endpoint}{state}",
            hint=f"mlctl deployment update -n {name} -e {endpoint} -f FILE, or delete it first: "
            f"mlctl deployment delete -n {name} -e {endpoint} --yes",
        )


def _insert_generation(
    store: Store, key: tuple[str, str, int], spec: Mapping[str, Any], plan: Mapping[str, Any]
) -> None:
    store.execute(
        "INSERT INTO deployment_generations VALUES (?, ?, ?, ?, ?)",
        (*key, json.dumps(spec), json.dumps(plan)),
    )


def write_generation(
    store: Store, *, endpoint: str, name: str, spec: Mapping[str, Any], plan: Mapping[str, Any], state: str
) -> int:
    """Ask for a new generation of a deployment; return its number. Call within a transaction."""
    store.require_room()
    with store.transaction():
        row = get_deployment(store, endpoint, name)
        generation = row.generation + 1
        _insert_generation(store, (row.endpoint, row.name, generation), spec, plan)
        store.execute(
            "UPDATE deployments SET generation = ?, state = ?, error = NULL, failures = 0, next_start_at = 0,"
            " modified_at = ?, modified_by = ? WHERE endpoint = ? AND name = ?",
            (generation, state, time.time(), events.os_user(), row.endpoint, row.name),
        )
        events.record(
            store,
            "deployment.update",
            f"{row.name} updated",
            endpoint=row.endpoint,
            deployment=row.name,
            generation=generation,
        )
    return generation


def has_any(store: Store) -> bool:
    """Say whether any endpoint has a deployment."""
    return store.row("SELECT 1 FROM deployments LIMIT 1") is not None


def find_deployment(store: Store, endpoint: str, name: str) -> DeploymentRow | None:
    """Return a deployment by name, in any case; None when there is none."""
    row = store.row(f"{_SELECT} WHERE d.endpoint = ? AND d.name = ?", (endpoint, name))
    return _deployment(row) if row else None


def get_deployment(store: Store, endpoint: str, name: str) -> DeploymentRow:
    """Return a deployment by name; NotFound says what the endpoint has."""
    found = find_deployment(store, endpoint, name)
    if found is None:
        names = ", ".join(row.name for row in list_deployments(store, endpoint)) or "none yet"
        raise NotFound(f"there is no deployment {name} at {endpoint}", hint=f"deployments of {endpoint}: {names}")
    return found


def list_deployments(store: Store, endpoint: str) -> list[DeploymentRow]:
    """Return an endpoint's deployments, oldest first."""
    return [
        _deployment(row) for row in store.rows(f"{_SELECT} WHERE d.endpoint = ? ORDER BY d.created_at", (endpoint,))
    ]


def list_generations(store: Store, endpoint: str, name: str) -> dict[int, GenerationRow]:
    """Return every generation that is still kept: the newest and the one that serves."""
    rows = store.rows(
        "SELECT generation, spec, plan FROM deployment_generations WHERE endpoint = ? AND deployment = ?",
        (endpoint, name),
    )
    return {
        row["generation"]: GenerationRow(row["generation"], read_json(row["spec"]), read_json(row["plan"]))
        for row in rows
    }


def mark_deleting(store: Store, endpoint: str, name: str) -> None:
    """Ask for a deployment's end; the daemon removes the row when its replicas have stopped."""
    store.require_room()
    with store.transaction():
        store.execute("UPDATE deployments SET state = 'Deleting' WHERE endpoint = ? AND name = ?", (endpoint, name))
        events.record(store, "deployment.delete", f"deleting {name}", endpoint=endpoint, deployment=name)


def remove_deployment(store: Store, endpoint: str, name: str) -> None:
    """Forget a deployment."""
    with store.transaction():
        store.execute("DELETE FROM deployments WHERE endpoint = ? AND name = ?", (endpoint, name))
        events.record(store, "deployment.deleted", f"{name} deleted", endpoint=endpoint, deployment=name)


def mark_serving(store: Store, row: DeploymentRow, **data: Any) -> None:
    """Record that the generation is ready and routed; older generations are forgotten."""
    with store.transaction():
        changed = store.execute(
            "UPDATE deployments SET observed_generation = ?, serving_generation = ?, failures = 0, error = NULL,"
            " next_start_at = 0, takes_all_traffic = 0,"
            " state = CASE state WHEN 'Deleting' THEN state ELSE 'Succeeded' END"
            " WHERE endpoint = ? AND name = ? AND generation = ?",
            (row.generation, row.generation, row.endpoint, row.name, row.generation),
        )
        if not changed:
            return
        store.execute(
            "DELETE FROM deployment_generations WHERE endpoint = ? AND deployment = ? AND generation < ?",
            (row.endpoint, row.name, row.generation),
        )
        events.record(
            store, "deployment.ready", f"{row.name} is serving", endpoint=row.endpoint, deployment=row.name, **data
        )


def carry_over(store: Store, row: DeploymentRow, generation: int) -> None:
    """Let the replicas of a row's generation count for a newer one that differs in their number only."""
    with store.transaction():
        where = (generation, row.endpoint, row.name, row.generation)
        store.execute(
            "UPDATE replicas SET generation = ? WHERE endpoint = ? AND deployment = ? AND generation = ?", where
        )
        store.execute(
            "UPDATE deployments SET serving_generation = ? WHERE endpoint = ? AND name = ? AND serving_generation = ?",
            where,
        )


def mark_failed(store: Store, row: DeploymentRow, error: Mapping[str, Any]) -> None:
    """Record that the generation did not come up; what served before goes on."""
    with store.transaction():
        changed = store.execute(
            "UPDATE deployments SET observed_generation = ?, state = 'Failed', error = ?, takes_all_traffic = 0"
            " WHERE endpoint = ? AND name = ? AND generation = ? AND state NOT IN ('Failed', 'Deleting')",
            (row.generation, json.dumps(error), row.endpoint, row.name, row.generation),
        )
        if changed:
            events.record(store, "deployment.failed", str(error["message"]), endpoint=row.endpoint, deployment=row.name)


def count_failure(store: Store, row: DeploymentRow, *, next_start_at: float) -> None:
    """Count a start that failed, and when the next may be tried (epoch seconds)."""
    store.execute(
        "UPDATE deployments SET failures = failures + 1, next_start_at = ?"
        " WHERE endpoint = ? AND name = ? AND generation = ?",
        (next_start_at, row.endpoint, row.name, row.generation),
    )


def forget_failures(store: Store, row: DeploymentRow) -> None:
    """A replica has been well for a while: earlier failures no longer count."""
    store.execute(
        "UPDATE deployments SET failures = 0, next_start_at = 0 WHERE endpoint = ? AND name = ?",
        (row.endpoint, row.name),
    )


def _deployment(row: Any) -> DeploymentRow:
    fields = dict(row)
    for key in ("spec", "plan", "error"):
        fields[key] = read_json(fields[key]) if fields[key] else None
    return DeploymentRow(**fields)
