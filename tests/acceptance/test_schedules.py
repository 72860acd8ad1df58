"""Schedules: the commands, and what a real daemon starts at which times."""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlctl.errors import NotFound
from mlctl.ops import schedule_runs, scheduled_jobs
from mlctl.ops.session import Session
from mlctl.registry import jobs, schedules
from mlctl.registry.schedules import ScheduleRow
from mlctl.service.clock import Clock
from mlctl.settings import Settings
from tests.acceptance.conftest import Machine
from tests.waiting import wait_until

JOB: dict[str, Any] = {
    "type": "command",
    "command": "echo ${{inputs.word}} > ${{outputs.out}}/word.txt",
    "inputs": {"word": "none"},
    "outputs": {"out": {"type": "uri_folder"}},
}
NIGHTLY = {"type": "cron", "expression": "0 2 * * *", "time_zone": "W. Europe Standard Time"}
NAME = ("-n", "nightly")
DEADLINE_S = 60


def write(machine: Machine, trigger: Any = NIGHTLY, **more: Any) -> str:
    (machine.work / "train.yml").write_text(json.dumps(JOB))
    document = {"name": "nightly", "trigger": trigger, "create_job": "./train.yml", **more}
    path = machine.work / "nightly.yml"
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))
    return str(path)


def create(machine: Machine, trigger: Any = NIGHTLY, **more: Any) -> dict[str, Any]:
    return machine.ok("schedule", "create", "-f", write(machine, trigger, **more)).json


def soon(delay_s: float = 4, **more: Any) -> dict[str, Any]:
    """Return a trigger whose first time is a moment ahead."""
    start = datetime.fromtimestamp(int(time.time() + delay_s), UTC).strftime("%Y-%m-%dT%H:%M:%S+00:00")
    return {"type": "recurrence", "frequency": "hour", "interval": 1, "start_time": start, **more}


