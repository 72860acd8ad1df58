"""Scripts that take their replica with them, through gateway and daemon: what a client sees, and how it is mended."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.conftest import Machine, boot
from tests.waiting import wait_until

SCRIPT = """
import ctypes, json, os, sys, threading

def init(): pass

def run(raw_data):
    what = json.loads(raw_data).get("do")
    if what == "exit":
        os._exit(9)
    if what == "crash":
        ctypes.string_at(8)
    if what == "hang":
        threading.Event().wait()
    if what == "sys.exit":
        sys.exit(3)
    return {"pid": os.getpid()}
"""
PROBE = {"initial_delay": 1, "period": 1, "timeout": 1, "failure_threshold": 2, "success_threshold": 1}
NAMES = ("-n", "blue", "-e", "fraud-endpoint")


@pytest.fixture(scope="module")
def bad() -> Iterator[Machine]:
    with boot() as machine:
        machine.create_endpoint()
        machine.write_script(SCRIPT)
        machine.deploy("blue", "--all-traffic", liveness_probe=PROBE, readiness_probe=PROBE)
        yield machine


@pytest.mark.parametrize("how", ["exit", "crash"])
def test_script_that_ends_its_process_is_502_and_its_replica_is_replaced(bad: Machine, how: str) -> None:
    before = bad.score({}).json()["pid"]
    answer = bad.score({"do": how})
    assert answer.status_code in (502, 503), answer.text
    assert answer.json()["error"]["message"]
    wait_until(lambda: bad.score({}).status_code == 200, what="a new replica")
    assert bad.score({}).json()["pid"] != before


def test_the_log_of_a_replica_that_crashed_is_kept_and_tells_where(bad: Machine) -> None:
    bad.score({"do": "crash"})
    wait_until(lambda: bad.score({}).status_code == 200, what="a new replica")
    logs = [path.read_text(errors="replace") for path in (bad.home / "logs").rglob("*.log")]
    assert any("Fatal Python error: Segmentation fault" in log and "in run" in log for log in logs)
    events = bad.ok("deployment", "events", *NAMES).out
    assert "signal 11" in events or "SIGSEGV" in events, events


def test_sys_exit_in_run_fails_one_request_and_keeps_the_replica(bad: Machine) -> None:
    before = bad.score({}).json()["pid"]
    assert bad.score({"do": "sys.exit"}).status_code == 424
    assert bad.score({}).json()["pid"] == before
