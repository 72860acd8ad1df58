from __future__ import annotations

from bisect import bisect_left

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.planning.step_times import (
    Remedy,
    Serving,
    StepTimes,
    choose_remedies,
    is_notable,
    shares,
)

BOUNDS = (0.001, 0.0016, 0.0025, 0.004, 0.0063, 0.01)
ONE = Serving(max_concurrent=1, is_joining=False)


def make_times(*values: float) -> StepTimes:
    counts = [0] * (len(BOUNDS) + 1)
    for value in values:
        counts[bisect_left(BOUNDS, value)] += 1
    return StepTimes(BOUNDS, counts, sum(values))


@given(st.lists(st.floats(0.001, 0.01), min_size=1), st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_in_the_bucket_of_the_true_one(values: list[float], share: float) -> None:
    ordered = sorted(values)
    true = ordered[max(0, -(-int(share * 100) * len(ordered) // 100) - 1)]
    index = bisect_left(BOUNDS, true)
    assert (BOUNDS[index - 1] if index else 0.0) <= make_times(*values).quantile(share) <= BOUNDS[index]


def test_quantiles_beyond_the_last_bound_are_that_bound() -> None:
    assert make_times(5.0, 7.0).quantile(0.5) == 0.01


def test_without_values_there_is_no_time() -> None:
    times = {"run": make_times(), "queue": make_times()}
    assert times["run"].quantile(0.99) == 0.0
    assert shares(times) == {"run": 0.0, "queue": 0.0}
    assert not is_notable(times)


def test_shares_add_up() -> None:
    found = shares({"queue": make_times(0.003), "run": make_times(0.001)})
    assert found == pytest.approx({"queue": 0.75, "run": 0.25})


@pytest.mark.parametrize(("run_s", "expected"), [(0.0002, False), (0.004, True)])
def test_only_what_can_be_felt_is_notable(run_s: float, expected: bool) -> None:
    assert is_notable({"queue": make_times(0.0001, 0.0001), "run": make_times(run_s, run_s)}) is expected


def test_a_run_that_computes_is_joined_or_made_faster() -> None:
    assert choose_remedies("run", ONE, run_s=10, cpu_s=9) == (Remedy.MICRO_BATCHING, Remedy.FASTER_MODEL)


def test_a_run_that_waits_gets_threads_first() -> None:
    assert choose_remedies("run", ONE, run_s=10, cpu_s=1)[0] is Remedy.RUN_THREADS
    assert choose_remedies("queue", ONE, run_s=10, cpu_s=1)[0] is Remedy.RUN_THREADS


def test_what_is_on_already_is_not_suggested() -> None:
    joining = Serving(max_concurrent=16, is_joining=True)
    assert Remedy.MICRO_BATCHING not in choose_remedies("queue", joining, run_s=10, cpu_s=9)
    assert choose_remedies("queue", joining, run_s=10, cpu_s=9) == (Remedy.INSTANCES,)


def test_joining_with_one_request_at_a_time_needs_more_of_them() -> None:
    stuck = Serving(max_concurrent=1, is_joining=True)
    assert Remedy.CONCURRENCY in choose_remedies("queue", stuck, run_s=10, cpu_s=9)


@pytest.mark.parametrize(("step", "remedy"), [("decode", Remedy.SMALLER_BODIES), ("encode", Remedy.SMALLER_ANSWERS)])
def test_bodies_and_answers_are_made_smaller(step: str, remedy: Remedy) -> None:
    assert choose_remedies(step, ONE, run_s=1, cpu_s=1) == (remedy,)