def create_soon(machine: Machine, **more: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Create a schedule before its first time, however long that takes; return the trigger and the schedule."""
    while True:
        trigger = soon()
        made = create(machine, trigger, **more)
        if made["creation_context"]["last_modified_at"] < trigger["start_time"]:
            return trigger, made


def show(machine: Machine) -> dict[str, Any]:
    return machine.ok("schedule", "show", *NAME).json


def list_jobs(machine: Machine) -> list[dict[str, Any]]:
    return machine.ok("job", "list").json


def wait_for_run(machine: Machine) -> dict[str, Any]:
    wait_until(lambda: show(machine)["properties"].get("mlctl.last_state", "starting") != "starting", DEADLINE_S)
    return show(machine)["properties"]


def write_batch_deployment(machine: Machine) -> str:
    document = {
        "name": "classic",
        "endpoint_name": "fraud-batch",
        "code_configuration": {"code": "./src", "scoring_script": "score.py"},
        "environment": {"image": "python:3.11"},
    }
    path = machine.work / "classic.yml"
    path.write_text(json.dumps(document))
    return str(path)


def test_a_schedule_starts_its_job_at_its_time(machine: Machine):
    job = {"type": "command", "job": "./train.yml", "inputs": {"word": "${{creation_context.trigger_time}}"}}
    trigger, made = create_soon(machine, create_job=job)
    assert made["trigger"] == trigger | {"time_zone": "UTC"}
    assert "mlctl.next_run" in made["properties"]
    properties = wait_for_run(machine)
    assert properties["mlctl.last_run"].startswith(trigger["start_time"][:19])
    name = properties["mlctl.last_job"]
    wait_until(lambda: machine.ok("job", "show", name).json["status"] == "Completed", DEADLINE_S)
    written = (machine.home / "jobs" / name / "outputs" / "out" / "word.txt").read_text()
    assert written.strip() == trigger["start_time"].replace("+00:00", "Z")
    assert [found["name"] for found in list_jobs(machine)] == [name]


def test_a_schedule_invokes_a_batch_endpoint(machine: Machine):
    machine.write_script("def init(): pass\ndef run(paths): return [open(path).read() for path in paths]")
    (machine.work / "tx").mkdir()
    (machine.work / "tx" / "a.txt").write_text("scored")
    machine.ok("batch", "create", "-n", "fraud-batch")
    machine.ok("batch-deployment", "create", "-f", write_batch_deployment(machine), "--set-default")
    given = {
        "endpoint": "fraud-batch",
        "inputs": {"data": {"path": "./tx"}},
        "outputs": {"score": {"path": "./scores/${{name}}"}},
        "settings": {"output_file_name": "rows.csv"},
    }
    create_soon(machine, create_job=given)
    name = wait_for_run(machine)["mlctl.last_job"]
    wait_until(lambda: machine.ok("job", "show", name).json["status"] == "Completed", DEADLINE_S)
    assert (machine.work / "scores" / name / "rows.csv").read_text() == "scored\n"
    assert [found["name"] for found in machine.ok("batch", "list-jobs", "-n", "fraud-batch").json] == [name]


PIPELINE: dict[str, Any] = {
    "type": "pipeline",
    "inputs": {"word": "none"},
    "outputs": {"text": {"type": "uri_folder"}},
    "jobs": {
        "write": {
            "type": "command",
            "command": "echo ${{inputs.word}} > ${{outputs.out}}/word.txt",
            "inputs": {"word": "${{parent.inputs.word}}"},
            "outputs": {"out": "${{parent.outputs.text}}"},
        }
    },
}


def test_a_schedule_starts_a_pipeline(machine: Machine):
    (machine.work / "pipeline.yml").write_text(json.dumps(PIPELINE))
    given = {
        "type": "pipeline",
        "job": "./pipeline.yml",
        "inputs": {"word": "nightly"},
        "outputs": {"text": {"path": "./texts/${{name}}"}},
    }
    create(machine, create_job=given)
    name = machine.ok("schedule", "trigger", *NAME).json["job_name"]
    wait_until(lambda: machine.ok("job", "show", name).json["status"] == "Completed", DEADLINE_S)
    assert (machine.work / "texts" / name / "word.txt").read_text() == "nightly\n"


def test_a_schedule_starts_a_pipeline_that_has_run_again(machine: Machine):
    (machine.work / "pipeline.yml").write_text(json.dumps(PIPELINE))
    machine.ok("job", "create", "-f", str(machine.work / "pipeline.yml"), "-n", "first", "--stream")
    create(machine, create_job={"type": "pipeline", "job": "azureml:first", "inputs": {"word": "again"}})
    name = machine.ok("schedule", "trigger", *NAME).json["job_name"]
    wait_until(lambda: machine.ok("job", "show", name).json["status"] == "Completed", DEADLINE_S)
    written = machine.ok("job", "show", name).json["outputs"]["text"]["path"]
    assert (Path(written) / "word.txt").read_text() == "again\n"
    machine.ok("job", "create", "-f", str(machine.work / "train.yml"), "-n", "plain", "--stream")
    refused = machine.run("schedule", "create", "-f", write(machine, create_job="azureml:plain"))
    assert (refused.code, "only pipeline jobs are run again" in refused.err) == (1, True)


def test_a_schedule_invokes_a_pipeline_deployment(machine: Machine):
    (machine.work / "pipeline.yml").write_text(json.dumps({**PIPELINE, "inputs": {"word": {"type": "string"}}}))
    document = {"name": "dpl", "endpoint_name": "pipes", "type": "pipeline", "component": "./pipeline.yml"}
    (machine.work / "dpl.yml").write_text(json.dumps(document))
    machine.ok("batch", "create", "-n", "pipes")
    machine.ok("batch-deployment", "create", "-f", str(machine.work / "dpl.yml"), "--set-default")
    create(machine, create_job={"endpoint": "pipes", "inputs": {"word": "${{name}}"}})
    name = machine.ok("schedule", "trigger", *NAME).json["job_name"]
    wait_until(lambda: machine.ok("job", "show", name).json["status"] == "Completed", DEADLINE_S)
    machine.ok("batch", "delete", "-n", "pipes", "--yes")
    gone = machine.run("schedule", "trigger", *NAME)
    assert (gone.code, "no batch endpoint pipes" in gone.err) == (3, True)
    assert show(machine)["properties"]["mlctl.last_state"] == "failed"


def test_the_commands_do_what_azs_do(machine: Machine):
    made = create(machine, tags={"team": "risk"})
    keys = {"id", "name", "tags", "trigger", "create_job", "is_enabled", "provisioning_state", "creation_context"}
    assert keys <= set(made)
    assert made == show(machine) == machine.ok("schedule", "list").json[0]
    assert (made["is_enabled"], made["provisioning_state"]) == (True, "Succeeded")
    assert made["id"].endswith("/schedules/nightly")
    refused = machine.run("schedule", "delete", *NAME)
    assert (refused.code, "mlctl schedule disable -n nightly" in refused.err) == (1, True)
    assert machine.ok("schedule", "disable", *NAME).json["is_enabled"] is False
    assert machine.ok("schedule", "list").json == []
    assert len(machine.ok("schedule", "list", "--include-disabled").json) == 1
    assert len(machine.ok("schedule", "list", "--disabled-only").json) == 1
    assert "mlctl.next_run" not in show(machine)["properties"]
    changed = machine.ok("schedule", "update", *NAME, "--set", "trigger.expression=30 4 * * 1", "tags.team=ops").json
    assert (changed["trigger"]["expression"], changed["tags"], changed["is_enabled"]) == (
        "30 4 * * 1",
        {"team": "ops"},
        False,
    )
    assert machine.ok("schedule", "enable", "-n", "NIGHTLY", "--no-wait").out == ""
    assert show(machine)["is_enabled"] is True
    machine.ok("schedule", "disable", *NAME)
    assert machine.ok("schedule", "delete", *NAME).out == ""
    assert machine.run("schedule", "show", *NAME).code == 3
    assert machine.ok("schedule", "delete", *NAME).out == ""


def test_a_schedule_can_be_started_by_hand_even_when_it_is_disabled(machine: Machine):
    create(machine)
    machine.ok("schedule", "disable", *NAME)
    found = machine.ok("schedule", "trigger", *NAME).json
    assert found["schedule_action_type"] == "CreateJob"
    again = machine.ok("schedule", "trigger", *NAME, "--query", "job_name", "-o", "tsv").out.strip()
    assert {job["name"] for job in list_jobs(machine)} == {found["job_name"], again}


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        ({"trigger": {"type": "cron", "expression": "0 2 * *"}}, 1, "has 4 fields"),
        ({"trigger": {**NIGHTLY, "time_zone": "Europe/Berlinn"}}, 1, 'no time zone "Europe/Berlinn"'),
        ({"create_job": "./nowhere.yml"}, 3, "create_job: there is no file"),
        ({"create_job": {"job": "./nowhere.yml"}}, 3, "create_job.job: there is no file"),
        ({"create_job": {"endpoint": "nothing"}}, 3, "create_job.endpoint: there is no batch endpoint nothing"),
        ({"create_job": "azureml:some-job"}, 3, "create_job: there is no job some-job"),
        ({"create_job": {"type": "pipeline", "job": "./train.yml"}}, 1, "is a command job, not a pipeline job"),
        ({"properties": {"mlctl.missed_run": "skip"}}, 1, "did you mean mlctl.missed_runs?"),
        ({"properties": {"mlctl.overlapping_runs": "maybe"}}, 1, "is not skip or allow"),
        (
            {
                "trigger": {
                    "type": "recurrence",
                    "frequency": "hour",
                    "interval": 1,
                    "schedule": {"hours": 1, "minutes": 2},
                }
            },
            1,
            "no hours and minutes of its own",
        ),
    ],
)
def test_what_could_not_run_is_refused(machine: Machine, change: dict[str, Any], code: int, reason: str):
    ran = machine.run("schedule", "create", "-f", write(machine, **{"trigger": NIGHTLY, **change}))
    assert (ran.code, reason in ran.err) == (code, True), ran
    # What is not there is shown where the file names it.
    assert ("nightly.yml:1:" in ran.err) >= (code == 3)
    assert machine.ok("schedule", "list", "--include-disabled").json == []
    assert machine.processes() == []


def test_what_never_runs_or_runs_otherwise_in_azure_is_told(machine: Machine):
    past = {**NIGHTLY, "end_time": "2020-01-01T00:00:00"}
    ran = machine.ok("schedule", "create", "-f", write(machine, past))
    assert "nightly never runs" in ran.err
    ran = machine.ok("schedule", "create", "-f", write(machine, {**NIGHTLY, "expression": "0 2 1 * *"}))
    assert "Azure ignores days and months" in ran.err


def test_a_schedule_runs_after_the_daemon_and_its_service_were_killed(machine: Machine):
    create_soon(machine)
    wait_until(lambda: machine.processes() and _has_service(machine), DEADLINE_S)
    machine.kill("daemon")
    os.kill(machine.pid("jobs"), signal.SIGKILL)
    ran = machine.run("schedule", "show", *NAME)
    assert "no schedule runs" in ran.err
    machine.ok("daemon", "start")
    wait_for_run(machine)
    assert len(list_jobs(machine)) == 1


def _has_service(machine: Machine) -> bool:
    with OpenSession(machine) as session:
        return session.store.row("SELECT 1 FROM processes WHERE name = 'jobs'") is not None


def test_what_was_missed_while_the_daemon_was_stopped_is_caught_up_on_once(machine: Machine):
    create(machine, {"type": "cron", "expression": "0 * * * *"})
    machine.ok("daemon", "stop")
    (finding,) = [row for row in machine.run("doctor").json if row["name"] == "schedules"]
    assert (finding["level"], finding["remedy"]) == ("warning", "mlctl daemon start")
    with OpenSession(machine) as session:
        # As if it had been stopped for some hours.
        session.store.execute("UPDATE schedules SET decided_until = ?", (time.time() - 5 * 3600 - 120,))
    machine.ok("daemon", "start")
    properties = wait_for_run(machine)
    assert "mlctl.last_message" in properties or time.time() % 3600 < 120
    machine.ok("daemon", "restart")
    with OpenSession(machine) as session:
        wait_until(lambda: _events(session, "schedule.missed"), DEADLINE_S)
    assert len(list_jobs(machine)) == 1


class OpenSession:
    """A session of this test's own, as the service would have one."""

    def __init__(self, machine: Machine) -> None:
        self._session = Session(settings=Settings(home=machine.home), environ=dict(os.environ))

    def __enter__(self) -> Session:
        return self._session

    def __exit__(self, *_: object) -> None:
        self._session.close()


def _events(session: Session, kind: str) -> list[str]:
    return [row["message"] for row in session.store.rows("SELECT message FROM events WHERE kind = ?", (kind,))]


# The steps of a run, one by one, with a clock of the test's own and no daemon.


@pytest.fixture
def hourly(machine: Machine) -> tuple[Machine, float]:
    """A schedule for every full hour, and the next one."""
    machine.ok("schedule", "create", "-f", write(machine, {"type": "cron", "expression": "0 * * * *"}), "--no-wait")
    machine.ok("daemon", "stop")
    return machine, (time.time() // 3600 + 1) * 3600


def look(machine: Machine, now: float) -> None:
    with OpenSession(machine) as session:
        schedule_runs.run_due(session, _row(session), now=now)


def _row(session: Session) -> ScheduleRow:
    return schedules.get_schedule(session.store, "local", "nightly")


def states(machine: Machine) -> list[tuple[float, str]]:
    with OpenSession(machine) as session:
        runs = schedules.list_runs(session.store, "local", "nightly", limit=99)
        return sorted((run.due_at, run.state) for run in runs)


def end_jobs(machine: Machine) -> None:
    wait_until(lambda: all(job["status"] == "Completed" for job in list_jobs(machine)), DEADLINE_S)


def test_each_hour_is_one_job(hourly: tuple[Machine, float]):
    machine, first = hourly
    for moment in (first - 1, first, first + 0.5, first + 59, first + 3600, first + 3601):
        look(machine, moment)
        end_jobs(machine)
    assert states(machine) == [(first, "started"), (first + 3600, "started")]
    assert len(list_jobs(machine)) == 2


def test_what_fails_to_start_is_shown_and_the_schedule_goes_on(hourly: tuple[Machine, float]):
    machine, first = hourly
    (machine.work / "train.yml").unlink()
    look(machine, first)
    properties = show(machine)["properties"]
    assert properties["mlctl.last_state"] == "failed"
    assert "there is no file" in properties["mlctl.last_message"]
    (finding,) = [row for row in machine.run("doctor").json if row["name"] == "schedule"]
    assert "nightly could not start its last job" in finding["text"]
    (machine.work / "train.yml").write_text(json.dumps(JOB))
    look(machine, first + 3600)
    assert states(machine) == [(first, "failed"), (first + 3600, "started")]


def test_a_disabled_schedule_does_not_run(hourly: tuple[Machine, float]):
    machine, first = hourly
    machine.ok("schedule", "disable", *NAME)
    other = machine.work / "other.yml"
    other.write_text(
        json.dumps({"name": "other", "trigger": {**NIGHTLY, "expression": "0 * * * *"}, "create_job": "./train.yml"})
    )
    machine.ok("schedule", "create", "-f", str(other), "--no-wait")
    machine.ok("daemon", "stop")
    clock = Clock(Settings(home=machine.home), dict(os.environ), now=lambda: first)
    clock.start()
    try:
        # Both would be due.
        wait_until(lambda: list_jobs(machine), DEADLINE_S)
    finally:
        clock.stop()
    assert [job["name"].startswith("other-") for job in list_jobs(machine)] == [True]
    assert "mlctl.last_run" not in show(machine)["properties"]


def test_a_clock_that_is_set_back_runs_nothing_twice(hourly: tuple[Machine, float]):
    machine, first = hourly
    for moment in (first, first - 7200, first - 5, first, first + 1, first + 3600):
        look(machine, moment)
        end_jobs(machine)
    assert [found for found in states(machine) if found[0] >= first] == [(first, "started"), (first + 3600, "started")]


def test_a_clock_that_was_far_ahead_does_not_stop_it(hourly: tuple[Machine, float]):
    machine, first = hourly
    look(machine, first + 365 * 86_400)
    end_jobs(machine)
    before = len(list_jobs(machine))
    look(machine, first)
    look(machine, first + 1)
    look(machine, first + 3600)
    end_jobs(machine)
    assert len(list_jobs(machine)) > before


def test_a_run_waits_for_no_other_but_is_left_out(hourly: tuple[Machine, float]):
    machine, first = hourly
    (machine.work / "train.yml").write_text(json.dumps({**JOB, "command": "while [ ! -e go ]; do sleep 0.05; done"}))
    look(machine, first)
    look(machine, first + 3600)
    assert states(machine) == [(first, "started"), (first + 3600, "skipped")]
    with OpenSession(machine) as session:
        assert "still runs" in _events(session, "schedule.skipped")[0]
    machine.ok("schedule", "update", *NAME, "--set", "properties={}", "--no-wait")
    machine.ok("daemon", "stop")
    (running,) = [job["name"] for job in list_jobs(machine)]
    machine.ok("job", "cancel", running)


def test_runs_may_overlap_if_they_are_allowed_to(hourly: tuple[Machine, float]):
    machine, first = hourly
    waiting = {**JOB, "command": "while [ ! -e go ]; do sleep 0.05; done"}
    properties = {"mlctl.overlapping_runs": "allow"}
    path = write(machine, {"type": "cron", "expression": "0 * * * *"}, properties=properties)
    machine.ok("schedule", "create", "-f", path, "--no-wait")
    machine.ok("daemon", "stop")
    (machine.work / "train.yml").write_text(json.dumps(waiting))
    look(machine, first)
    look(machine, first + 3600)
    assert states(machine) == [(first, "started"), (first + 3600, "started")]
    for job in list_jobs(machine):
        machine.ok("job", "cancel", job["name"])


def test_a_missed_run_can_be_left_out(hourly: tuple[Machine, float]):
    machine, first = hourly
    path = write(machine, {"type": "cron", "expression": "0 * * * *"}, properties={"mlctl.missed_runs": "skip"})
    machine.ok("schedule", "create", "-f", path, "--no-wait")
    machine.ok("daemon", "stop")
    look(machine, first + 600)
    assert (states(machine), list_jobs(machine)) == ([], [])
    with OpenSession(machine) as session:
        assert "1 run was missed" in _events(session, "schedule.missed")[0]


def claim(session: Session, due_at: int) -> str:
    name = schedule_runs.name_job(_row(session), due_at)
    assert schedules.claim_run(session.store, _row(session), job=name, due_at=due_at)
    return name


def recover(session: Session) -> None:
    for run in schedules.list_unsettled(session.store):
        schedule_runs.recover_run(session, run)


def test_who_dies_before_the_job_is_written_down_leaves_it_to_the_next(hourly: tuple[Machine, float]):
    machine, first = hourly
    with OpenSession(machine) as session:
        name = claim(session, int(first))
        look(machine, first)
        with pytest.raises(NotFound):
            jobs.get(session.store, name)
        recover(session)
        recover(session)
    assert states(machine) == [(first, "started")]
    assert [job["name"] for job in list_jobs(machine)] == [name]


def test_who_dies_after_the_job_was_started_starts_no_other(hourly: tuple[Machine, float]):
    machine, first = hourly
    with OpenSession(machine) as session:
        name = claim(session, int(first))
        scheduled_jobs.start(session, _row(session), name=name, due_at=int(first))
        recover(session)
    look(machine, first)
    assert states(machine) == [(first, "started")]
    assert [job["name"] for job in list_jobs(machine)] == [name]


def test_who_dies_before_the_coordinator_is_there_has_it_started_by_the_next(hourly: tuple[Machine, float]):
    machine, first = hourly
    with OpenSession(machine) as session:
        name = claim(session, int(first))
        scheduled_jobs.start(session, _row(session), name=name, due_at=int(first))
        wait_until(lambda: machine.ok("job", "show", name).json["status"] == "Completed", DEADLINE_S)
        # As if it had never been.
        session.store.execute("UPDATE jobs SET state = 'NotStarted', started_at = NULL, ended_at = NULL")
        (machine.home / "jobs" / name / "progress.json").unlink(missing_ok=True)
        recover(session)
    wait_until(lambda: machine.ok("job", "show", name).json["status"] == "Completed", DEADLINE_S)
    assert len(list_jobs(machine)) == 1


def test_a_schedule_that_was_changed_meanwhile_is_not_run_by_its_old_times(hourly: tuple[Machine, float]):
    machine, first = hourly
    with OpenSession(machine) as session:
        old = _row(session)
        schedules.set_enabled(session.store, "local", "nightly", is_enabled=False)
        schedule_runs.run_due(session, old, now=first)
    assert list_jobs(machine) == []


def test_jobs_of_schedules_in_two_workspaces_have_different_names():
    row = ScheduleRow("local", "a.b", {}, "/", True, 0, "", 0, "", 0)
    others = [ScheduleRow(workspace, name, {}, "/", True, 0, "", 0, "", 0) for workspace, name in _ROWS]
    names = {schedule_runs.name_job(found, 0) for found in (row, *others)}
    assert len(names) == 1 + len(_ROWS)
    assert schedule_runs.name_job(others[0], 0) == "a-b-19700101T000000Z"


_ROWS = [("local", "a-b"), ("other", "a-b"), ("local", "a_b"), ("local", "." * 255), ("local", "x" * 255)]
