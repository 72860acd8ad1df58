"""The data collector of a real replica: what its writer leaves in files, and what happens when it cannot."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from mlctl.runtimes.process import can_isolate_network, isolation_prefix
from mlctl.scoring.collection.records import Exchange, pack_exchanges
from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.replicas import DEADLINE_S, Replica, wait_until

PAYLOADS = ("request", "response")
SCRIPT = """
def init():
    pass

def run(raw_data):
    if raw_data == "boom":
        raise ValueError("no")
    return {"length": len(raw_data)}
"""
OWN = """
import pandas
from azureml.ai.monitoring import Collector
from azureml.ai.monitoring.context import BasicCorrelationContext

def init():
    global inputs, outputs
    inputs, outputs = Collector(name="model_inputs"), Collector(name="model_outputs")

def run(raw_data):
    context = inputs.collect(pandas.DataFrame([{"x": 1}]), BasicCorrelationContext(id=raw_data))
    outputs.collect(pandas.DataFrame([{"y": 2}]), context)
    return "done"
"""
# Stands beside the script, where an environment would have the real one.
PANDAS = """
import json

class DataFrame:
    def __init__(self, rows):
        self.rows = rows

    def to_json(self, orient):
        return json.dumps(self.rows)
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mlctl-data-") as folder:
        yield Path(folder)


def write_settings(folder: Path, *names: str, **more: Any) -> tuple[str, str]:
    document = {
        "collections": {name: {"enabled": True} for name in names},
        "folder": str(folder / "data"),
        "source": "/x",
        "instanceId": "blue-1",
        **more,
    }
    (folder / "collection.json").write_text(json.dumps(document))
    return "--collection", str(folder / "collection.json")


def read_events(folder: Path, name: str) -> list[dict[str, Any]]:
    files = sorted((folder / "data" / name).rglob("blue-1.jsonl"))
    # The last line may be half written, and is taken back when the disk is full.
    texts = [text[: text.rfind("\n") + 1] for text in (file.read_text() for file in files)]
    return [json.loads(line) for text in texts for line in text.splitlines()]


def wait_for_events(folder: Path, name: str, count: int) -> list[dict[str, Any]]:
    wait_until(lambda: len(read_events(folder, name)) >= count, f"{count} events of {name}")
    return read_events(folder, name)


def find_writer(replica: Replica) -> int | None:
    pid = replica.process.pid
    children = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    found = [int(child) for some in children for child in some if b"sidecar" in read_arguments(int(child))]
    return found[0] if found else None


def read_arguments(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def get_writer(replica: Replica) -> int:
    wait_until(lambda: find_writer(replica), "the writer")
    pid = find_writer(replica)
    assert pid is not None
    return pid


def is_gone(pid: int) -> bool:
    return b"sidecar" not in read_arguments(pid)


def test_requests_and_answers_are_kept_failed_ones_too(start_replica: StartReplica, folder: Path) -> None:
    options = write_settings(folder, *PAYLOADS, captureHeaders=["X-Tenant", "authorization"])
    replica = start_replica(SCRIPT, *options).wait_ready()
    secret = {"X-Tenant": "t1", "Authorization": "Bearer of-nobody-s-business"}
    answers = [replica.score(body, {**secret, "x-request-id": f"r{i}"}) for i, body in enumerate(['{"a": 1}', "boom"])]
    assert [answer.status for answer in answers] == [200, 424]
    assert replica.score(b"\xff").status == 400
    assert replica.call("GET", "/score?a=1&b=x").status == 200
    replica.terminate()
    assert replica.exit_code() == 0

    requests = {event["xrequestid"]: event for event in read_events(folder, "request")}
    responses = {event["correlationid"]: event for event in read_events(folder, "response")}
    assert requests.keys() == responses.keys()
    assert len(requests) == 4
    assert requests["r0"]["data"] == {"a": 1}
    assert (requests["r0"]["path"], requests["r0"]["method"]) == ("/score", "POST")
    assert requests["r0"]["headers"] == {"x-tenant": "t1"}
    assert (responses["r0"]["data"], responses["r0"]["statuscode"]) == ({"length": 8}, 200)
    assert (requests["r1"]["data"], responses["r1"]["statuscode"]) == ("boom", 424)
    assert responses["r1"]["data"] == json.loads(answers[1].body)
    assert {"a": 1, "b": "x"} in [event["data"] for event in requests.values()]
    blobs = [event for event in requests.values() if event.get("datainblob") == "true"]
    assert [Path(event["data"].removeprefix("file://")).read_bytes() for event in blobs] == [b"\xff"]
    everything = "".join(path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file())
    assert "of-nobody" not in everything + replica.log()
    assert "authorization carries a credential and is never noted" in replica.log()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in (folder / "data").rglob("*") if path.is_file()}
    assert modes == {0o600}


