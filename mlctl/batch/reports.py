"""The job's logs: the overview, the report of every try, the script's errors. Layout: batch contract 7."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mlctl.batch.children import name_process
from mlctl.batch.folder import NODE, JobFolder
from mlctl.batch.journal import Outcome, read_bad_items
from mlctl.batch.stamps import stamp
from mlctl.batch.tallies import Tallies, tally_try

_TRY_COLUMNS = (
    *("Mini-batch Id", "Picked Count", "Process", "Start Time", "Total", "Succeeded", "Failed"),
    *("Elapsed Seconds", "Process Seconds", "Run Method Seconds", "Status", "Error Category", "Error Message"),
    "Mini-batch Detail",
)
_LONGEST_MESSAGE = 1000
_LONGEST_LINE = 16 * _LONGEST_MESSAGE
_README = """What lies here:
job_progress_overview.txt          how the job got on
job_result.txt                     how it ended
job_error.txt                      why it failed, and what to do; not there when it did not
user/error.txt                     what the script raised, a line each
user/error/NODE/PROCESS.txt        the same with tracebacks
user/stdout/, user/stderr/         what the script printed and logged
user/entry_script_log/             what it logged with EntryScript().logger
sys/node/NODE/PROCESS_main.txt     a worker's life: starts, time-outs, how it ended
sys/node/NODE/PROCESS.txt          what a worker itself noted
sys/job_report/processed_mini-batches.csv   one line for every try of every mini-batch
sys/job_report/process_summary.csv, node_summary.csv   the same summed
sys/coordinator.jsonl, coordinator.log      the process that hands mini-batches out
perf/node_resource_usage.csv, process_resource_usage.csv   memory and processor time, every 10 seconds
"""


class Reports:
    """Writes the logs of a job as it goes. A log that cannot be written is given up: it changes no result."""

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        self._overview = (folder.logs / "job_progress_overview.txt").open("a", encoding="utf-8", buffering=1)
        report = folder.system_logs / "job_report" / "processed_mini-batches.csv"
        _cut_half_line(report)
        self._report_file = report.open("a", encoding="utf-8", newline="")
        self._report = csv.writer(self._report_file)
        self._tallies = Tallies()
        (folder.logs / "job_error.txt").unlink(missing_ok=True)
        if self._report_file.tell():
            self._tallies.read(report)
        else:
            self._report.writerow(_TRY_COLUMNS)
            (folder.logs / "readme.txt").write_text(_README, encoding="utf-8")

    def say(self, text: str) -> None:
        """Add a line to the overview."""
        with suppress(OSError):
            self._overview.write(f"{stamp()} {text}\n")

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Add the tries of mini-batches, and what the script raised in them."""
        with suppress(OSError):
            self._add(outcomes)

    def _add(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            for count, attempt in enumerate(outcome.tries, 1):
                index, process, at, total, succeeded, failed, total_s, run_s, status, message, trace, detail = attempt
                name = name_process(process)
                category = "" if not message else "Timeout" if status.endswith("_TIMEOUT") else "UserError"
                start = stamp(at - total_s)
                row = (index, count, name, start, total, succeeded, failed, total_s, total_s, run_s, status, category)
                self._report.writerow((*row, " ".join(message[:_LONGEST_MESSAGE].splitlines()), detail))
                self._tallies.of(name).merge(tally_try((total, succeeded, failed), (total_s, run_s), status))
                if not message and failed:
                    message = f"run() returned {succeeded:,} results for {total:,} items"
                if message:
                    self.add_error(name, f"mini-batch {index}, try {count}: {message}", trace)

    def add_error(self, process: str, summary: str, trace: str) -> None:
        """Write down what the script raised: a line in the summary, the traceback in the process's file."""
        with suppress(OSError):
            self._add_error(process, summary, trace)

    def _add_error(self, process: str, summary: str, trace: str) -> None:
        folder = self._folder.user_logs
        with (folder / "error.txt").open("a", encoding="utf-8") as file:
            file.write(f"{stamp()} {process} {summary}\n")
        target = folder / "error" / NODE / f"{process}.txt"
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with target.open("a", encoding="utf-8") as file:
            file.write(f"{stamp()} {summary}\n{trace}\n")

    def finish(self, text: str, *, error: str = "") -> None:
        """Write the verdict, and close. error: why it failed, and what to do."""
        self.say(text)
        with suppress(OSError):
            (self._folder.logs / "job_result.txt").write_text(f"{text}\n", encoding="utf-8")
            if error:
                (self._folder.logs / "job_error.txt").write_text(f"{stamp()} {error}\n", encoding="utf-8")
            self._tallies.write(self._folder.system_logs / "job_report")
        for file in (self._overview, self._report_file):
            with suppress(OSError):
                file.close()


def _cut_half_line(file: Path) -> None:
    """Remove the last line if it has no end: the process that wrote it was killed."""
    with suppress(FileNotFoundError), file.open("rb+") as report:
        size = report.seek(0, os.SEEK_END)
        start = report.seek(max(0, size - _LONGEST_LINE))
        report.truncate(start + report.read().rfind(b"\n") + 1)


def write_failed_items(folder: JobFolder) -> int:
    """Write the items that could not be scored, in the order of the input, and return how many."""
    draft: Path = folder.failed_items.with_suffix(".new")
    count = 0
    try:
        with draft.open("w", encoding="utf-8") as file:
            for index, item in read_bad_items(folder.journal):
                line = {"mini_batch": index, "item": item.item, "row": item.row, "error": item.error}
                if item.rows > 1:
                    line["count"] = item.rows
                file.write(json.dumps({key: value for key, value in line.items() if value is not None}) + "\n")
                count += item.rows
        if count:
            draft.replace(folder.failed_items)
        else:
            folder.failed_items.unlink(missing_ok=True)
    finally:
        draft.unlink(missing_ok=True)
    return count
