"""`job delete`: what a job holds is freed, and nothing else."""

from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from mlctl.batch.launch import find_folder
from tests.acceptance.conftest import Machine
from tests.waiting import wait_until


def create(machine: Machine, text: str, name: str, *flags: str) -> None:
    path = machine.work / f"{name}.yml"
    path.write_text(text)
    machine.ok("job", "create", "-f", str(path), "-n", name, *flags)


def names(machine: Machine) -> list[str]:
    return machine.ok("job", "list", "--include-archived", "--query", "[].name", "-o", "tsv").out.split()


def left(machine: Machine) -> list[str]:
    return sorted(path.name for path in (machine.home / "jobs").iterdir())


@pytest.fixture
def hello(machine: Machine) -> Machine:
    """A machine with a job `hello` that has ended, and wrote to a folder of the user's own."""
    out = machine.work / "out"
    create(
        machine,
        f"command: echo hello > ${{{{outputs.words}}}}/a.txt\noutputs: {{words: {{type: uri_folder, path: {out}}}}}\n",
        "hello",
        "--stream",
    )
    return machine


def test_a_job_is_deleted_with_its_folder_and_what_it_wrote_elsewhere_stays(hello: Machine) -> None:
    assert hello.ok("job", "delete", "-n", "hello", "--yes").out == ""
    assert (names(hello), left(hello)) == ([], [])
    assert (hello.work / "out" / "a.txt").read_text() == "hello\n"
    assert hello.run("job", "show", "hello").code == 3
    assert hello.run("job", "delete", "hello", "--yes").code == 3
    create(hello, "command: echo again\n", "hello", "--stream")
    assert names(hello) == ["hello"]


def test_nothing_is_deleted_unasked(hello: Machine) -> None:
    ran = hello.run("job", "delete", "hello")
    assert (ran.code, "add --yes" in ran.err, names(hello)) == (1, True, ["hello"])


def test_a_job_that_runs_is_not_deleted(machine: Machine) -> None:
    create(machine, "command: sleep 300\n", "long")
    ran = machine.run("job", "delete", "long", "--yes")
    assert (ran.code, "job long has not ended" in ran.err, names(machine)) == (1, True, ["long"])
    machine.ok("job", "cancel", "long")
    machine.ok("job", "delete", "long", "--yes")
    assert (names(machine), left(machine)) == ([], [])


def test_a_job_that_somebody_goes_on_with_in_this_moment_is_not_deleted(hello: Machine) -> None:
    with find_folder(hello.home, "hello").lock.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        ran = hello.run("job", "delete", "hello", "--yes")
    assert (ran.code, "running again" in ran.err, names(hello)) == (1, True, ["hello"])


def test_a_job_whose_folder_is_gone_is_deleted_and_leftovers_of_others_go_too(hello: Machine) -> None:
    find_folder(hello.home, "hello").path.rename(hello.home / "jobs" / ".deleted-other")
    hello.ok("job", "delete", "hello", "--yes")
    assert (names(hello), left(hello)) == ([], [])


def test_a_pipeline_is_deleted_with_its_steps_unless_a_schedule_runs_it_again(machine: Machine) -> None:
    create(machine, "type: pipeline\njobs: {one: {command: echo one}}\n", "steps", "--stream")
    step = machine.run("job", "delete", "steps.one", "--yes")
    assert (step.code, "mlctl job delete -n steps" in step.err) == (1, True)
    schedule = Path(machine.work / "nightly.yml")
    schedule.write_text("name: nightly\ntrigger: {type: cron, expression: 0 2 * * *}\ncreate_job: azureml:steps\n")
    machine.ok("schedule", "create", "-f", str(schedule))
    kept = machine.run("job", "delete", "steps", "--yes")
    assert (kept.code, "schedule nightly runs job steps again" in kept.err) == (1, True)
    machine.ok("schedule", "disable", "-n", "nightly")
    machine.ok("schedule", "delete", "-n", "nightly")
    machine.ok("job", "delete", "steps", "--yes")
    assert machine.run("job", "show", "steps.one").code == 3
    wait_until(lambda: left(machine) == [])
