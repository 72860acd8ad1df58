"""Replicas of several workers, each with a socket of its own, are measured as a whole."""

from __future__ import annotations

from tests.acceptance.conftest import Machine


def test_a_profile_adds_up_what_all_workers_did(machine: Machine) -> None:
    machine.create_endpoint()
    machine.deploy("blue", "--all-traffic", environment_variables={"WORKER_COUNT": "2"})
    (row,) = machine.replicas("ready")
    assert len(row.sockets) == 2
    pids = {machine.score().json()["pid"] for _ in range(12)}
    assert len(pids) == 2
    found = machine.ok("deployment", "profile", "-n", "blue", "-e", "fraud-endpoint").json
    assert (found["replicas"], found["silent_replicas"], found["requests"]) == (1, 0, 12)
