"""Replicas and the two processes beside them (daemon, envoy), as the daemon last saw them."""

from __future__ import annotations

import time
from dataclasses import dataclass

from mlctl.planning.workers import list_sockets
from mlctl.registry.store import Store


@dataclass(frozen=True)
class ReplicaRow:
    """A replica. `pid` is None between the decision to start it and the start itself. socket: of its first worker."""

    id: str
    endpoint: str
    deployment: str
    generation: int
    socket: str
    pid: int | None
    start_ticks: int | None
    state: str
    started_at: float
    changed_at: float

    @property
    def sockets(self) -> tuple[str, ...]:
        """Where it is reached: a socket for each worker."""
        return list_sockets(self.socket)


@dataclass(frozen=True)
class ProcessRow:
    """The daemon or Envoy. `state`: starting, ready, failed, stopped; `message` says why it failed."""

    name: str
    pid: int
    start_ticks: int
    state: str
    message: str
    started_at: float


def insert_replica(
    store: Store, *, replica: str, endpoint: str, deployment: str, generation: int, socket: str
) -> ReplicaRow:
    """Write down a replica that is about to be started."""
    now = time.time()
    store.execute(
        "INSERT INTO replicas VALUES (?, ?, ?, ?, ?, NULL, NULL, 'starting', ?, ?)",
        (replica, endpoint, deployment, generation, socket, now, now),
    )
    return ReplicaRow(replica, endpoint, deployment, generation, socket, None, None, "starting", now, now)


def set_replica_process(store: Store, replica: str, *, pid: int, start_ticks: int) -> None:
    """Record the process of a replica that was started."""
    store.execute("UPDATE replicas SET pid = ?, start_ticks = ? WHERE id = ?", (pid, start_ticks, replica))


def set_replica_state(store: Store, replica: str, state: str) -> None:
    """Record a replica's state: starting, ready, unready, draining."""
    store.execute("UPDATE replicas SET state = ?, changed_at = ? WHERE id = ?", (state, time.time(), replica))


def remove_replica(store: Store, replica: str) -> None:
    """Forget a replica that has ended."""
    store.execute("DELETE FROM replicas WHERE id = ?", (replica,))


def list_replicas(store: Store, endpoint: str | None = None) -> list[ReplicaRow]:
    """Return the replicas of one endpoint or of all, oldest first."""
    rows = store.rows(
        "SELECT * FROM replicas WHERE ? IS NULL OR endpoint = ? ORDER BY started_at", (endpoint, endpoint)
    )
    return [ReplicaRow(**dict(row)) for row in rows]


def put_process(store: Store, name: str, *, pid: int, start_ticks: int, state: str, message: str = "") -> None:
    """Record the daemon or Envoy."""
    store.execute(
        "INSERT INTO processes VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET pid = excluded.pid,"
        " start_ticks = excluded.start_ticks, state = excluded.state, message = excluded.message,"
        " started_at = excluded.started_at",
        (name, pid, start_ticks, state, message, time.time()),
    )


def get_process(store: Store, name: str) -> ProcessRow | None:
    """Return what is known of the daemon or Envoy, None before their first start."""
    row = store.row("SELECT * FROM processes WHERE name = ?", (name,))
    return ProcessRow(**dict(row)) if row else None
