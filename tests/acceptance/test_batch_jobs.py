"""Batch jobs from the command line: an online deployment's script scores a table, the job is followed to its end."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import Machine
from tests.waiting import wait_until

SCRIPT = """
import json, time
def init(): pass
def run(raw_data):
    rows = json.loads(raw_data)["features"]
    if rows[0][0] < 0:
        time.sleep(0.05)
    if any(row[0] == 13 for row in rows):
        raise ValueError("an unlucky row")
    return json.dumps({"prediction": [sum(row) for row in rows]})
"""
INVOKE = ("batch", "invoke", "--from-deployment", "fraud-endpoint/blue")


@pytest.fixture
def served_table(machine: Machine) -> Machine:
    machine.create_endpoint()
    machine.write_script(SCRIPT)
    machine.deploy("blue", "--all-traffic")
    return machine


def _write_rows(machine: Machine, rows: list[int], name: str = "rows.csv") -> str:
    path = machine.work / name
    path.write_text("a,b\n" + "".join(f"{row},{row * 10}\n" for row in rows))
    return str(path)


def test_an_online_script_scores_a_table(served_table: Machine) -> None:
    machine = served_table
    table = _write_rows(machine, [*range(20)])
    ran = machine.ok(*INVOKE, "--input", table, "-m", "4", "--stream", "--output-format", "csv", "--header")
    assert sorted(ran.json) == ["id", "name", "resourceGroup", "status", "type"]
    assert ran.json["status"] == "Completed"
    name = ran.json["name"]
    shown = machine.ok("job", "show", "-n", name).json
    assert (shown["status"], shown["properties"]["mlctl.items_failed"]) == ("Completed", "1")
    assert machine.ok("job", "show", name).json == shown
    out = machine.work / "results"
    machine.ok("job", "download", "-n", name, "--output-name", "score", "--download-path", str(out))
    lines = (out / "named-outputs/score/predictions.csv").read_text().splitlines()
    assert lines == ["prediction", *(str(row * 11) for row in range(20) if row != 13)]
    failed = json.loads((machine.home / "jobs" / name / "failed_items.jsonl").read_text())
    assert (failed["item"], failed["row"]) == (table, 13)
    machine.ok("job", "download", "-n", name, "--download-path", str(out))
    assert json.loads((out / "artifacts/failed_items.jsonl").read_text()) == failed
    # What a log of a build shows.
    assert "20 rows in · 19 scored · 1 failed" in ran.err
    assert "row 13: ValueError: an unlucky row" in ran.err
    streamed = machine.ok("job", "stream", "-n", name).out
    assert "Execution Summary" in streamed
    assert "20 rows in · 19 scored · 1 failed" in streamed
    assert "row 13: ValueError: an unlucky row" in streamed


def test_failed_items_can_fail_the_command(served_table: Machine) -> None:
    table = _write_rows(served_table, [1, 13])
    ran = served_table.run(*INVOKE, "--input", table, "-m", "1", "--stream", "--fail-on-failed-items")
    assert ran.code == 1
    assert "1 items could not be scored" in ran.err


def test_a_name_makes_one_job(served_table: Machine) -> None:
    line = (
        *INVOKE,
        "--input",
        _write_rows(served_table, [1, 2]),
        "--job-name",
        "november",
        "--query",
        "name",
        "-o",
        "tsv",
    )
    assert served_table.ok(*line).out == served_table.ok(*line).out == "november\n"
    assert len(served_table.ok("job", "list").json) == 1
    other = served_table.run(*line, "-m", "7")
    assert (other.code, "it does something else" in other.err) == (1, True)
    wait_until(lambda: served_table.ok("job", "show", "november").json["status"] == "Completed")


def test_a_canceled_job_can_be_resumed(served_table: Machine) -> None:
    machine = served_table
    table = _write_rows(machine, [-row for row in range(1, 80)])
    name = machine.ok(*INVOKE, "--input", table, "-m", "1", "--query", "name", "-o", "tsv").out.strip()
    done = lambda: int(machine.ok("job", "show", name).json["properties"].get("mlctl.items_done") or 0)  # noqa: E731
    wait_until(lambda: done() > 3)
    machine.ok("job", "cancel", "-n", name)
    assert machine.ok("job", "show", name).json["status"] == "Canceled"
    assert machine.run("job", "cancel", "-n", name).code == 1
    stopped_at = done()
    assert 3 < stopped_at < 79
    again = machine.ok("batch", "resume", "-n", name, "--stream").json
    assert again["status"] == "Completed"
    output = machine.home / "jobs" / name / "score" / "predictions.csv"
    assert output.read_text().splitlines() == [str(-row * 11) for row in range(1, 80)]
    finished = machine.run("batch", "resume", "-n", name)
    assert (finished.code, "nothing left to do" in finished.err) == (1, True)


def test_what_cannot_work_is_refused_before_anything_is_made(served_table: Machine, tmp_path: Path) -> None:
    machine = served_table
    table = _write_rows(machine, [1])
    for words, code, reason in (
        ((*INVOKE,), 1, "there is no input"),
        ((*INVOKE, "--input", "nowhere.csv"), 1, "does not exist"),
        ((*INVOKE, "--input", "https://elsewhere/a.csv"), 1, "not on this machine"),
        ((*INVOKE, "--input", table, "--output-format", "xml"), 1, "none of az, csv, jsonl, parquet"),
        ((*INVOKE, "--input", table, "--set", "mini_batch=3"), 1, "no such setting of a job"),
        ((*INVOKE, "--input", table, "--set", "output_file_name=a/b"), 1, "no file name"),
        ((*INVOKE, "--input", table, "-m", "0"), 2, "0 is not in the range"),
        (("batch", "invoke", "--from-deployment", "fraud-endpoint/bleu", "--input", table), 1, "no deployment bleu"),
        (("batch", "invoke", "--input", table), 1, "the endpoint is not named"),
        (("job", "show", "-n", "nothing"), 3, "there is no job nothing"),
        (("job", "show"), 2, "--name"),
    ):
        ran = machine.run(*words)
        assert (ran.code, reason in ran.err) == (code, True), (words, ran)
    assert machine.ok("job", "list").json == []
    taken = tmp_path / "predictions.csv"
    taken.touch()
    ran = machine.run(*INVOKE, "--input", table, "--output-path", str(tmp_path))
    assert (ran.code, "exists already" in ran.err) == (1, True)
