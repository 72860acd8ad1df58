"""Files as input: run() gets paths, fails in every way, and what can be kept is kept."""

from __future__ import annotations

import pytest

from tests.acceptance.batch.conftest import DOUBLE, Desk

GUILTY = """
def init(): pass
def run(mini_batch):
    numbers = [int(path.rsplit("/", 1)[1]) for path in mini_batch]
    if 7 in numbers:
        {act}
    return numbers
"""


def test_all_files_are_scored_in_their_order(desk: Desk) -> None:
    ended = desk.run(DOUBLE, desk.write_files(25), mini_batch_size=4, instance_count=2)
    assert ended.row.state == "Completed"
    assert ended.lines == [str(number * 2) for number in range(25)]
    assert ended.counts == (25, 25, 0)
    assert (ended.progress["mini_batches_total"], ended.progress["mini_batches_done"]) == (7, 7)
    assert ended.printed().count("init was called") == ended.printed().count("shutdown was called") > 0


def test_folders_are_walked_in_a_stable_order(desk: Desk) -> None:
    for name in ("b/1", "a/3", "a/0/2"):
        path = desk.work / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    ended = desk.run("def run(mini_batch): return [p.rsplit('/in/')[1] for p in mini_batch]", desk.work / "in")
    assert ended.lines == ["a/0/2", "a/3", "b/1"]


@pytest.mark.parametrize(
    ("act", "error"),
    [
        ("raise ValueError('seven')", "ValueError: seven"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("import os; os._exit(5)", "ended with exit code 5"),
        ("import os; os.kill(os.getpid(), 9)", "SIGKILL"),
        ("return None", "run() returned None"),
        ("return 'seven'", "run() returned str"),
        ("return 7", "run() returned int"),
    ],
)
def test_only_the_file_at_fault_is_lost(desk: Desk, act: str, error: str) -> None:
    ended = desk.run(GUILTY.format(act=act), desk.write_files(20), mini_batch_size=10)
    assert ended.row.state == "Completed"
    assert ended.lines == [str(number) for number in range(20) if number != 7]
    assert ended.counts == (20, 19, 1)
    (failed,) = ended.failed_items
    assert failed["item"].endswith("/0007")
    assert error in failed["error"]
    assert error in ended.errors()


def test_a_call_that_hangs_is_ended_and_the_rest_goes_on(desk: Desk) -> None:
    script = GUILTY.format(act="import time; time.sleep(600)")
    ended = desk.run(script, desk.write_files(12), mini_batch_size=3, timeout_s=1, max_retries=0)
    assert ended.lines == [str(number) for number in range(12) if number != 7]
    assert "run() took longer than 1 s" in ended.failed_items[0]["error"]
    assert "RUN_TIMEOUT" in (ended.folder.system_logs / "job_report/processed_mini-batches.csv").read_text()


def test_a_mini_batch_that_fails_once_is_tried_again(desk: Desk) -> None:
    script = """
    from pathlib import Path
    def run(mini_batch):
        mark = Path(__file__).with_name("tried")
        if not mark.exists():
            mark.touch()
            raise RuntimeError("the first time")
        return mini_batch
    """
    ended = desk.run(script, desk.write_files(5), mini_batch_size=5)
    assert ended.counts == (5, 5, 0)
    assert ended.progress["retries"] == 1
    assert "the first time" in ended.errors()


def test_fewer_results_count_as_failed_and_more_do_not_count(desk: Desk) -> None:
    fewer = desk.run("def run(mini_batch): return mini_batch[1:]", desk.write_files(10), mini_batch_size=5)
    assert (fewer.row.state, fewer.counts, len(fewer.lines)) == ("Completed", (10, 8, 2), 8)
    more = desk.run("def run(mini_batch): return mini_batch * 2", desk.work / "files", mini_batch_size=5)
    assert (more.row.state, more.counts, len(more.lines)) == ("Completed", (10, 10, 0), 20)


def test_a_threshold_ends_the_job(desk: Desk) -> None:
    script = "def run(mini_batch): raise ValueError('no')"
    ended = desk.run(script, desk.write_files(30), mini_batch_size=1, max_retries=0, error_threshold=3)
    assert ended.row.state == "Failed"
    assert "more than error_threshold (3) accepts" in (ended.row.error or "")
    assert not ended.output.exists()


def test_a_job_without_any_result_fails(desk: Desk) -> None:
    ended = desk.run("def run(mini_batch): raise ValueError('no')", desk.write_files(4), max_retries=0)
    assert ended.row.state == "Failed"
    assert "No succeeded mini batch item returned from run()" in (ended.row.error or "")


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("def init(): 1 / 0\ndef run(mini_batch): return mini_batch", "ZeroDivisionError"),
        ("import nowhere", "No module named 'nowhere'"),
        ("def run(:", "invalid syntax"),
        ("def init(): pass", "does not have a run() function"),
        ("import os; os._exit(1)", "ended with exit code 1 before init() was done"),
    ],
)
def test_a_script_that_cannot_start_fails_the_job(desk: Desk, script: str, error: str) -> None:
    ended = desk.run(script, desk.write_files(4), instance_count=2)
    assert ended.row.state == "Failed"
    assert "no worker could be started" in (ended.row.error or "")
    assert error in (ended.row.error or "")


def test_an_empty_folder_and_one_that_is_not_there_are_refused(desk: Desk) -> None:
    empty = desk.run(DOUBLE, desk.write_files(0))
    assert empty.row.state == "Failed"
    assert "nothing to score" in (empty.row.error or "")
    missing = desk.run(DOUBLE, desk.work / "nowhere")
    assert "does not exist" in (missing.row.error or "")


def test_an_existing_output_is_not_written_over(desk: Desk) -> None:
    target = desk.work / "out-1" / "predictions.csv"
    target.parent.mkdir()
    target.write_text("mine")
    ended = desk.run(DOUBLE, desk.write_files(3))
    assert "exists already" in (ended.row.error or "")
    assert target.read_text() == "mine"


def test_results_that_are_counted_only_leave_the_scripts_own_files(desk: Desk) -> None:
    script = """
    import os
    def run(mini_batch):
        for path in mini_batch:
            name = os.path.join(os.environ["AZUREML_BI_OUTPUT_PATH"], os.path.basename(path))
            os.makedirs(os.path.dirname(name), exist_ok=True)
            open(name, "w").close()
        return mini_batch
    """
    ended = desk.run(script, desk.write_files(5), output={"action": "summary_only"})
    assert (ended.row.state, ended.counts) == ("Completed", (5, 5, 0))
    assert sorted(path.name for path in ended.output.parent.iterdir()) == [f"{number:04d}" for number in range(5)]
