"""Jobs: what was asked for, and how far they are. Written by commands and by the job's own coordinator."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlctl.errors import Conflict, NotFound
from mlctl.registry import events
from mlctl.registry.store import Store, read_json

# Azure's words. A job that says it is active but has no coordinator any more is shown as NotResponding.
ACTIVE = ("NotStarted", "Preparing", "Starting", "Running", "Finalizing", "CancelRequested")
ENDED = ("Completed", "Failed", "Canceled")
NOT_RESPONDING = "NotResponding"


@dataclass(frozen=True)
class JobRow:
    """A job. kind: batch, command, pipeline, or a pipeline's step. spec: what was asked for. Times: epoch seconds.

    error: why it failed.
    """

    name: str
    kind: str
    workspace: str
    endpoint: str | None
    deployment: str | None
    request_id: str | None
    spec: Mapping[str, Any]
    state: str
    error: str | None
    created_at: float
    created_by: str
    started_at: float | None
    ended_at: float | None
    archived: bool

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it by itself."""
        return self.state in ENDED


def insert(
    store: Store,
    *,
    name: str,
    kind: str,
    workspace: str,
    spec: Mapping[str, Any],
    endpoint: str | None = None,
    deployment: str | None = None,
    request_id: str | None = None,
) -> JobRow:
    """Write down a new job; Conflict when its name is taken, or its request has made one."""
    with store.transaction():
        if find(store, name) is not None:
            raise Conflict(f"there is a job {name} already", hint=f"mlctl job show -n {name}")
        if request_id is not None and (made := find_request(store, request_id)) is not None:
            raise Conflict(f"that request has made job {made.name} already", hint=f"mlctl job show -n {made.name}")
        store.execute(
            "INSERT INTO jobs (name, kind, workspace, endpoint, deployment, request_id, spec, state, created_at,"
            " created_by) VALUES (?, ?, ?, ?, ?, ?, ?, 'NotStarted', ?, ?)",
            (
                *(name, kind, workspace, endpoint, deployment, request_id, json.dumps(spec)),
                *(time.time(), events.os_user()),
            ),
        )
        events.record(store, "job.created", f"{name} was created", endpoint=endpoint, deployment=deployment, job=name)
    return get(store, name)


def _read(row: sqlite3.Row) -> JobRow:
    fields: dict[str, Any] = {**dict(row)}
    fields |= {"spec": read_json(row["spec"]), "archived": bool(row["archived"])}
    return JobRow(**fields)


def find(store: Store, name: str) -> JobRow | None:
    """Return a job, or None."""
    row = store.row("SELECT * FROM jobs WHERE name = ?", (name,))
    return _read(row) if row else None


def get(store: Store, name: str) -> JobRow:
    """Return a job; NotFound names the newest ones."""
    found = find(store, name)
    if found is None:
        newest = [
            row["name"]
            for row in store.rows("SELECT name FROM jobs WHERE kind != 'step' ORDER BY created_at DESC LIMIT 3")
        ]
        raise NotFound(
            f"there is no job {name}" + (f" (the newest: {', '.join(newest)})" if newest else ""),
            hint="mlctl job list" if newest else "mlctl batch invoke -n ENDPOINT --input PATH",
        )
    return found


def find_request(store: Store, request_id: str) -> JobRow | None:
    """Return the job that a request has made, or None when the request is new."""
    row = store.row("SELECT * FROM jobs WHERE request_id = ?", (request_id,))
    return _read(row) if row else None


def list_jobs(
    store: Store, *, endpoint: str | None = None, workspace: str | None = None, limit: int | None = None
) -> list[JobRow]:
    """Return jobs, the newest first; steps are found by `list_steps`."""
    rows = store.rows(
        "SELECT * FROM jobs WHERE kind != 'step' AND (? IS NULL OR endpoint = ?) AND (? IS NULL OR workspace = ?)"
        " ORDER BY created_at DESC, rowid DESC LIMIT ?",
        (endpoint, endpoint, workspace, workspace, -1 if limit is None else limit),
    )
    return [_read(row) for row in rows]


def name_step(job: str, step: str) -> str:
    """Return the name of a pipeline's step: no job's own name has a dot."""
    return f"{job}.{step}"


def split_step(name: str) -> tuple[str, str]:
    """Return the job and the step that a name means; the step is empty for a whole job."""
    job, _, step = name.partition(".")
    return job, step


def list_steps(store: Store, job: str) -> list[JobRow]:
    """Return the steps of a pipeline job, in the order in which they can run."""
    rows = store.rows(
        "SELECT * FROM jobs WHERE kind = 'step' AND substr(name, 1, ?) = ? ORDER BY rowid", (len(job) + 1, f"{job}.")
    )
    return [_read(row) for row in rows]


def list_alike(store: Store, reuse_key: str) -> list[JobRow]:
    """Return the completed steps that did the same with the same input, the newest first."""
    rows = store.rows(
        "SELECT * FROM jobs WHERE kind = 'step' AND state = 'Completed' AND json_extract(spec, '$.reuse_key') = ?"
        " ORDER BY ended_at DESC LIMIT 5",
        (reuse_key,),
    )
    return [_read(row) for row in rows]


def running_of(store: Store, endpoint: str) -> list[str]:
    """Return the names of an endpoint's jobs that have not ended."""
    marks = ", ".join("?" * len(ENDED))
    rows = store.rows(f"SELECT name FROM jobs WHERE endpoint = ? AND state NOT IN ({marks})", (endpoint, *ENDED))
    return [row["name"] for row in rows]


def set_state(store: Store, name: str, state: str, *, error: str | None = None, unless: Sequence[str] = ()) -> bool:
    """Record a job's state; False when it is in one of `unless`, and stays in it."""
    now = time.time()
    marks = ", ".join("?" * len(unless))
    with store.transaction():
        changed = store.execute(
            "UPDATE jobs SET state = ?, error = ?, started_at = coalesce(started_at, ?), ended_at = ?"
            f" WHERE name = ? AND state NOT IN ({marks})",
            (state, error, now if state == "Running" else None, now if state in ENDED else None, name, *unless),
        )
        if changed:
            job = get(store, name)
            message = f"{name}: {state}" + (f": {error}" if error else "")
            slug = "".join(f"_{char.lower()}" if char.isupper() else char for char in state).strip("_")
            events.record(store, f"job.{slug}", message, endpoint=job.endpoint, deployment=job.deployment, job=name)
    return bool(changed)


def set_spec(store: Store, name: str, spec: Mapping[str, Any]) -> None:
    """Replace what is shown of a job; what it does stands in its folder, and stays."""
    store.execute("UPDATE jobs SET spec = ? WHERE name = ?", (json.dumps(spec), name))


def set_archived(store: Store, name: str, *, archived: bool) -> None:
    """Hide a job from lists, or show it again."""
    get(store, name)
    store.execute("UPDATE jobs SET archived = ? WHERE name = ?", (archived, name))


def delete(store: Store, name: str) -> None:
    """Forget a job and its steps."""
    with store.transaction():
        job = get(store, name)
        for row in (*list_steps(store, name), job):
            store.execute("DELETE FROM jobs WHERE name = ?", (row.name,))
        events.record(
            store, "job.deleted", f"{name} was deleted", endpoint=job.endpoint, deployment=job.deployment, job=name
        )
