"""A lease: every mini-batch gets its tries, and of those that fail only the items at fault are lost."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.batch.children import Child, StartFailed, WorkerLost
from mlctl.batch.inputs import MiniBatch
from mlctl.batch.leases import LeaseRunner
from mlctl.errors import InvalidInput

Judge = Callable[[range, int], str | None]


class FakeChild:
    """Fails as it is told: judge gets the rows of a call and its number, "lost" ends the worker."""

    number = 1
    job = "fraud-batch-1"

    def __init__(self, judge: Judge, starts: Sequence[bool] = ()) -> None:
        self._judge = judge
        self._starts = list(starts)
        self.is_running = False
        self.mini_batch: int | None = None
        self.calls: list[range] = []
        self.started = 0

    def start(self) -> None:
        if self._starts and not self._starts.pop(0):
            raise StartFailed("init() failed: ValueError")
        self.is_running = True
        self.started += 1

    def run(self, lease: Sequence[MiniBatch]) -> Iterator[dict[str, Any]]:
        for mini_batch in lease:
            rows = range(mini_batch["start"], mini_batch["start"] + mini_batch["rows"])
            self.calls.append(rows)
            error = self._judge(rows, len(self.calls))
            if error == "lost":
                self.is_running = False
                raise WorkerLost("the worker ended", status="RUN_EXCEPTION")
            reply: dict[str, Any] = {"run_s": 0.1, "total_s": 0.2}
            if error is None:
                reply |= {
                    "part": "p",
                    "offset": rows[0],
                    "length": len(rows),
                    "crc": 0,
                    "items": len(rows),
                    "succeeded": len(rows),
                }
            else:
                stage, _, message = error.partition(":")
                reply["error"] = {"stage": stage, "message": message, "trace": ""}
            yield reply


def lease(count: int, size: int) -> list[MiniBatch]:
    table = {"origin": "a.csv", "first_row": 0}
    return [{"index": n, "table": table, "start": n * size, "rows": size} for n in range(count)]


def run(child: FakeChild, work: list[MiniBatch], max_retries: int = 0):
    return sorted(LeaseRunner(cast(Child, child), max_retries).run(work), key=lambda outcome: outcome.index)


@given(st.sets(st.integers(0, 99), max_size=3), st.booleans(), st.integers(0, 2))
def test_only_rows_at_fault_are_lost_and_the_rest_keeps_its_order(
    guilty: set[int], is_deadly: bool, tries: int
) -> None:
    fault = "lost" if is_deadly else "run:no"
    child = FakeChild(lambda rows, call: fault if guilty & set(rows) else None)
    outcomes = run(child, lease(2, 50), tries)
    assert [bad.row for outcome in outcomes for bad in outcome.bad] == sorted(guilty)
    kept = [
        row
        for outcome in outcomes
        for piece in outcome.pieces
        for row in range(piece.offset, piece.offset + piece.length)
    ]
    assert kept == [row for row in range(100) if row not in guilty]
    assert sum(outcome.succeeded for outcome in outcomes) == 100 - len(guilty)


def test_a_mini_batch_that_succeeds_on_its_last_try_loses_nothing() -> None:
    child = FakeChild(lambda rows, call: "run:no" if call < 4 else None)
    (outcome,) = run(child, lease(1, 10), max_retries=3)
    assert (outcome.succeeded, len(outcome.tries), len(child.calls)) == (10, 4, 4)
    assert [attempt[8] for attempt in outcome.tries] == ["RUN_EXCEPTION"] * 3 + ["RUN_DONE"]


def test_a_mini_batch_in_which_all_fails_costs_few_calls_and_few_words() -> None:
    child = FakeChild(lambda rows, call: "run:no")
    (outcome,) = run(child, lease(1, 100_000), max_retries=1)
    assert outcome.succeeded == 0
    assert sum(bad.rows for bad in outcome.bad) == 100_000
    assert len(child.calls) < 200
    assert len(outcome.bad) < 200


def test_a_lost_worker_is_replaced_and_the_lease_goes_on() -> None:
    child = FakeChild(lambda rows, call: "lost" if call == 2 else None)
    outcomes = run(child, lease(4, 5), max_retries=1)
    assert [outcome.succeeded for outcome in outcomes] == [5] * 4
    assert child.started == 2
    assert child.calls.count(range(5, 10)) == 2
    assert child.calls.count(range(0, 5)) == 1


def test_three_starts_in_a_row_that_fail_end_the_job() -> None:
    with pytest.raises(StartFailed, match="init"):
        run(FakeChild(lambda rows, call: None, [False, False, False]), lease(1, 1))
    assert run(FakeChild(lambda rows, call: None, [False, False, True]), lease(1, 1))[0].succeeded == 1


def test_rows_that_cannot_be_read_are_not_called_failed_items() -> None:
    with pytest.raises(InvalidInput, match=r"cannot read a\.csv rows 0 to 9: OSError"):
        run(FakeChild(lambda rows, call: "load:OSError: gone"), lease(1, 10), max_retries=2)


def test_a_full_disk_fails_no_item() -> None:
    with pytest.raises(OSError, match="no space left"):
        run(FakeChild(lambda rows, call: "disk:OSError" if call == 3 else None), lease(9, 10), max_retries=5)
