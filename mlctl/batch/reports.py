"""The job's logs: the overview, the report of every try, the script's errors. Layout: batch contract 7."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from mlctl.batch.children import name_process
from mlctl.batch.folder import NODE, JobFolder
from mlctl.batch.journal import Outcome, read_bad_items

_TRY_COLUMNS = (
    *("Mini-batch Id", "Picked Count", "Process", "Start Time", "Total", "Succeeded", "Failed"),
    *("Elapsed Seconds", "Process Seconds", "Run Method Seconds", "Status", "Error Category", "Error Message"),
)
_LONGEST_MESSAGE = 1000
_LONGEST_LINE = 16 * _LONGEST_MESSAGE
_README = """What lies here:
job_progress_overview.txt          how the job got on
job_result.txt                     how it ended
user/error.txt, user/error/        what the script raised
user/stdout/, user/stderr/         what it printed
user/entry_script_log/             what it logged with EntryScript().logger
sys/job_report/processed_mini-batches.csv   one line for every try of every mini-batch
"""


def _stamp(at: float | None = None) -> str:
    moment = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]


class Reports:
    """Writes the logs of a job as it goes. A log that cannot be written is given up: it changes no result."""

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        self._overview = (folder.logs / "job_progress_overview.txt").open("a", encoding="utf-8", buffering=1)
        report = folder.system_logs / "job_report" / "processed_mini-batches.csv"
        _cut_half_line(report)
        self._report_file = report.open("a", encoding="utf-8", newline="")
        self._report = csv.writer(self._report_file)
        if not self._report_file.tell():
            self._report.writerow(_TRY_COLUMNS)
            (folder.logs / "readme.txt").write_text(_README, encoding="utf-8")

    def say(self, text: str) -> None:
        """Add a line to the overview."""
        with suppress(OSError):
            self._overview.write(f"{_stamp()} {text}\n")

    def add(self, outcomes: Sequence[Outcome]) -> None:
        """Add the tries of mini-batches, and what the script raised in them."""
        with suppress(OSError):
            self._add(outcomes)

    def _add(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            for count, attempt in enumerate(outcome.tries, 1):
                index, process, at, total, succeeded, failed, total_s, run_s, status, message, trace = attempt
                name = name_process(process)
                category = "" if not message else "UserError" if status == "RUN_EXCEPTION" else "Timeout"
                start = _stamp(at - total_s)
                row = (index, count, name, start, total, succeeded, failed, total_s, total_s, run_s, status, category)
                self._report.writerow((*row, " ".join(message[:_LONGEST_MESSAGE].splitlines())))
                if message:
                    self.add_error(name, f"mini-batch {index}, try {count}: {message}", trace)

    def add_error(self, process: str, summary: str, trace: str) -> None:
        """Write down what the script raised: a line in the summary, the traceback in the process's file."""
        with suppress(OSError):
            self._add_error(process, summary, trace)

    def _add_error(self, process: str, summary: str, trace: str) -> None:
        folder = self._folder.user_logs
        with (folder / "error.txt").open("a", encoding="utf-8") as file:
            file.write(f"{_stamp()} {process} {summary}\n")
        target = folder / "error" / NODE / f"{process}.txt"
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with target.open("a", encoding="utf-8") as file:
            file.write(f"{_stamp()} {summary}\n{trace}\n")

    def finish(self, text: str) -> None:
        """Write the verdict, and close."""
        self.say(text)
        with suppress(OSError):
            (self._folder.logs / "job_result.txt").write_text(f"{text}\n", encoding="utf-8")
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
                file.write(json.dumps({key: value for key, value in line.items() if value is not None}) + "\n")
                count += 1
        if count:
            draft.replace(folder.failed_items)
        else:
            folder.failed_items.unlink(missing_ok=True)
    finally:
        draft.unlink(missing_ok=True)
    return count
