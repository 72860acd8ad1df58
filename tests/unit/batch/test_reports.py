"""The logs of a job whose coordinator was killed: the next one goes on in them."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from mlctl.batch.folder import JobFolder
from mlctl.batch.journal import Outcome
from mlctl.batch.reports import Reports

HEADER = "Mini-batch Id,Picked Count,Process,Start Time"


def make_outcome(index: int, message: str = "") -> Outcome:
    tries = ((index, 1, 1_800_000_000.0, 10, 10, 0, 0.5, 0.4, "RUN_DONE", message, "", ""),)
    return Outcome(index, (), 10, 10, tries=tries)


def write(folder: JobFolder, *indices: int) -> None:
    reports = Reports(folder)
    reports.add([make_outcome(index) for index in indices])
    reports.finish("Completed")


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    made = JobFolder(tmp_path / "job")
    made.make()
    return made


@pytest.mark.parametrize("left", ["", "Mini-batch Id,Pic", None])
def test_the_report_has_its_header_whenever_the_first_coordinator_was_killed(
    folder: JobFolder, left: str | None
) -> None:
    report = folder.system_logs / "job_report" / "processed_mini-batches.csv"
    if left is not None:
        report.write_text(left)
    write(folder, 3)
    lines = report.read_text().splitlines()
    assert lines[0].startswith(HEADER)
    assert [row["Mini-batch Id"] for row in csv.DictReader(lines)] == ["3"]


@pytest.mark.parametrize("cut", [1, 2, 20, 60])
def test_a_line_that_was_cut_off_does_not_spoil_the_next_one(folder: JobFolder, cut: int) -> None:
    write(folder, 1, 2)
    report = folder.system_logs / "job_report" / "processed_mini-batches.csv"
    report.write_bytes(report.read_bytes()[:-cut])
    write(folder, 3)
    rows = list(csv.DictReader(report.read_text().splitlines()))
    assert [row["Mini-batch Id"] for row in rows] == ["1", "3"]
    assert {row["Status"] for row in rows} == {"RUN_DONE"}


def test_a_try_is_one_line_whatever_its_error(folder: JobFolder) -> None:
    reports = Reports(folder)
    reports.add([make_outcome(1, 'ValueError: "a",\nb' + "x" * 5000)])
    reports.finish("Completed")
    lines = (folder.system_logs / "job_report" / "processed_mini-batches.csv").read_text().splitlines()
    assert len(lines) == 2
    assert next(csv.DictReader(lines))["Error Message"].startswith('ValueError: "a", bxxx')
