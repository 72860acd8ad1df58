"""Jobs that are canceled, whatever state they are in: they end, say so, and can be gone on with."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest

from mlctl.batch.launch import find_folder
from mlctl.runtimes.processes import find_labelled
from tests.acceptance.conftest import Machine
from tests.waiting import wait_until

# Waits where it is told to, until there is a file named `go`.
WAITING = """
import os, pathlib, time

HERE = pathlib.Path(os.environ["FOLDER"])

def wait(where):
    (HERE / f"in-{where}").touch()
    while os.environ["WAIT_IN"] == where and not (HERE / "go").exists():
        time.sleep(0.01)

def init():
    wait("init")

def run(paths):
    wait("run")
    return [os.path.basename(path) for path in paths]

def shutdown():
    wait("shutdown")
"""


@pytest.fixture
def batch(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.chdir(machine.work)
    machine.write_script(WAITING)
    (machine.work / "tx").mkdir()
    for name in ("a", "b", "c"):
        (machine.work / "tx" / name).touch()
    machine.ok("batch", "create", "-n", "fraud-batch")
    return machine


def start(machine: Machine, where: str) -> str:
    """Start a job that waits somewhere, and return its name when it does."""
    document = {
        "name": "classic",
        "endpoint_name": "fraud-batch",
        "code_configuration": {"code": "./src", "scoring_script": "score.py"},
        "environment_variables": {"FOLDER": str(machine.work), "WAIT_IN": where},
        "mini_batch_size": 1,
    }
    (machine.work / "classic.yml").write_text(json.dumps(document))
    machine.ok("batch-deployment", "create", "-f", "classic.yml", "--set-default")
    name = machine.ok("batch", "invoke", "-n", "fraud-batch", "--input", "tx").json["name"]
    wait_until((machine.work / f"in-{where}").exists, 60, f"the job to be in {where}")
    return name


def status(machine: Machine, name: str) -> str:
    return machine.ok("job", "show", name, "--query", "status", "-o", "tsv").out.strip()


def output(machine: Machine, name: str) -> Path:
    return machine.home / "jobs" / name / "score" / "predictions.csv"


@pytest.mark.parametrize("where", ["init", "run"])
def test_a_waiting_job_is_canceled_and_goes_on(batch: Machine, where: str) -> None:
    name = start(batch, where)
    canceled = batch.ok("job", "cancel", "-n", name)
    assert (canceled.out, status(batch, name)) == ("", "Canceled")
    assert not find_labelled("mlctl.scoring.batch", "--job", name)
    assert not output(batch, name).exists()
    followed = batch.run("job", "stream", "-n", name)
    assert (followed.code, f"mlctl batch resume -n {name}" in followed.err) == (1, True)
    (batch.work / "go").touch()
    batch.ok("batch", "resume", name, "--stream")
    assert output(batch, name).read_text().split() == ["a", "b", "c"]


def test_a_job_that_is_done_but_for_shutdown_is_canceled_or_completed_whole(batch: Machine) -> None:
    name = start(batch, "shutdown")
    batch.ok("job", "cancel", "-n", name)
    found = status(batch, name)
    assert found in ("Canceled", "Completed")
    assert output(batch, name).exists() == (found == "Completed")


def test_a_job_whose_coordinator_was_killed_is_told_and_canceled(batch: Machine) -> None:
    name = start(batch, "run")
    os.kill(int(find_folder(batch.home, name).lock.read_text().split()[0]), signal.SIGKILL)
    wait_until(lambda: status(batch, name) == "NotResponding", 60)
    wait_until(lambda: not find_labelled("mlctl.scoring.batch", "--job", name), 60, "its workers to end")
    followed = batch.run("job", "stream", "-n", name)
    assert (followed.code, f"mlctl batch resume -n {name}" in followed.err) == (1, True)
    assert "is NotResponding: its coordinator is gone" in followed.err
    batch.ok("job", "cancel", "-n", name)
    assert status(batch, name) == "Canceled"


def test_what_has_ended_cannot_be_canceled(batch: Machine) -> None:
    name = start(batch, "init")
    (batch.work / "go").touch()
    batch.ok("job", "stream", "-n", name)
    late = batch.run("job", "cancel", "-n", name)
    assert (late.code, "has ended: it is Completed" in late.err) == (1, True)
    assert status(batch, name) == "Completed"
