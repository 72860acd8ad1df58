"""What every runtime must do. A new one is added to RUNTIMES and has to pass as it stands."""

import os
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlctl import unix_http
from mlctl.errors import BackendUnavailable
from mlctl.runtimes.base import ReplicaHandle, ReplicaOrder, Runtime
from mlctl.runtimes.process import ProcessRuntime, can_isolate_network
from tests.waiting import wait_until

SCRIPT = """
import json, os
def init(): pass
def run(raw_data): return {"variables": dict(os.environ), "cwd": os.getcwd()}
"""

RUNTIMES: dict[str, Callable[[], Runtime]] = {
    "process": lambda: ProcessRuntime(label="testlabel", environ={"PATH": os.environ["PATH"], "SHELL_SECRET": "hush"}),
}


@pytest.fixture(params=sorted(RUNTIMES))
def runtime(request: pytest.FixtureRequest) -> Runtime:
    return RUNTIMES[request.param]()


@pytest.fixture
def order(tmp_path_factory: pytest.TempPathFactory) -> ReplicaOrder:
    folder = tmp_path_factory.mktemp("r", numbered=True)
    (folder / "src").mkdir()
    (folder / "src" / "score.py").write_text(SCRIPT)
    return make_order(folder)


def make_order(folder: Path, **changes: Any) -> ReplicaOrder:
    fields: dict[str, Any] = {
        "id": f"blue-{os.getpid()}-{folder.name}",
        "endpoint": "e",
        "deployment": "blue",
        "socket": folder / "r.sock",
        "python": Path(sys.executable),
        "app_root": folder / "src",
        "entry_script": "score.py",
        "model_dir": None,
        "environment_variables": {"MINE": "1"},
        "max_concurrent": 2,
        "max_queue_wait_ms": 500,
        "run_threads": 1,
        "is_azure_exact": False,
        "has_network": True,
        "work_dir": folder / "work",
        "log_file": folder / "replica.log",
        "failure_file": folder / "failure.json",
    }
    return ReplicaOrder(**(fields | changes))


@pytest.fixture
def started(runtime: Runtime, order: ReplicaOrder) -> Iterator[ReplicaHandle]:
    handle = runtime.start(order)
    yield handle
    runtime.kill(handle)
    wait_until(lambda: not runtime.is_alive(handle))


def score(order: ReplicaOrder) -> unix_http.Response:
    return unix_http.request(str(order.socket), "POST", "/score", body=b"{}", timeout_s=20)


def test_a_started_replica_scores_on_its_socket(runtime: Runtime, order: ReplicaOrder, started: ReplicaHandle):
    assert score(order).status == 200
    assert runtime.is_alive(started)


def test_the_socket_is_the_owners_alone(order: ReplicaOrder, started: ReplicaHandle):
    assert order.socket.stat().st_mode & 0o777 == 0o600


def test_it_sees_its_variables_and_none_of_the_shell(order: ReplicaOrder, started: ReplicaHandle):
    body = score(order).body.decode()
    assert '"MINE": "1"' in body
    assert "SHELL_SECRET" not in body


def test_it_is_found_by_its_id_alone(runtime: Runtime, order: ReplicaOrder, started: ReplicaHandle):
    wait_until(lambda: runtime.find(order.id) == started)
    assert runtime.find("somebody-else") is None


def test_asked_to_stop_it_ends(runtime: Runtime, order: ReplicaOrder, started: ReplicaHandle):
    score(order)
    runtime.request_stop(started)
    wait_until(lambda: not runtime.is_alive(started))


def test_a_killed_replica_is_not_alive_and_how_it_ended_is_known(runtime: Runtime, started: ReplicaHandle):
    runtime.kill(started)
    wait_until(lambda: not runtime.is_alive(started))
    assert "SIGKILL" in runtime.describe_exit(started)


def test_a_second_replica_takes_the_socket_over(runtime: Runtime, order: ReplicaOrder, started: ReplicaHandle):
    score(order)
    second = runtime.start(make_order(order.socket.parent, id=f"{order.id}-second"))
    runtime.kill(started)
    assert score(order).status == 200
    runtime.kill(second)
    wait_until(lambda: not runtime.is_alive(second))


def test_a_replica_without_network_scores_and_reaches_nothing(runtime: Runtime, tmp_path: Path):
    if not can_isolate_network(os.environ):
        pytest.skip("this machine lets nobody make a network namespace")
    script = """
import json, socket
def init(): pass
def run(raw_data):
    try:
        socket.create_connection(("127.0.0.1", json.loads(raw_data)["port"]), timeout=2).close()
    except OSError as error:
        return {"reached": False, "why": str(error)}
    return {"reached": True}
"""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "score.py").write_text(script)
    with socket.create_server(("127.0.0.1", 0)) as server:
        body = f'{{"port": {server.getsockname()[1]}}}'.encode()
        for has_network in (True, False):
            order = make_order(tmp_path, id=f"blue-{os.getpid()}-net-{has_network}", has_network=has_network)
            handle = runtime.start(order)
            answer = unix_http.request(str(order.socket), "POST", "/score", body=body, timeout_s=20).body
            assert (b'"reached": true' in answer) is has_network
            assert runtime.find(order.id) == handle
            runtime.kill(handle)
            wait_until(lambda handle=handle: not runtime.is_alive(handle))


def test_what_cannot_be_started_is_told_and_leaves_nothing(runtime: Runtime, order: ReplicaOrder):
    with pytest.raises(BackendUnavailable, match="cannot start a replica"):
        runtime.start(make_order(order.socket.parent, python=Path("/nowhere/python")))
