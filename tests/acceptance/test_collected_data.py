"""`mlctl deployment data`: what a deployment's data collector has kept, and where it stays."""

from __future__ import annotations

import json
import shlex
import shutil
from typing import Any

from tests.acceptance.conftest import Machine
from tests.waiting import wait_until

NAMES = ("-n", "blue", "-e", "fraud-endpoint")
COLLECTOR = {"collections": {"request": {"enabled": "true"}, "response": {"enabled": "true"}}}
COLLECTING_SCRIPT = """
from azureml.ai.monitoring import Collector

def init():
    global inputs
    inputs = Collector(name="model_inputs")

def run(raw_data):
    return {"data": raw_data}
"""


def read_data(machine: Machine, *more: str) -> list[dict[str, Any]]:
    return machine.ok("deployment", "data", *NAMES, *more).json


def test_data_is_shown_kept_after_deletion_and_told_of_by_doctor(machine: Machine) -> None:
    machine.create_endpoint()
    machine.deploy(
        "blue",
        "--all-traffic",
        data_collector={**COLLECTOR, "request_logging": {"capture_headers": ["authorization", "x-tenant"]}},
    )
    ran = machine.ok("deployment", "data", *NAMES)
    assert ran.json == []
    assert "nothing has been collected yet of request, response" in ran.err
    assert machine.score({"raise": True}, **{"x-tenant": "t"}).status_code == 424
    for number in range(3):
        assert machine.score({"number": number}).status_code == 200

    wait_until(lambda: len(read_data(machine, "--collection", "response")) == 4)
    requests = read_data(machine, "--collection", "request", "--tail", "2")
    assert [event["data"] for event in requests] == [{"number": 1}, {"number": 2}]
    assert [event["statuscode"] for event in read_data(machine, "--collection", "response")] == [424, 200, 200, 200]
    first = read_data(machine)[0]
    assert (first["type"], first["headers"]) == ("azureml.inference.request", {"x-tenant": "t"})
    assert machine.key() not in json.dumps(read_data(machine))
    folder = machine.home / "modelDataCollector" / "fraud-endpoint" / "blue"
    assert not [path for path in folder.rglob("*") if path.stat().st_mode & 0o077]

    ran = machine.run("deployment", "data", *NAMES, "--collection", "nope")
    assert (ran.code, "it has: request, response" in ran.err) == (1, True)
    machine.ok("endpoint", "update", "-n", "fraud-endpoint", "--traffic", "blue=0")
    assert f"the data that blue collected stays in {folder}" in machine.ok("deployment", "delete", *NAMES, "--yes").err
    assert len(read_data(machine)) == 8
    assert str(machine.home / "modelDataCollector") in machine.ok("doctor").out
    shutil.rmtree(folder)
    ran = machine.run("deployment", "data", *NAMES)
    assert (ran.code, "there is no deployment blue at fraud-endpoint, and no data" in ran.err) == (1, True)


def test_without_a_collector_it_is_told_how_to_turn_it_on(machine: Machine) -> None:
    machine.create_endpoint()
    machine.deploy("blue", "--all-traffic")
    for name, more in (("request", ()), ("response", ("--collection", "response"))):
        ran = machine.ok("deployment", "data", *NAMES, *more)
        assert ran.json == []
        machine.ok(*shlex.split(ran.err.splitlines()[-1])[1:])
        machine.score({"number": 7})
        wait_until(lambda name=name: len(read_data(machine, "--collection", name)) > 0)
    machine.ok("deployment", "update", *NAMES, "--set", "data_collector.collections.request.enabled=false")
    shutil.rmtree(machine.home / "modelDataCollector" / "fraud-endpoint" / "blue" / "request")
    ran = machine.ok("deployment", "data", *NAMES, "--collection", "request")
    assert "data_collector.collections.request.enabled=true" in ran.err
    machine.ok(*shlex.split(ran.err.splitlines()[-1])[1:])


def test_a_trial_lets_scripts_collect_and_keeps_nothing_of_it(machine: Machine) -> None:
    machine.create_endpoint()
    machine.write_script(COLLECTING_SCRIPT)
    collector = {"collections": {"model_inputs": {"enabled": "true"}, "request": {"enabled": "true"}}}
    file = machine.write_deployment("blue", data_collector=collector)
    body = machine.work / "request.json"
    body.write_text("{}")
    machine.ok("deployment", "validate", "-f", file, "--request-file", str(body))
    assert not (machine.home / "modelDataCollector").exists()
    assert not list((machine.home / "mounts").rglob("*.jsonl"))