def test_a_large_body_lies_in_a_file_of_its_own(start_replica: StartReplica, folder: Path) -> None:
    replica = start_replica(SCRIPT, *write_settings(folder, *PAYLOADS)).wait_ready()
    body = b"x" * 5_000_000
    assert replica.score(body).json() == {"length": 5_000_000}
    (event,) = wait_for_events(folder, "request", 1)
    assert (event["datainblob"], event["contentrange"]) == ("true", "bytes 0-4999999/*")
    path = Path(event["data"].removeprefix("file://"))
    assert path.name == event["id"]
    assert path.read_bytes() == body


def test_scripts_collect_where_no_package_is_installed(start_replica: StartReplica, folder: Path) -> None:
    options = write_settings(folder, "model_inputs", "model_outputs")
    replica = start_replica(OWN, *options, files={"code/pandas.py": PANDAS}).wait_ready()
    assert replica.score("c1").status == 200
    (inputs,) = wait_for_events(folder, "model_inputs", 1)
    (outputs,) = wait_for_events(folder, "model_outputs", 1)
    assert (inputs["data"], outputs["data"]) == ([{"x": 1}], [{"y": 2}])
    assert inputs["correlationid"] == outputs["correlationid"] == "c1"
    assert inputs["collectdatatype"] == "pandas.DataFrame"
    assert inputs["modelversion"] == "default"
    assert not read_events(folder, "request")


def test_an_installed_package_delivers_as_it_does_in_azure(start_replica: StartReplica, folder: Path) -> None:
    """What azureml-ai-monitoring 1.0.0 sends, by something small in its place."""
    package = """
        import json, os, urllib.request

        class Collector:
            def __init__(self, *, name):
                known = json.load(open(os.environ["AZUREML_MDC_CONFIG_PATH"]))["collections"]
                assert known[name]["enabled"]
                self.name = name

            def collect(self, frame):
                address = os.environ["AZUREML_MDC_HOST"] + ":" + os.environ["AZUREML_MDC_PORT"]
                headers = {"ce-time": "1764037680", "ce-type": "azureml.inference." + self.name,
                           "ce-collect-data-type": "pandas.DataFrame", "ce-x-request-id": "c7", "ce-tenant": "t"}
                body = json.dumps(frame).encode()
                request = urllib.request.Request(f"http://{address}/modeldata/log", data=body, headers=headers)
                return urllib.request.urlopen(request, timeout=10).status
    """
    script = """
        from azureml.ai.monitoring import Collector

        def init():
            global inputs
            inputs = Collector(name="model_inputs")

        def run(raw_data):
            return inputs.collect([{"x": 1}])
    """
    site = folder / "site" / "azureml" / "ai" / "monitoring"
    site.mkdir(parents=True)
    (site / "__init__.py").write_text(dedent(package))
    environment = {"PYTHONPATH": str(folder / "site")}
    replica = start_replica(script, *write_settings(folder, "model_inputs"), environment=environment).wait_ready()
    assert replica.score("{}").json() == 200
    (event,) = wait_for_events(folder, "model_inputs", 1)
    assert (event["data"], event["correlationid"], event["headers"]) == ([{"x": 1}], "c7", {"tenant": "t"})
    assert event["time"] == "2025-11-25T02:28:00.000Z"


def test_the_loopback_address_is_brought_up_where_a_replica_has_a_network_of_its_own() -> None:
    if not can_isolate_network(os.environ):
        pytest.skip("this machine lets nobody make networks")
    code = "from mlctl.scoring.collection.loopback import open_listener; print(open_listener().getsockname()[0])"
    words = [*isolation_prefix(), sys.executable, "-c", code]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=DEADLINE_S)
    assert ran.stdout == "127.0.0.1\n", ran.stderr


def test_a_script_that_collects_without_a_data_collector_does_not_start(start_replica: StartReplica) -> None:
    failure = start_replica(OWN, files={"code/pandas.py": PANDAS}).failure()
    assert "custom logging is not enabled" in json.dumps(failure)


