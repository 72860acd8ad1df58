"""WORKER_COUNT in a deployment's environment_variables: several processes in each replica, one socket each."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.conftest import ECHO, Machine
from tests.load import Load
from tests.waiting import wait_until

NAMES = ("-n", "blue", "-e", "fraud-endpoint")
HOLDING = """
import json, os, pathlib, time

def init(): pass

def run(raw_data):
    body = json.loads(raw_data)
    if "go" in body:
        pathlib.Path(body["began"]).touch()
        while not os.path.exists(body["go"]):
            time.sleep(0.005)
    return os.getpid()
"""
SLOW_START = ECHO.replace("def init():\n    pass", "def init():\n    time.sleep(1)")


def deploy(machine: Machine, workers: int, **document: object) -> None:
    machine.create_endpoint()
    machine.deploy("blue", "--all-traffic", environment_variables={"WORKER_COUNT": workers}, **document)


def ask_pids(machine: Machine, requests: int = 40) -> set[int]:
    """Return who answers; several at a time, so that all are asked."""
    key = machine.key()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: machine.score({"sleep_s": 0.01}, key=key), range(requests)))
    assert [answer.status_code for answer in answers] == [200] * requests
    return {answer.json()["pid"] for answer in answers}


def count_sockets(machine: Machine) -> int:
    return sum(Path(path).exists() for replica in machine.replicas() for path in replica.sockets)


def find_event(machine: Machine, kinds: Iterable[str]) -> list[str]:
    events = machine.ok("deployment", "events", *NAMES).json
    return [event["message"] for event in events if event["kind"] in kinds]


def test_each_replica_has_so_many_workers_and_all_are_asked(machine: Machine) -> None:
    deploy(machine, 2, instances=2)
    assert [len(replica.sockets) for replica in machine.replicas("ready")] == [2, 2]
    assert count_sockets(machine) == 4
    pids = ask_pids(machine)
    assert len(pids) == 4
    assert not pids & {replica.pid for replica in machine.replicas()}  # the masters only look after them


def test_a_request_goes_to_the_worker_that_is_idle(machine: Machine) -> None:
    machine.write_script(HOLDING)
    deploy(machine, 2, concurrency=1)
    key, began, go = machine.key(), machine.work / "began", machine.work / "go"
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(machine.score, {"began": str(began), "go": str(go)}, key=key)
        wait_until(began.exists)
        others = [machine.score({}, key=key) for _ in range(10)]
        go.touch()
    assert [answer.status_code for answer in (held.result(), *others)] == [200] * 11
    assert held.result().json() not in [answer.json() for answer in others]


@pytest.mark.slow
def test_a_killed_worker_is_replaced_while_the_others_serve(machine: Machine) -> None:
    machine.write_script(SLOW_START)
    deploy(machine, 3)
    before = ask_pids(machine)
    key = machine.key()
    with Load(machine.uri, lambda: key, threads=4) as load:
        for victim in sorted(before)[:2]:
            lost = len(load.bad)
            os.kill(victim, signal.SIGKILL)
            wait_until(lambda victim=victim: f"Worker (pid:{victim}) was sent SIGKILL!" in read_log(machine))
            wait_until(lambda victim=victim: len(ask_pids(machine, 24) - {victim}) == 3, what="three workers")
            # What it had in hand is lost with it, one request of each client at most.
            assert len(load.bad) - lost <= 4, load.bad
    assert len(machine.replicas("ready")) == 1
    assert find_event(machine, ["replica.exited", "replica.probe_failed"]) == []
    # Those that had connected at that very moment wait for init() of the replacement; nobody else does.
    assert sum(outcome.ended - outcome.started > 0.9 for outcome in load.outcomes) <= 8


def test_a_killed_master_takes_its_workers_along_and_all_are_replaced(machine: Machine) -> None:
    deploy(machine, 2)
    before = ask_pids(machine)
    [replica] = machine.replicas("ready")
    assert replica.pid is not None
    os.kill(replica.pid, signal.SIGKILL)
    wait_until(lambda: [one.id for one in machine.replicas("ready")] not in ([], [replica.id]), what="a replacement")
    after = ask_pids(machine)
    assert len(after) == 2
    assert not after & before
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in before), what="the old workers' end")


def test_scaling_and_another_number_of_workers_fail_no_request(machine: Machine) -> None:
    deploy(machine, 2)
    key = machine.key()
    with Load(machine.uri, lambda: key, threads=4) as load:
        machine.ok("deployment", "update", *NAMES, "--set", "instance_count=2")
        assert len(ask_pids(machine)) == 4
        machine.ok("deployment", "update", *NAMES, "--set", "environment_variables.WORKER_COUNT=3")
        assert len(ask_pids(machine)) == 6
        machine.ok("deployment", "update", *NAMES, "--set", "instance_count=1", "environment_variables.WORKER_COUNT=1")
        assert len(ask_pids(machine)) == 1
    assert load.bad == []
    wait_until(lambda: len(machine.replicas()) == 1)
    left = {path.name for path in Path(machine.replicas()[0].socket).parent.iterdir() if ".sock." in path.name}
    assert left == set()


def test_a_new_daemon_adopts_the_workers(machine: Machine) -> None:
    deploy(machine, 2)
    before = ask_pids(machine)
    machine.kill("daemon")
    machine.ok("daemon", "start")
    assert ask_pids(machine) == before
    assert "replica" not in machine.ok("doctor").out.partition("leftovers")[2]


def test_each_worker_collects_under_a_name_of_its_own(machine: Machine) -> None:
    deploy(machine, 2, data_collector={"collections": {"request": {"enabled": "true"}}})
    pids = ask_pids(machine, 20)
    assert len(pids) == 2
    wait_until(lambda: len(machine.ok("deployment", "data", *NAMES, "--tail", "100").json) == 20)
    [replica] = machine.replicas("ready")
    folder = machine.home / "modelDataCollector" / "fraud-endpoint" / "blue"
    text = "".join([path.as_posix() + path.read_text() for path in folder.rglob("*.jsonl")])
    assert all(f"{replica.id}-{number}" in text for number in (1, 2))


def test_a_script_that_does_not_start_is_told_of_as_ever(machine: Machine) -> None:
    machine.write_script("def init():\n    raise OSError('no model')\ndef run(data): pass")
    machine.create_endpoint()
    ran = machine.run("deployment", "create", "-f", machine.write_deployment(environment_variables={"WORKER_COUNT": 2}))
    assert ran.code == 7
    assert "OSError: no model" in ran.err


def test_a_deployment_with_workers_can_be_validated(machine: Machine) -> None:
    machine.write_script()
    file = machine.write_deployment(environment_variables={"WORKER_COUNT": 2})
    request = machine.work / "request.json"
    request.write_text(json.dumps({}))
    ran = machine.ok("deployment", "validate", "-f", file, "--request-file", str(request))
    assert ran.json["valid"], ran.out


@pytest.mark.parametrize("value", ["0", "two", "1.5", "1000"])
def test_a_number_that_cannot_be_is_refused_with_its_place(machine: Machine, value: str) -> None:
    machine.write_script()
    machine.create_endpoint()
    file = machine.write_deployment(environment_variables={"WORKER_COUNT": value})
    ran = machine.run("deployment", "create", "-f", file)
    assert ran.code == 1
    assert f'environment_variables.WORKER_COUNT: "{value}" is not a whole number (1 to 64)' in ran.err


def test_more_workers_than_requests_let_in_are_told_of(machine: Machine) -> None:
    machine.create_endpoint()
    machine.write_script()
    file = machine.write_deployment(concurrency=1, environment_variables={"WORKER_COUNT": 2})
    assert (
        "WORKER_COUNT is 2, but request_settings.max_concurrent" in machine.ok("deployment", "create", "-f", file).err
    )


def read_log(machine: Machine) -> str:
    return "".join([path.read_text() for path in (machine.home / "logs").rglob("blue-*.log")])
