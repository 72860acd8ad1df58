"""How a job ends: counts that add up, a verdict, logs where Azure has them, nothing left behind."""

from __future__ import annotations

import csv
import os
import signal
import subprocess
import sys
from pathlib import Path

import pandas
import pyarrow
import pyarrow.parquet
import pytest

from mlctl.batch.engine import Engine
from mlctl.batch.folder import JobFolder
from mlctl.batch.launch import find_folder, is_coordinated
from mlctl.batch.order import InputMode, JobInput, JobOrder, JobOutput
from mlctl.errors import UserCodeFailed
from tests.acceptance.batch.conftest import DOUBLE, Desk, Run
from tests.waiting import wait_until

SOME_FAIL = """
def run(mini_batch):
    numbers = [int(path.rsplit("/", 1)[1]) for path in mini_batch]
    if set(numbers) & {3, 4, 11}:
        raise ValueError("unlucky")
    return numbers
"""


def tries(ended: Run) -> list[dict[str, str]]:
    with (ended.folder.system_logs / "job_report" / "processed_mini-batches.csv").open() as file:
        return list(csv.DictReader(file))


def test_counts_add_up_and_failed_items_are_listed_in_order(desk: Desk) -> None:
    ended = desk.run(SOME_FAIL, desk.write_files(20), mini_batch_size=4, instance_count=2)
    done, succeeded, failed = ended.counts
    assert (done, succeeded, failed) == (20, 17, 3)
    assert len(ended.lines) == succeeded
    assert [Path(item["item"]).name for item in ended.failed_items] == ["0003", "0004", "0011"]
    assert {item["error"] for item in ended.failed_items} == {"ValueError: unlucky"}
    assert [item["mini_batch"] for item in ended.failed_items] == [0, 1, 2]


@pytest.mark.parametrize(
    ("settings", "state"),
    [
        ({"error_threshold": -1}, "Completed"),
        ({"error_threshold": 3}, "Completed"),
        ({"error_threshold": 2}, "Failed"),
        ({"error_threshold": 0}, "Failed"),
        ({"mini_batch_error_threshold": 0}, "Completed"),
        ({"mini_batch_size": 1, "mini_batch_error_threshold": 3}, "Completed"),
        ({"mini_batch_size": 1, "mini_batch_error_threshold": 2}, "Failed"),
        ({"mini_batch_size": 1, "allowed_failed_percent": 25}, "Completed"),
        ({"mini_batch_size": 1, "allowed_failed_percent": 24}, "Failed"),
    ],
)
def test_thresholds_are_the_most_that_is_accepted(desk: Desk, settings: dict[str, int], state: str) -> None:
    ended = desk.run(SOME_FAIL, desk.write_files(12), max_retries=0, **{"mini_batch_size": 4, **settings})
    assert ended.row.state == state, ended.row.error
    assert ended.output.exists() == (state == "Completed")
    if state == "Failed":
        assert list(settings)[-1] in (ended.row.error or "")
        assert "the first: " in (ended.row.error or "")
        assert "ValueError: unlucky" in (ended.row.error or "")


def test_as_many_as_the_percentage_says_are_accepted(desk: Desk) -> None:
    script = """
    def run(mini_batch):
        assert int(mini_batch[0].rsplit("/", 1)[1]) >= 29
        return mini_batch
    """
    settings = {"mini_batch_size": 1, "max_retries": 0, "allowed_failed_percent": 29}
    ended = desk.run(script, desk.write_files(100), **settings)
    assert (ended.row.state, ended.counts) == ("Completed", (100, 71, 29)), ended.row.error


def test_a_job_that_failed_by_its_threshold_says_the_same_when_resumed(desk: Desk) -> None:
    name = desk.start(SOME_FAIL, desk.write_files(12), mini_batch_size=4, max_retries=0, error_threshold=0)
    first = desk.finish(name)
    desk.resume(name)
    assert desk.finish(name).row.error == first.row.error


def test_a_threshold_does_not_wait_for_what_hangs_elsewhere(desk: Desk) -> None:
    script = """
    import time
    def run(mini_batch):
        time.sleep(0 if mini_batch[0].endswith("0001") else 600)
        raise ValueError("no")
    """
    files = desk.write_files(2)
    ended = desk.run(
        script, files, mini_batch_size=1, instance_count=2, timeout_s=900, max_retries=0, error_threshold=0
    )
    assert "error_threshold" in (ended.row.error or "")
    assert not desk.workers(ended.row.name)


