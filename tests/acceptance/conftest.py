"""A machine to try mlctl on: its own registry, real daemon, real Envoy, real replicas; all ended by the fixture."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from mlctl.cli.main import run
from mlctl.registry import replicas
from mlctl.registry.replicas import ReplicaRow
from mlctl.registry.store import Store
from mlctl.runtimes.processes import find_labelled
from mlctl.settings import registry_label
from tests.waiting import wait_until

# Tells what the replica received, who answered, and takes as long as the body asks for.
ECHO = """
import json, os, time

def init():
    pass

def run(raw_data, request_headers):
    body = json.loads(raw_data) if raw_data else {}
    time.sleep(body.get("sleep_s", 0))
    if body.get("raise"):
        raise RuntimeError("asked to fail")
    return {"pid": os.getpid(), "headers": dict(request_headers), "version": VERSION}

VERSION = 1
"""


@dataclass(frozen=True)
class Ran:
    """What a command line came to."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Machine:
    """A registry and what runs for it. `run` runs one command in this process, as the installed command would."""

    home: Path
    work: Path
    port: int
    environ: dict[str, str] = field(default_factory=dict)

    def run(self, *words: str) -> Ran:
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(words)
        return Ran(code, out.getvalue(), err.getvalue())

    def ok(self, *words: str) -> Ran:
        ran = self.run(*words)
        assert ran.code == 0, ran.err
        return ran

    def write_script(self, text: str = ECHO, folder: str = "src") -> Path:
        path = self.work / folder / "score.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return path

    def write_deployment(self, name: str = "blue", *, concurrency: int = 50, instances: int = 1, **extra: Any) -> str:
        document = {
            "name": name,
            "endpoint_name": "fraud-endpoint",
            "code_configuration": {"code": "./src", "scoring_script": "score.py"},
            "environment": {"image": "python:3.11"},
            "instance_type": "Standard_DS2_v2",
            "instance_count": instances,
            "request_settings": {"max_concurrent_requests_per_instance": concurrency, "request_timeout_ms": 10000},
            **extra,
        }
        path = self.work / f"{name}.yml"
        path.write_text(json.dumps(document))
        return str(path)

    def deploy(self, name: str = "blue", *flags: str, **document: Any) -> None:
        if not (self.work / "src").exists():
            self.write_script()
        self.ok("deployment", "create", "-f", self.write_deployment(name, **document), *flags)

    def create_endpoint(self) -> None:
        self.ok("endpoint", "create", "-n", "fraud-endpoint")

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.port}/endpoints/fraud-endpoint/score"

    def key(self, which: str = "primary") -> str:
        return self.ok("endpoint", "get-credentials", "-n", "fraud-endpoint").json[f"{which}Key"]

    def score(self, body: Any = None, *, key: str | None = None, **headers: str) -> requests.Response:
        sent = {"Authorization": f"Bearer {key or self.key()}", "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        with requests.Session() as session:
            session.trust_env = False
            return session.post(self.uri, data=json.dumps(body or {}), headers=sent, timeout=30)

    def replicas(self, state: str | None = None) -> list[ReplicaRow]:
        with Store(self.home / "registry.db") as store:
            return [row for row in replicas.list_replicas(store) if state in (None, row.state)]

    def pid(self, name: str) -> int:
        with Store(self.home / "registry.db") as store:
            row = replicas.get_process(store, name)
        assert row is not None
        return row.pid

    def kill(self, name: str) -> int:
        pid = self.pid(name)
        os.kill(pid, signal.SIGKILL)
        return pid

    def processes(self) -> list[int]:
        """Return every process that runs for this registry: daemon, Envoy, jobs service, replicas."""
        found = [
            *find_labelled("mlctl.scoring", registry_label(self.home)),
            *find_labelled("mlctl.control", str(self.home)),
            *find_labelled("mlctl.service", str(self.home)),
            *find_labelled("-c", str(self.home / "gateway" / "bootstrap.json")),
        ]
        return [process.pid for process in found]

    def stop(self) -> None:
        if (self.home / "registry.db").exists():
            self.run("daemon", "stop")
        wait_until(lambda: not self.processes(), what=f"orphans: {self.processes()}")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def boot() -> Generator[Machine]:
    # Short: Unix sockets below it have 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="mlt-"))
    machine = Machine(folder / "home", folder / "work", free_port())
    machine.work.mkdir()
    before = dict(os.environ)
    os.environ |= {
        "MLCTL_HOME": str(machine.home),
        "MLCTL_GATEWAY_PORT": str(machine.port),
        "MLCTL_METRICS_PORT": "0",
        "TMPDIR": str(folder),
        "XDG_RUNTIME_DIR": "",
    }
    tempfile.tempdir = None
    try:
        yield machine
        machine.stop()
    finally:
        for pid in machine.processes():
            os.kill(pid, signal.SIGKILL)
        os.environ.clear()
        os.environ.update(before)
        tempfile.tempdir = None
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def machine() -> Iterator[Machine]:
    """An empty machine of this test's own."""
    with boot() as booted:
        yield booted


@pytest.fixture(scope="module")
def _served() -> Iterator[Machine]:
    with boot() as booted:
        booted.create_endpoint()
        booted.deploy("blue", "--all-traffic")
        booted.deploy("green")
        yield booted


@pytest.fixture
def served(_served: Machine) -> Machine:
    """A machine that the module's tests share: blue with all traffic, green with none, when a test begins."""
    name = ("-n", "fraud-endpoint")
    _served.ok("endpoint", "update", *name, "--traffic", "blue=100", "--mirror-traffic", "green=0")
    return _served
