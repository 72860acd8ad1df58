"""What is said of a job while it runs and at its end: to people who look, and in plain lines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlctl.cli.following import Pace, describe_progress, draw_picture, show_duration, show_rate, summarize, tell_workers
from mlctl.ops.batch_jobs import Job
from mlctl.registry.jobs import JobRow

COUNTS: dict[str, Any] = {"items_total": 2_000_000, "mini_batches_total": 2_000, "retries": 3, "items_failed": 2}


def make_job(
    status: str = "Running",
    *,
    mode: str = "rows",
    error: str | None = None,
    folder: Path = Path("/jobs/fraud-1"),
    **progress: Any,
) -> Job:
    spec = {"instance_count": 2, "input": {"mode": mode}, "output": {"folder": "/scores"}}
    ended_at = None if status == "Running" else 29.4
    row = JobRow(
        name="fraud-1",
        kind="batch",
        workspace="local",
        endpoint="fraud-batch",
        deployment="classic",
        request_id=None,
        spec=spec,
        state=status,
        error=error,
        created_at=0.0,
        created_by="me",
        started_at=10.0,
        ended_at=ended_at,
        archived=False,
    )
    return Job(row, status, progress, folder)


def make_pace() -> Pace:
    pace = Pace()
    pace.add(0.0, 0)
    pace.add(1.0, 1_040_000)
    return pace


def test_people_see_rate_time_left_retries_failures_and_each_worker() -> None:
    workers = [
        {"number": 1, "pid": 7, "ready": True, "mini_batch": 1281},
        {"number": 2, "pid": 8, "ready": True, "mini_batch": None},
        {"number": 3, "pid": 9, "ready": False, "mini_batch": None},
    ]
    first, second, third = draw_picture(make_job(**COUNTS, items_done=1_480_000, workers=workers), make_pace(), 200)
    assert first == "job fraud-1   2,000,000 rows · 2,000 mini-batches · 3 workers"
    assert " 74 %   1,480,000 rows   1.04 M rows/s   0:00:00 left" in second
    assert third.split("   ") == [
        *("", "", "", " retried 3", "failed rows 2"),
        *("worker 1 ● mini-batch 1,281", "worker 2 ○ waiting", "worker 3 ○ in init()"),
    ]


@pytest.mark.parametrize("width", [72, 80, 120])
def test_the_picture_keeps_within_the_terminal(width: int) -> None:
    workers = [{"number": 1, "pid": 7, "ready": True, "mini_batch": 14_802}]
    lines = [*draw_picture(make_job(**COUNTS, items_done=1_480_000, workers=workers), make_pace(), width)]
    assert max(map(len, lines[1:])) <= width
    assert "━" in lines[1]


def test_a_job_of_which_nothing_is_known_yet_has_a_picture() -> None:
    first, second, _ = draw_picture(make_job(mode="files", workers=[{"number": 1}]), Pace(), 200)
    assert first == "job fraud-1   1 worker"
    assert second == "scoring   0 files"


def test_plain_lines_tell_the_same() -> None:
    text = describe_progress(make_job(**COUNTS, items_done=1_000_000), make_pace())
    assert text == "1,000,000 of 2,000,000 rows, 1.04 M rows/s, 0:00:01 left, 3 retries, 2 failed"


def test_plain_lines_tell_of_workers_while_nothing_is_done() -> None:
    starting = [{"number": 1, "pid": 7, "ready": False, "mini_batch": None}]
    assert tell_workers(make_job(items_done=0, workers=starting)) == "; worker 1 ○ in init()"
    assert tell_workers(make_job(items_done=4, workers=starting)) == ""


def test_the_end_tells_counts_place_and_failures(tmp_path: Path) -> None:
    (tmp_path / "failed_items.jsonl").touch()
    examples = [{"item": "nov.csv row 77,120", "error": "ValueError: Input contains NaN\nmore"}]
    done: dict[str, Any] = {"items_done": 20_000_000, "items_succeeded": 19_999_998, "items_failed": 2}
    output: dict[str, Any] = {"output": "/scores/p.csv", "output_bytes": 412_000_000, "failed_examples": examples}
    lines = list(summarize(make_job("Completed", folder=tmp_path, **done, **output)))
    assert lines[0] == "Completed in 19.4 s     20,000,000 rows in · 19,999,998 scored · 2 failed"
    assert lines[1:] == [
        "scores        /scores/p.csv   (412.0 MB)",
        f"failed rows   {tmp_path}/failed_items.jsonl",
        "              nov.csv row 77,120: ValueError: Input contains NaN",
        f"logs          {tmp_path}/logs",
    ]


def test_a_failure_is_told_with_what_to_do_unless_an_error_tells_it() -> None:
    job = make_job("Failed", error="no worker could be started", hint="see error.txt")
    assert "why           no worker could be started" in list(summarize(job))
    assert "what to do    see error.txt" in list(summarize(job))
    assert not [line for line in summarize(job, tells_why=False) if line.startswith(("why", "what"))]


@pytest.mark.parametrize(("status", "hint"), [("Canceled", "go on"), ("NotResponding", "go on"), ("Completed", "")])
def test_only_a_job_that_can_go_on_says_so(status: str, hint: str) -> None:
    assert make_job(status, hint="of an earlier run").hint.startswith(hint)
    assert (make_job(status).hint == "") == (hint == "")


def test_rates_and_times_are_told_as_a_person_would() -> None:
    rates = [show_rate(rate, "rows") for rate in (1_040_000, 12_345, 0.25)]
    assert rates == ["1.04 M rows/s", "12,345 rows/s", "0.2 rows/s"]
    assert [show_duration(seconds) for seconds in (7, 3_700, -1)] == ["0:00:07", "1:01:40", "0:00:00"]
