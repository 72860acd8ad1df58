"""What happened, in order: the audit trail that `mlctl deployment events` shows and waiting commands follow."""

from __future__ import annotations

import getpass
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlctl.registry.store import Store, read_json

KEPT = 100_000


@dataclass(frozen=True)
class Event:
    """One thing that happened. `kind` is a stable slug such as `replica.ready`; `at` is in epoch seconds."""

    id: int
    at: float
    endpoint: str | None
    deployment: str | None
    kind: str
    message: str
    data: Mapping[str, Any]
    os_user: str


def os_user() -> str:
    """Return the name of the user this process runs as."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())


def record(
    store: Store, kind: str, message: str, *, endpoint: str | None = None, deployment: str | None = None, **data: Any
) -> None:
    """Append an event. Never pass keys, tokens or bodies."""
    store.execute(
        "INSERT INTO events (at, endpoint, deployment, kind, message, data, os_user) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (time.time(), endpoint, deployment, kind, message, json.dumps(data), os_user()),
    )


def prune(store: Store, *, keep: int = KEPT) -> None:
    """Forget all but the newest events."""
    store.execute("DELETE FROM events WHERE id <= (SELECT max(id) FROM events) - ?", (keep,))


def last_id(store: Store) -> int:
    """Return the id of the newest event, 0 when there is none."""
    row = store.row("SELECT max(id) AS id FROM events")
    return (row["id"] if row else None) or 0


def list_events(
    store: Store, *, endpoint: str, deployment: str | None = None, after: int = 0, limit: int = 1000
) -> list[Event]:
    """Return the newest `limit` events of an endpoint (or one deployment) with an id above `after`, oldest first."""
    rows = store.rows(
        "SELECT * FROM (SELECT * FROM events WHERE endpoint = ? AND id > ? AND (? IS NULL OR deployment = ?)"
        " ORDER BY id DESC LIMIT ?) ORDER BY id",
        (endpoint, after, deployment, deployment, limit),
    )
    return [Event(**{**dict(row), "data": read_json(row["data"])}) for row in rows]