def test_a_worker_that_hangs_is_replaced_while_the_others_go_on(desk: Desk) -> None:
    script = """
    import os, time
    def init():
        print("init", os.getpid())
    def run(mini_batch):
        if mini_batch[0].endswith("0000"):
            time.sleep(600)
        return [os.getpid()]
    """
    ended = desk.run(script, desk.write_files(6), mini_batch_size=1, instance_count=2, timeout_s=2, max_retries=1)
    assert ended.counts == (6, 5, 1)
    found = [attempt["Status"] for attempt in tries(ended) if attempt["Mini-batch Id"] == "0"]
    assert found == ["RUN_TIMEOUT", "RUN_TIMEOUT"]
    assert ended.printed().count("init") >= 3
    assert "took longer than 2 s" in ended.failed_items[0]["error"]


def test_the_time_to_read_rows_is_not_the_scripts_but_the_rest_is(desk: Desk) -> None:
    path = desk.work / "a.csv"
    path.write_text("n\n1\n2\n")
    script = "import time\ndef run(mini_batch): time.sleep(600)"
    ended = desk.run(script, path, mode="rows", timeout_s=1, max_retries=0)
    assert ended.row.state == "Failed"
    assert "run() took longer than 1 s" in (ended.row.error or "")


def test_other_numbers_of_results_are_told_in_the_log(desk: Desk) -> None:
    script = "def run(mini_batch): return mini_batch[1:] if mini_batch[0].endswith('0') else mini_batch * 2"
    ended = desk.run(script, desk.write_files(10), mini_batch_size=5)
    assert ended.counts == (10, 9, 1)
    assert "mini-batch 0: run() returned 4 results for 5 items, 1 count as failed" in ended.printed()
    assert "mini-batch 1: run() returned 10 results for 5 items, 5 are counted" in ended.printed()


@pytest.mark.parametrize("result", ["{'a': 1}", "{1, 2}", "3.5", "b'text'", "(x for x in mini_batch)"])
def test_results_without_an_order_or_a_number_fail(desk: Desk, result: str) -> None:
    ended = desk.run(f"def run(mini_batch): return {result}", desk.write_files(2), max_retries=0)
    assert ended.row.state == "Failed"
    assert "a list or a DataFrame is needed" in (ended.row.error or "")


@pytest.mark.parametrize("result", ["tuple(mini_batch)", "numpy.array(mini_batch)", "pandas.Series(mini_batch)"])
def test_what_has_an_order_and_a_number_is_taken(desk: Desk, result: str) -> None:
    ended = desk.run(f"import numpy, pandas\ndef run(mini_batch): return {result}", desk.write_files(3))
    assert [line[-4:] for line in ended.lines] == ["0000", "0001", "0002"]


def test_init_that_hangs_ends_the_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlctl.batch.children._START_OVERHEAD_S", 0.5)
    (tmp_path / "score.py").write_text("import time\ndef init(): time.sleep(600)\ndef run(mini_batch): return []")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "0").touch()
    order = JobOrder(
        *("job", sys.executable, str(tmp_path), "score.py", None, {}),
        JobInput("files", (str(tmp_path / "in"),)),
        JobOutput("append_row", str(tmp_path / "out")),
        timeout_s=0.1,
        instance_count=2,
    )
    (tmp_path / "job").mkdir()
    with pytest.raises(UserCodeFailed, match=r"no worker could be started: init\(\) took longer than 0\.8 s"):
        Engine(order, JobFolder(tmp_path / "job"), lambda state: None).run()


def test_two_jobs_with_one_output_have_one_winner(desk: Desk) -> None:
    script = "import time\ndef run(mini_batch):\n    time.sleep(0.2)\n    return [SIDE] * len(mini_batch)\n"
    files = desk.write_files(10)
    output = {"folder": str(desk.work / "shared")}
    names = [desk.start(f"{script}SIDE = {side}", files, mini_batch_size=5, output=output) for side in "12"]
    ended = [desk.finish(name) for name in names]
    assert sorted(run.row.state for run in ended) == ["Completed", "Failed"]
    winner, loser = sorted(ended, key=lambda run: run.row.state)
    assert winner.lines == [str(names.index(winner.row.name) + 1)] * 10
    assert "exists already" in (loser.row.error or "")
    winner.output.rename(desk.work / "moved")
    desk.resume(loser.row.name)
    again = desk.finish(loser.row.name)
    assert again.lines == [str(names.index(loser.row.name) + 1)] * 10
    assert sorted(path.name for path in again.output.parent.iterdir()) == ["predictions.csv"]


def test_an_input_without_rows_is_told(desk: Desk) -> None:
    path = desk.work / "a.csv"
    path.write_text("n\n")
    ended = desk.run("def run(mini_batch): return mini_batch", path, mode="rows")
    assert (ended.row.state, ended.row.error) == ("Failed", "the input has no rows: nothing to score")


