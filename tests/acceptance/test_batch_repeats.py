"""Invocations that are made again: by name, by request, one after the other and at once; a job is made once."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlctl.errors import Conflict
from mlctl.ops import batch_jobs
from mlctl.ops.batch_jobs import Job
from mlctl.ops.batch_orders import Invocation
from mlctl.ops.session import Session
from mlctl.registry import jobs
from mlctl.registry.store import Store
from mlctl.settings import load_settings
from tests.acceptance.conftest import Machine

NAMES = "import os\ndef run(paths):\n    return [os.path.basename(path) for path in paths]\n"


@pytest.fixture
def batch(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    monkeypatch.chdir(machine.work)
    machine.write_script(NAMES)
    (machine.work / "tx").mkdir()
    for name in ("a", "b", "c"):
        (machine.work / "tx" / name).touch()
    document = {
        "name": "classic",
        "endpoint_name": "fraud-batch",
        "code_configuration": {"code": "./src", "scoring_script": "score.py"},
    }
    (machine.work / "classic.yml").write_text(json.dumps(document))
    machine.ok("batch", "create", "-n", "fraud-batch")
    machine.ok("batch-deployment", "create", "-f", "classic.yml", "--set-default")
    return machine


def in_session(machine: Machine, act: Callable[[Session], Job]) -> Job:
    environ = {**os.environ, "MLCTL_HOME": str(machine.home)}
    session = Session(load_settings(environ), environ=environ)
    try:
        return act(session)
    finally:
        session.close()


def invoke(machine: Machine, **given: str) -> Job:
    invocation = Invocation(endpoint="fraud-batch", data=str(machine.work / "tx"), **given)  # pyright: ignore[reportArgumentType]
    return in_session(machine, lambda session: batch_jobs.invoke(session, invocation))


def finish(machine: Machine, name: str) -> Job:
    return in_session(machine, lambda session: batch_jobs.wait(session, name))


def test_a_name_finds_its_job_when_that_has_written_its_output(batch: Machine, tmp_path: Path) -> None:
    for number, words in enumerate(((), ("--output-path", str(tmp_path / "scores")))):
        line = ("batch", "invoke", "-n", "fraud-batch", "--input", "tx", "--job-name", f"november-{number}", *words)
        first = batch.ok(*line, "--stream").json
        assert batch.ok(*line).json == first == batch.ok(*line, "--stream").json
    assert len(batch.ok("job", "list").json) == 2


def test_a_name_of_another_kind_of_job_is_taken(batch: Machine) -> None:
    (batch.work / "hello.yml").write_text("command: echo hello\n")
    batch.ok("job", "create", "-f", "hello.yml", "-n", "hello", "--stream")
    refused = batch.run("batch", "invoke", "-n", "fraud-batch", "--input", "tx", "--job-name", "hello")
    assert (refused.code, "there is a job hello already" in refused.err) == (1, True)


def test_commands_at_once_make_one_job(batch: Machine) -> None:
    with ThreadPoolExecutor(6) as pool:
        made = list(pool.map(lambda _: invoke(batch, job_name="november").row.name, range(6)))
    assert set(made) == {"november"}
    assert finish(batch, "november").status == "Completed"
    output = batch.home / "jobs" / "november" / "score" / "predictions.csv"
    assert output.read_text().splitlines() == ["a", "b", "c"]


def test_a_request_makes_one_job_however_often_it_comes(batch: Machine) -> None:
    with ThreadPoolExecutor(6) as pool:
        names = set(pool.map(lambda _: invoke(batch, request_id="r-1").row.name, range(6)))
    assert len(names) == 1
    assert invoke(batch, request_id="r-1").row.name in names
    other = invoke(batch, request_id="r-2").row.name
    assert other not in names
    for name in (*names, other):
        assert finish(batch, name).status == "Completed"


def test_a_job_whose_maker_was_killed_is_started_by_the_next_one(batch: Machine) -> None:
    with Store(batch.home / "registry.db") as store:
        jobs.insert(store, name="november", kind="batch", workspace="local", spec={})
        store.execute("UPDATE jobs SET created_at = created_at - 60")
    assert in_session(batch, lambda session: batch_jobs.look(session, "november")).status == "NotResponding"
    invoke(batch, job_name="november")
    assert finish(batch, "november").status == "Completed"


def test_a_job_that_is_about_to_start_has_not_ended(batch: Machine) -> None:
    with Store(batch.home / "registry.db") as store:
        jobs.insert(store, name="november", kind="batch", workspace="local", spec={})
    found = in_session(batch, lambda session: batch_jobs.look(session, "november"))
    assert (found.status, found.has_ended) == ("NotStarted", False)


def test_a_name_for_something_else_is_refused_while_it_runs_and_after(batch: Machine) -> None:
    invoke(batch, job_name="november")
    with pytest.raises(Conflict, match="it does something else"):
        invoke(batch, job_name="november", output_format="jsonl")
    finish(batch, "november")
    with pytest.raises(Conflict, match="it does something else"):
        invoke(batch, job_name="november", output_format="jsonl")


def test_what_is_said_while_following_goes_to_stderr_and_can_be_silenced(batch: Machine) -> None:
    line = ("batch", "invoke", "-n", "fraud-batch", "--input", "tx", "--stream", "--query", "status", "-o", "tsv")
    told = batch.ok(*line)
    assert told.out == "Completed\n"
    assert ": Completed\nCompleted in " in told.err
    assert "3 files in · 3 scored · 0 failed" in told.err
    silent = batch.ok(*line, "--only-show-errors")
    assert (silent.out, silent.err) == ("Completed\n", "")
    batch.write_script("def run(paths):\n    raise ValueError('no')\n")
    batch.ok("batch-deployment", "create", "-f", "classic.yml")
    failed = batch.run(*line)
    assert (failed.code, failed.out) == (1, "Failed\n")
    assert failed.err.count("No succeeded mini batch item") == 1
