"""`mlctl serve` as a process of its own, on a port of this machine, and a client for it."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent

import pytest

from tests.acceptance.scoring.replicas import DEADLINE_S, Reply, wait_until

FINE = """
import json, os, time

def init(): pass

def run(data):
    if data.startswith("sleep"):
        time.sleep(float(data[5:]))
    return {"pid": os.getpid(), "got": data}
"""


def find_free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Serving:
    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    connections: list[http.client.HTTPConnection] = field(default_factory=list[http.client.HTTPConnection])

    def out(self) -> str:
        return (self.folder / "out").read_text()

    def err(self) -> str:
        return (self.folder / "err").read_text()

    def call(self, method: str, path: str, body: str | None = None, port: int = 0, **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", port or self.port, timeout=DEADLINE_S)
        self.connections.append(connection)
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, sent)
        response = connection.getresponse()
        reply = Reply(response.status, response.headers, response.read())
        connection.close()
        return reply

    def score(self, body: str = "x", **headers: str) -> Reply:
        headers.setdefault("Content_Type", "application/json")
        return self.call("POST", "/score", body, 0, **headers)

    def is_healthy(self) -> bool:
        with contextlib.suppress(OSError):
            return self.call("GET", "/").status == 200
        return False

    def wait_ready(self) -> Serving:
        wait_until(lambda: self.process.poll() is not None or self.is_healthy(), "readiness")
        assert self.process.poll() is None, self.out() + self.err()
        return self

    def wait_for(self, text: str, count: int = 1) -> None:
        wait_until(lambda: (self.out() + self.err()).count(text) >= count, f"{text!r} in {self.out()}{self.err()}")

    def exit_code(self) -> int:
        return self.process.wait(DEADLINE_S)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.exit_code()

    def close(self) -> None:
        for connection in self.connections:
            connection.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # its own group: the master and its workers
        self.process.wait()


class Servings:
    """Starts servers, and ends them. command: of another server than mlctl's, with the same options."""

    def __init__(self, command: Sequence[str] = (sys.executable, "-P", "-m", "mlctl.cli.main", "serve")) -> None:
        self._command = command
        self._started: list[Serving] = []
        self._folder = tempfile.TemporaryDirectory(prefix="mlctl-serve-")

    def start(
        self,
        script: str | None,
        *words: str,
        files: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        port: int = 0,
    ) -> Serving:
        """Start the server in a folder that holds score.py; the words come behind script and port."""
        folder = Path(self._folder.name) / str(len(self._started))
        for name, text in {**(files or {}), **({"score.py": script} if script is not None else {})}.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))
        folder.mkdir(exist_ok=True)
        port = port or find_free_port()
        named = ["--entry_script", "score.py"] if script is not None else []
        with (folder / "out").open("ab") as out, (folder / "err").open("ab") as err:
            process = subprocess.Popen(
                [*self._command, *named, "--port", str(port), *words],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                env={**os.environ, "MLCTL_HOME": str(folder / "home"), **(environment or {})},
            )
        self._started.append(Serving(folder, port, process))
        return self._started[-1]

    def close(self) -> None:
        for serving in self._started:
            serving.close()
        self._folder.cleanup()


@pytest.fixture
def servings() -> Iterator[Servings]:
    started = Servings()
    yield started
    started.close()
