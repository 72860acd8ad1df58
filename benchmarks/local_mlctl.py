"""mlctl as its users have it: commands, daemon, Envoy, replicas, on a registry in a temporary folder."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks.outcome import BenchmarkFailed
from mlctl.registry import replicas
from mlctl.registry.store import Store
from mlctl.runtimes.processes import ProcessId, find_labelled, kill_session
from mlctl.settings import registry_label

MLCTL = Path(sys.executable).with_name("mlctl")
COMMAND_TIMEOUT_S = 120


@dataclass(frozen=True)
class LocalMlctl:
    """A registry of its own and what runs for it. work: an empty folder for documents and code."""

    home: Path
    work: Path
    port: int
    environ: dict[str, str]

    def run(self, *words: str) -> str:
        """Run a command and return what it printed; BenchmarkFailed with its stderr when it fails."""
        ended = subprocess.run(
            [str(MLCTL), *words],
            env=self.environ,
            cwd=self.work,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
        if ended.returncode != 0:
            raise BenchmarkFailed(f"mlctl {' '.join(words)} ended with {ended.returncode}: {ended.stderr}")
        return ended.stdout.strip()

    def read_key(self, endpoint: str) -> str:
        """Return an endpoint's primary key."""
        return self.run("endpoint", "get-credentials", "-n", endpoint, "--query", "primaryKey", "-o", "tsv")

    def find_replica_socket(self, endpoint: str) -> str:
        """Return the socket of an endpoint's one replica."""
        with Store(self.home / "registry.db") as store:
            found = replicas.list_replicas(store, endpoint)
        if len(found) != 1:
            raise BenchmarkFailed(f"{endpoint} has {len(found)} replicas, not one")
        return found[0].socket

    def find_processes(self) -> list[ProcessId]:
        """Find the daemon, Envoy and the replicas; each leads a session."""
        return [
            *find_labelled("mlctl.control", str(self.home)),
            *find_labelled("-c", str(self.home / "gateway" / "bootstrap.json")),
            *find_labelled("mlctl.scoring", registry_label(self.home)),
        ]

    def end(self) -> None:
        """Stop the daemon and all it started; kill what is left of them."""
        with suppress(BenchmarkFailed, subprocess.TimeoutExpired):
            self.run("daemon", "stop")
        for process in self.find_processes():
            kill_session(process)


@contextmanager
def boot_mlctl() -> Generator[LocalMlctl]:
    """Make an empty registry; at the end nothing of it is left, processes or files."""
    if not MLCTL.exists():
        raise BenchmarkFailed(f"{MLCTL} is missing: make setup")
    # Short: Unix sockets below it have 107 bytes at most.
    folder = Path(tempfile.mkdtemp(prefix="mlb-"))
    home, work, port = folder / "home", folder / "work", find_free_port()
    own = {
        "MLCTL_HOME": str(home),
        "MLCTL_GATEWAY_PORT": str(port),
        "MLCTL_METRICS_PORT": "0",
        "TMPDIR": str(folder),
        "XDG_RUNTIME_DIR": "",
    }
    booted = LocalMlctl(home, work, port, {**os.environ, **own})
    try:
        work.mkdir()
        yield booted
    finally:
        try:
            booted.end()
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def find_free_port() -> int:
    """Return a loopback port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def end_on_sigterm() -> None:
    """Have SIGTERM end the benchmark as Ctrl-C does, so that what it started is ended too."""

    def handle(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, handle)