def test_a_table_without_rows_between_others_is_left_out(desk: Desk) -> None:
    folder = desk.work / "in"
    folder.mkdir()
    for name, content in (("a.csv", "n\n1\n"), ("b.csv", ""), ("c.csv", "n\n"), ("d.csv", "n\n2\n3\n")):
        (folder / name).write_text(content)
    assert desk.run("def run(mini_batch): return mini_batch", folder, mode="rows").lines == ["1", "2", "3"]


def test_a_row_group_that_is_damaged_fails_the_job_and_names_the_rows(desk: Desk) -> None:
    path = desk.work / "a.parquet"
    table = pyarrow.table({"n": [f"{number}" * 20 for number in range(1000)]})
    pyarrow.parquet.write_table(table, path, use_dictionary=False, compression="none", write_page_checksum=True)
    content = bytearray(path.read_bytes())
    content[100:140] = bytes(40)
    path.write_bytes(content)
    ended = desk.run("def run(mini_batch): return mini_batch", path, mode="rows", mini_batch_size=100, max_retries=0)
    assert ended.row.state == "Failed"
    assert f"cannot read {path} rows 0 to 99" in (ended.row.error or "")
    assert ended.failed_items == []


def test_columns_that_change_their_type_make_few_files(desk: Desk) -> None:
    script = """
    import pandas
    def run(mini_batch):
        return pandas.DataFrame({"x": [int(p[-4:]) + (0.5 if int(p[-4:]) % 2 else 0) for p in mini_batch]})
    """
    output = {"format": "parquet", "file_name": "p.parquet"}
    ended = desk.run(script, desk.write_files(40), mini_batch_size=1, output=output)
    assert pandas.read_parquet(ended.output)["x"].tolist() == [n + (0.5 if n % 2 else 0) for n in range(40)]
    assert len(list(ended.folder.parts.glob("*.schema"))) == 2


def test_logs_lie_where_azure_has_them(desk: Desk) -> None:
    script = """
    import logging
    from azureml_user.parallel_run import EntryScript
    def init():
        EntryScript().logger.info("by the entry script's logger")
    def run(mini_batch):
        print("printed")
        logging.warning("logged")
        raise ValueError("raised") if mini_batch[0].endswith("0") else SystemExit
    """
    ended = desk.run(script, desk.write_files(2), mini_batch_size=1, max_retries=0)
    logs = ended.folder.logs
    assert "Start scheduling." in (logs / "job_progress_overview.txt").read_text()
    assert (logs / "job_result.txt").read_text().startswith("Failed: No succeeded mini batch item returned from run()")
    assert "user/error.txt" in (logs / "readme.txt").read_text()
    assert "ValueError: raised" in (logs / "user" / "error.txt").read_text()
    trace = (logs / "user" / "error" / "local" / "process001.txt").read_text()
    assert 'score.py", line 9, in run' in trace
    printed = (logs / "user" / "stdout" / "local" / "process001.stdout.txt").read_text()
    assert "printed" in printed
    assert "logged" in printed
    logged = (logs / "user" / "entry_script_log" / "local" / "process001.log.txt").read_text()
    assert "by the entry script's logger" in logged
    assert [attempt["Status"] for attempt in tries(ended)] == ["RUN_EXCEPTION"] * 2


def read_table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


BREAKS_AT_TWO = """
import os, time
def run(mini_batch):
    if mini_batch[0].endswith("2"):
        os._exit(5)
    return mini_batch
"""


def test_tries_are_summed_by_process_and_by_node(desk: Desk) -> None:
    ended = desk.run(BREAKS_AT_TWO, desk.write_files(4), mini_batch_size=1, max_retries=1)
    report = ended.folder.system_logs / "job_report"
    (process,), (node,) = read_table(report / "process_summary.csv"), read_table(report / "node_summary.csv")
    assert (process.pop("Process"), node.pop("Node")) == ("process001", "local")
    assert process == node
    all_tries = read_table(report / "processed_mini-batches.csv")
    for column in ("Total", "Succeeded", "Failed"):
        assert int(node[column]) == sum(int(attempt[column]) for attempt in all_tries)
    assert (node["Tries"], node["Succeeded"], node["Failed Tries"], node["Timeouts"]) == ("5", "3", "2", "0")
    assert [attempt["Mini-batch Detail"] for attempt in all_tries if attempt["Status"] != "RUN_DONE"] == [
        f"{desk.work}/files/0002"
    ] * 2


