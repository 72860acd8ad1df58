"""The picture of a job that runs: a rate from the first known moment, lines that fit."""

from __future__ import annotations

import pytest

from mlctl.cli.following import Pace, lay_out


def test_a_rate_begins_with_the_first_moment_that_is_known() -> None:
    pace = Pace()
    for progress in ({}, {"updated_at": 1_800_000_000.0, "items_done": 100}):
        pace.note(progress)
    assert pace.per_second == 0.0
    pace.note({"updated_at": 1_800_000_002.0, "items_done": 300})
    assert pace.per_second == 100.0


PARTS = ["retried 0", "failed rows 0", "worker 1 ● mini-batch 0", "worker 2 ● mini-batch 1,001", "worker 3 ○ waiting"]


def test_parts_stand_in_one_line_where_they_fit() -> None:
    assert lay_out(PARTS, 200) == [" " * 10 + "   ".join(PARTS)]


@pytest.mark.parametrize("width", [50, 80, 110])
def test_no_part_is_cut_and_no_line_is_longer_than_the_terminal(width: int) -> None:
    lines = lay_out(PARTS, width)
    assert len(lines) > 1
    assert max(map(len, lines)) <= width
    assert [part for line in lines for part in line.strip().split("   ")] == PARTS


def test_a_part_that_is_wider_than_the_terminal_has_a_line_of_its_own() -> None:
    assert lay_out(["short", "x" * 60, "short"], 40) == [" " * 10 + part for part in ("short", "x" * 60, "short")]
