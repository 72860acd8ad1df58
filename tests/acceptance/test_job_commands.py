"""The commands of jobs beside running them: az's flags, shapes and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import Machine


@pytest.fixture
def job(machine: Machine) -> str:
    """The name of a job that has ended."""
    path = machine.work / "hello.yml"
    path.write_text("command: echo hello\nproperties: {cost: low}\n")
    machine.ok("job", "create", "-f", str(path), "-n", "hello", "--stream")
    return "hello"


def test_what_is_said_about_a_job_can_be_changed(machine: Machine, job: str) -> None:
    changed = machine.ok("job", "update", "-n", job, "--set", "tags.month=november", "display_name=Nightly run").json
    assert (changed["tags"], changed["display_name"]) == ({"month": "november"}, "Nightly run")
    assert changed["properties"]["cost"] == "low"
    assert machine.ok("job", "show", job).json == changed
    removed = machine.ok("job", "update", job, "--remove", "tags.month", "--set", "properties.cost=high").json
    assert (removed["tags"], removed["properties"]["cost"], removed["command"]) == ({}, "high", "echo hello")


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("status=Failed", "status of a job cannot be changed"),
        ("command=ls", "command of a job cannot be changed"),
        ("properties.EndTimeUtc=never", "EndTimeUtc is what the job itself reports"),
        ("tags=7", "tags"),
    ],
)
def test_what_a_job_does_and_reports_cannot_be_changed(machine: Machine, job: str, expression: str, said: str) -> None:
    before = machine.ok("job", "show", job).json
    refused = machine.run("job", "update", "-n", job, "--set", expression)
    assert (refused.code, said in refused.err) == (1, True), refused
    assert machine.ok("job", "show", job).json == before


def test_a_file_is_checked_without_running_it(machine: Machine, tmp_path: Path) -> None:
    path = tmp_path / "train.yml"
    path.write_text("command: echo ${{inputs.x}}\ninputs: {x: 1}\n")
    assert machine.ok("job", "validate", "-f", str(path)).json == {"result": "Succeeded"}
    path.write_text("command: echo hi\ncod: ./src\n")
    wrong = machine.run("job", "validate", "--file", str(path), "--set", "limits.timeout=x")
    assert wrong.code == 1
    found = json.loads(wrong.out)
    assert found["result"] == "Failed"
    assert {"location": f"{path}#line 2", "message": "cod: unknown field"} in found["errors"]
    assert "train.yml:2:1" in wrong.err
    assert machine.ok("job", "list").json == []


def test_services_of_a_job_are_its_folder(machine: Machine, job: str) -> None:
    services = machine.ok("job", "show-services", "-n", job, "--node-index", "0").json
    assert services == machine.ok("job", "show", "-n", job, "--query", "services").json
    refused = machine.run("job", "connect-ssh", "-n", job)
    assert (refused.code, "there is no other node" in refused.err) == (1, True)


def test_lists_are_cut_and_hide_what_is_archived(machine: Machine, job: str) -> None:
    path = str(machine.work / "hello.yml")
    for name in ("second", "third"):
        machine.ok("job", "create", "-f", path, "-n", name, "--stream")
    machine.ok("job", "archive", "-n", "second")
    names = ("--query", "[].name", "-o", "tsv")
    cut = machine.ok("job", "list", "-r", "1", *names)
    assert (cut.out, "1 more are not shown" in cut.err) == ("third\n", True)
    assert machine.ok("job", "list", "--max-results", "1", "--all-results", "true", *names).out == "third\nhello\n"
    assert machine.ok("job", "list", "--all-results", *names).out == "third\nhello\n"
    assert machine.ok("job", "list", "--archived-only", *names).out == "second\n"
    assert machine.ok("job", "list", "--include-archived", *names).out == "third\nsecond\nhello\n"
    assert machine.run("job", "list", "--archived-only", "--include-archived").code == 1
    machine.ok("job", "restore", "second")
    assert machine.ok("job", "list", *names).out == "third\nsecond\nhello\n"


@pytest.mark.parametrize(
    "verb", ["show", "stream", "cancel", "download", "archive", "restore", "update", "show-services"]
)
def test_a_job_that_is_not_there_ends_with_three(machine: Machine, verb: str) -> None:
    missing = machine.run("job", verb, "-n", "nothing")
    assert (missing.code, missing.out, "there is no job nothing" in missing.err) == (3, "", True)
    assert machine.run("job", verb).code == 2
    assert machine.run("job", verb, "-n", "one", "two").code == 2


def test_invoking_what_is_not_there_ends_with_one(machine: Machine) -> None:
    machine.ok("batch", "create", "-n", "fraud-batch")
    for words, said in (
        (("-n", "nothing"), "there is no batch endpoint nothing"),
        (("-n", "fraud-batch"), "No valid deployments to route to"),
        (("-n", "fraud-batch", "-d", "nothing"), "there is no batch deployment nothing"),
        (("--from-deployment", "fraud-endpoint/blue"), "there is no endpoint fraud-endpoint"),
    ):
        ran = machine.run("batch-endpoint", "invoke", *words, "--input", str(machine.work))
        assert (ran.code, ran.out, said in ran.err) == (1, "", True), ran
    assert machine.run("batch-endpoint", "list-jobs", "-n", "nothing").code == 3
    assert machine.ok("batch-endpoint", "list-jobs", "-n", "fraud-batch").json == []


def test_a_list_of_jobs_in_azs_formats(machine: Machine, job: str) -> None:
    assert machine.ok("job", "show", "--name", job, "--web", "--query", "name", "-o", "tsv").out == "hello\n"
    table = machine.ok("job", "list", "-o", "table").out.splitlines()
    assert table[0].split()[:3] == ["Name", "Display_name", "Status"]
    assert table[2].split()[:3] == ["hello", "hello", "Completed"]