def test_summaries_hold_all_runs_of_a_job_and_survive_a_torn_line(desk: Desk) -> None:
    ended = desk.run(BREAKS_AT_TWO, desk.write_files(4), mini_batch_size=1, error_threshold=0, max_retries=0)
    report = ended.folder.system_logs / "job_report"
    before = int(read_table(report / "node_summary.csv")[0]["Tries"])
    with (report / "processed_mini-batches.csv").open("a") as file:
        file.write("7,1,process0")
    desk.resume(ended.row.name)
    desk.finish(ended.row.name)
    assert int(read_table(report / "node_summary.csv")[0]["Tries"]) >= before


def test_a_workers_life_is_written_down(desk: Desk) -> None:
    ended = desk.run(BREAKS_AT_TWO, desk.write_files(4), mini_batch_size=1, max_retries=0)
    node = ended.folder.system_logs / "node" / "local"
    lines = [line.split(" ", 2)[2] for line in (node / "process001_main.txt").read_text().splitlines()]
    starts = [line for line in lines if line.startswith("started as process")]
    assert (len(starts), lines.count("init() is done, ready for mini-batches")) == (2, 2)
    assert lines[2].endswith("ended with exit code 5")
    assert lines[-1] == "stopped, ended with exit code 0"
    noted = (node / "process001.txt").read_text()
    assert (noted.count("init() is done after"), noted.count("shutdown() is done")) == (2, 1)
    assert "init() is done" not in ended.printed()


def test_a_killed_call_is_timed_in_the_report(desk: Desk) -> None:
    script = """
    import time
    def run(mini_batch):
        time.sleep(300 if mini_batch[0].endswith("1") else 0)
        return mini_batch
    """
    ended = desk.run(script, desk.write_files(2), mini_batch_size=1, max_retries=0, timeout_s=1)
    late = next(attempt for attempt in tries(ended) if attempt["Status"] == "RUN_TIMEOUT")
    assert 1 <= float(late["Run Method Seconds"]) < 30
    assert late["Error Category"] == "Timeout"
    life = (ended.folder.system_logs / "node" / "local" / "process001_main.txt").read_text()
    assert "run() took longer than 1 s: killed" in life


def test_the_overview_and_the_use_of_the_machine_are_written_as_the_job_goes(desk: Desk) -> None:
    ended = desk.run(DOUBLE, desk.write_files(7), mini_batch_size=2)
    overview = (ended.folder.logs / "job_progress_overview.txt").read_text()
    assert "Start scheduling. 7 input files, 1 workers." in overview
    assert "Scheduling finished. Scheduled 4 mini batches with 7 items in" in overview
    node = read_table(ended.folder.logs / "perf" / "node_resource_usage.csv")
    assert int(node[-1]["Memory Total MB"]) > int(node[-1]["Memory Used MB"]) > 0
    processes = read_table(ended.folder.logs / "perf" / "process_resource_usage.csv")
    assert {line["Process"] for line in processes} == {"coordinator", "process001"}
    assert all(float(line["Memory MB"]) > 1 for line in processes)


def test_why_a_job_failed_stands_in_a_file_that_goes_when_it_does_not(desk: Desk) -> None:
    script = """
    import pathlib
    def init():
        pathlib.Path(__file__).resolve().with_name("key").read_text()
    def run(mini_batch):
        return mini_batch
    """
    ended = desk.run(script, desk.write_files(1))
    error = (ended.folder.logs / "job_error.txt").read_text()
    assert "no worker could be started: init() failed: FileNotFoundError" in error
    assert "(score.py:4 in init)" in error
    assert "user/error.txt" in error
    assert ended.progress["hint"] in error
    (desk.work / "code-1" / "key").touch()
    desk.resume(ended.row.name)
    assert desk.finish(ended.row.name).row.state == "Completed"
    assert not (ended.folder.logs / "job_error.txt").exists()
    assert "hint" not in ended.folder.read_progress()


def test_progress_is_told_while_a_worker_keeps_everybody_waiting(desk: Desk) -> None:
    script = """
    import pathlib, time
    def init():
        while not pathlib.Path(__file__).with_name("go").exists():
            time.sleep(0.01)
    def run(mini_batch):
        return mini_batch
    """
    name = desk.start(script, desk.write_files(2))
    folder = find_folder(desk.home, name)
    wait_until(lambda: folder.read_progress().get("workers"), 30, "the worker to be told of")
    told_at = folder.read_progress()["updated_at"]
    wait_until(lambda: folder.read_progress()["updated_at"] > told_at, 30, "a later word")
    assert folder.read_progress()["items_total"] == 2
    (desk.work / "code-1" / "go").touch()
    assert desk.finish(name).counts == (2, 2, 0)


