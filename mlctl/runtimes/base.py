"""What every runtime can do: start a replica, see whether it lives, end it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mlctl.entities.micro_batching import MicroBatching
from mlctl.planning.workers import list_sockets


@dataclass(frozen=True)
class ReplicaOrder:
    """Everything needed to start one replica.

    app_root: the code folder; entry_script: path of the script inside it, None without one. model_dir: None without a
    model. no_code: what serves the model then, `LOADER:PATH`. request_schema: what bodies are checked against: off,
    auto (what the model tells), or a file.
    collection: what the data collector shall keep, None: nothing. micro_batching: how requests are joined, None: never.
    has_network: False: it must not reach anything, and is reached by its sockets alone. socket: of its first worker,
    named as `planning.workers` does. max_concurrent: of each worker.
    """

    id: str
    endpoint: str
    deployment: str
    socket: Path
    python: Path
    app_root: Path
    entry_script: str | None
    model_dir: Path | None
    environment_variables: Mapping[str, str]
    max_concurrent: int
    max_queue_wait_ms: int
    run_threads: int
    is_azure_exact: bool
    has_network: bool
    work_dir: Path
    log_file: Path
    failure_file: Path
    collection: Mapping[str, Any] | None = None
    micro_batching: MicroBatching | None = None
    no_code: str | None = None
    request_schema: str = "off"

    @property
    def sockets(self) -> tuple[Path, ...]:
        """Where its workers listen, one each."""
        return tuple(Path(path) for path in list_sockets(str(self.socket)))


@dataclass(frozen=True)
class ReplicaHandle:
    """A started replica: its process, told apart from a later one with the same number by its start time."""

    id: str
    pid: int
    start_ticks: int


class Runtime(Protocol):
    """Runs replicas. Handles stay valid across restarts of the daemon."""

    def start(self, order: ReplicaOrder) -> ReplicaHandle:
        """Start a replica that listens on its order's socket; BackendUnavailable when it cannot be started."""
        ...

    def is_alive(self, handle: ReplicaHandle) -> bool:
        """Say whether the replica still runs."""
        ...

    def request_stop(self, handle: ReplicaHandle) -> None:
        """Ask the replica to finish its requests and end."""
        ...

    def kill(self, handle: ReplicaHandle) -> None:
        """End the replica and everything it started, at once."""
        ...

    def describe_exit(self, handle: ReplicaHandle) -> str:
        """Say how a replica that is not alive ended; empty when nobody knows."""
        ...

    def find(self, replica: str) -> ReplicaHandle | None:
        """Find a running replica by its id alone: for a daemon that died before it wrote the process down."""
        ...