def test_a_killed_writer_changes_no_answer_and_is_replaced(
    start_replica: StartReplica, folder: Path, background: ThreadPoolExecutor
) -> None:
    options = write_settings(folder, *PAYLOADS)
    replica = start_replica(SCRIPT, *options, "--max-concurrent", "16").wait_ready()
    replica.score("first")
    wait_for_events(folder, "request", 1)
    writer = get_writer(replica)
    pending = [background.submit(replica.score, f"a{i}") for i in range(300)]
    os.kill(writer, signal.SIGKILL)
    assert {one.result().status for one in pending} == {200}
    assert replica.score("once more").status == 200
    replica.wait_for_log("its writer died")
    assert get_writer(replica) != writer
    replica.score("last")
    wait_until(lambda: read_events(folder, "request")[-1]["data"] == "last", "the last event")


def test_a_stopped_writer_changes_no_answer_and_does_not_keep_the_replica(
    start_replica: StartReplica, folder: Path
) -> None:
    replica = start_replica(SCRIPT, *write_settings(folder, *PAYLOADS)).wait_ready()
    writer = get_writer(replica)
    os.kill(writer, signal.SIGSTOP)
    try:
        for _ in range(60):
            assert replica.score("x" * 1_000_000).status == 200
        replica.wait_for_log("its writer does not keep up")
        replica.terminate()
        assert replica.exit_code() == 0
    finally:
        os.kill(writer, signal.SIGCONT)
    wait_until(lambda: is_gone(writer), "the end of the writer")
    assert 0 < len(read_events(folder, "request")) < 60


def test_the_writer_of_a_killed_replica_ends_though_a_child_of_the_script_holds_the_socket(
    start_replica: StartReplica, folder: Path
) -> None:
    script = """
        import os, pathlib, signal

        def init():
            child = os.fork()
            if child == 0:
                signal.pause()
            pathlib.Path("child").write_text(str(child))

        def run(raw_data):
            return 1
    """
    replica = start_replica(script, *write_settings(folder, "request")).wait_ready()
    replica.score("x")
    wait_for_events(folder, "request", 1)
    writer = get_writer(replica)
    replica.process.kill()
    try:
        wait_until(lambda: is_gone(writer), "the end of the writer")
    finally:
        os.kill(int((replica.folder / "child").read_text()), signal.SIGKILL)


def mount_small(folder: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount file systems")
    (folder / "data").mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder / "data")]
    mounted = subprocess.run(words, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"this machine lets nobody mount: {mounted.stderr}")


def test_a_full_disk_changes_no_answer_and_is_said_once(start_replica: StartReplica, folder: Path) -> None:
    mount_small(folder)
    try:
        replica = start_replica(SCRIPT, *write_settings(folder, "request")).wait_ready()
        for number in range(200):
            assert replica.score(f"{number}" + "x" * 5000).status == 200
        replica.wait_for_log("No space left on device")
        filler = list((folder / "data").rglob("*.jsonl"))
        assert all(json.loads(line) for path in filler for line in path.read_text().splitlines())
        for path in filler:
            path.unlink()

        def is_kept() -> bool:
            # The first one may share a batch with what does not fit.
            replica.score("there is room again")
            return "there is room again" in str(read_events(folder, "request"))

        wait_until(is_kept, "the next event")
        assert replica.log().count("No space left on device") == 1
        replica.terminate()
        assert replica.exit_code() == 0
    finally:
        subprocess.run(["umount", "-l", str(folder / "data")], check=True)


def test_the_writer_runs_from_a_copy_in_an_interpreter_without_mlctl(folder: Path) -> None:
    package = Path(__file__).parents[3] / "mlctl"
    copy = folder / "library" / "mlctl"
    for source in [package / "__init__.py", *(package / "scoring").rglob("*.py")]:
        target = copy / source.relative_to(package)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())
    settings = write_settings(folder, "request")[1]
    sidecar = copy / "scoring" / "collection" / "sidecar.py"
    own, other = socket.socketpair()
    with own, other:
        words = [sys.executable, "-I", "-S", str(sidecar), settings, str(other.fileno()), str(os.getpid())]
        with subprocess.Popen(words, pass_fds=[other.fileno()], env={}) as process:
            other.close()
            exchange = Exchange(1764037680.0, b"r1", "POST", "/score", b"", (), 200, b"", b"hello", None)
            own.sendall(b"".join(pack_exchanges([tuple(exchange)]).parts))
            own.shutdown(socket.SHUT_WR)
            assert process.wait(DEADLINE_S) == 0
    assert [event["data"] for event in read_events(folder, "request")] == ["hello"]