@pytest.mark.parametrize(("mode", "suffix"), [("files", "0000 to {}/0003"), ("rows", "t.csv rows 0 to 3")])
def test_results_that_are_missing_are_told_with_the_mini_batch(desk: Desk, mode: InputMode, suffix: str) -> None:
    script = "def run(mini_batch):\n    return [0] if len(mini_batch) == 1 else [1, 2]\n"
    if mode == "files":
        given = desk.write_files(5)
    else:
        given = desk.work / "t.csv"
        given.write_text("a\n" + "1\n" * 5)
    ended = desk.run(script, given, mode=mode, mini_batch_size=4)
    assert ended.counts == (5, 3, 2)
    (failed,) = ended.failed_items
    assert failed["item"].endswith(suffix.format(given))
    assert (failed["count"], failed["mini_batch"]) == (2, 0)
    assert "run() returned 2 results for 4 items" in failed["error"]
    assert "mini-batch 0, try 1: run() returned 2 results for 4 items" in ended.errors()


def test_the_output_folder_is_there_when_the_script_begins(desk: Desk) -> None:
    script = """
    import os
    from pathlib import Path
    def init():
        (Path(os.environ["AZUREML_BI_OUTPUT_PATH"]) / "own.txt").write_text("mine")
    def run(mini_batch):
        return mini_batch
    """
    ended = desk.run(script, desk.write_files(2), output={"action": "summary_only"})
    assert (ended.row.state, ended.output.with_name("own.txt").read_text()) == ("Completed", "mine")


def test_a_job_that_is_stopped_while_its_worker_starts_starts_no_other(desk: Desk) -> None:
    name = desk.start(
        "import time\ntime.sleep(600)\ndef run(mini_batch): return []", desk.write_files(2), timeout_s=900
    )
    wait_until(lambda: desk.workers(name))
    desk.stop(name)
    stopped = desk.finish(name, timeout_s=15)
    assert not stopped.row.has_ended, stopped.row.error
    assert not desk.workers(name)


def test_a_worker_ends_with_its_coordinator_even_in_the_middle_of_init(desk: Desk) -> None:
    name = desk.start(
        "import time\ntime.sleep(600)\ndef run(mini_batch): return []", desk.write_files(2), timeout_s=900
    )
    wait_until(lambda: desk.workers(name))
    os.kill(desk.coordinator(name), signal.SIGKILL)
    wait_until(lambda: not desk.workers(name) and not is_coordinated(find_folder(desk.home, name)))


def test_two_coordinators_do_not_share_a_job(desk: Desk) -> None:
    name = desk.start(
        "import time\ntime.sleep(600)\ndef run(mini_batch): return []", desk.write_files(2), timeout_s=900
    )
    wait_until(lambda: desk.workers(name))
    first, workers = desk.coordinator(name), desk.workers(name)
    words = [sys.executable, "-P", "-m", "mlctl.batch", "--home", str(desk.home), "--job", name]
    assert subprocess.run(words, check=False, timeout=60).returncode == 0
    assert (desk.coordinator(name), desk.workers(name)) == (first, workers)
    desk.stop(name)
    desk.finish(name)


def test_millions_of_failed_rows_need_a_small_journal(desk: Desk) -> None:
    path = desk.work / "a.csv"
    path.write_text("n\n" + "1\n" * 200_000)
    script = "def run(mini_batch): raise ValueError('x' * 900)"
    ended = desk.run(script, path, mode="rows", mini_batch_size=20_000, max_retries=0)
    assert ended.counts == (200_000, 0, 200_000)
    assert ended.folder.journal.stat().st_size < 5_000_000
    items = ended.failed_items
    assert [item["row"] for item in items] == list(range(200_000))


LINGERS = """
import os, pathlib, time

def run(mini_batch):
    return [os.path.basename(path) for path in mini_batch]

def shutdown():
    go = pathlib.Path(os.environ["FOLDER"]) / "go"
    while not go.exists():
        time.sleep(0.01)
    go.with_name("left").touch()
"""


def test_the_output_is_written_while_workers_leave_and_the_job_waits_for_them(desk: Desk) -> None:
    name = desk.start(LINGERS, desk.write_files(4), environment_variables={"FOLDER": str(desk.work)})
    output = desk.work / "out-1" / "predictions.csv"
    wait_until(output.exists, 60, "the output")
    assert (desk.row(name).state, (desk.work / "left").exists()) == ("Finalizing", False)
    (desk.work / "go").touch()
    ended = desk.finish(name)
    assert (ended.row.state, (desk.work / "left").exists(), len(ended.lines)) == ("Completed", True, 4)
