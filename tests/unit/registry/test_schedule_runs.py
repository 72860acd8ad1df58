"""What became of each time of a schedule, as the registry keeps it."""

from __future__ import annotations

import pytest

from mlctl.registry import schedules
from mlctl.registry.schedules import KEPT_RUNS, ScheduleRow
from mlctl.registry.store import Store


@pytest.fixture
def row(store: Store) -> ScheduleRow:
    return schedules.put_schedule(store, workspace="local", name="nightly", spec={"a": 1}, folder="/w")


def list_states(store: Store) -> list[tuple[int, str]]:
    return [(run.due_at, run.state) for run in schedules.list_runs(store, "local", "Nightly", limit=10)]


def test_an_instant_is_claimed_once(store: Store, row: ScheduleRow):
    assert schedules.claim_run(store, row, job="nightly-1", due_at=1)
    assert not schedules.claim_run(store, row, job="nightly-1", due_at=1)
    assert schedules.claim_run(store, row, job="nightly-2", due_at=2, state="skipped")
    assert list_states(store) == [(2, "skipped"), (1, "starting")]


def test_a_claimed_run_is_unsettled_until_it_is_said_how_it_went(store: Store, row: ScheduleRow):
    schedules.claim_run(store, row, job="nightly-1", due_at=1)
    schedules.claim_run(store, row, job="by-hand", due_at=1, is_triggered=True)
    (run,) = schedules.list_unsettled(store)
    schedules.settle_run(store, run, state="failed", message="why")
    assert schedules.list_unsettled(store) == []
    assert ("failed", "why") in [
        (run.state, run.message) for run in schedules.list_runs(store, "local", "nightly", limit=10)
    ]


@pytest.mark.parametrize("change", ["disabled", "written anew", "deleted"])
def test_nothing_is_claimed_of_what_has_changed(store: Store, row: ScheduleRow, change: str):
    if change == "disabled":
        schedules.set_enabled(store, "local", "nightly", is_enabled=False)
    elif change == "written anew":
        schedules.put_schedule(store, workspace="local", name="nightly", spec={"a": 2}, folder="/w")
    else:
        schedules.remove_schedule(store, "local", "nightly")
    assert not schedules.claim_run(store, row, job="nightly-1", due_at=1)
    schedules.set_decided(store, row, 5)
    found = schedules.find_schedule(store, "local", "nightly")
    assert found is None or found.decided_until != 5


def test_runs_go_with_their_schedule(store: Store, row: ScheduleRow):
    schedules.claim_run(store, row, job="nightly-1", due_at=1)
    schedules.remove_schedule(store, "local", "nightly")
    schedules.put_schedule(store, workspace="local", name="nightly", spec={}, folder="/w")
    assert list_states(store) == []


def test_to_enable_what_is_enabled_decides_nothing(store: Store, row: ScheduleRow):
    schedules.set_decided(store, row, 5)
    schedules.set_enabled(store, "local", "nightly", is_enabled=True)
    assert schedules.get_schedule(store, "local", "nightly").decided_until == 5
    schedules.set_enabled(store, "local", "nightly", is_enabled=False)
    assert schedules.get_schedule(store, "local", "nightly").decided_until > 5
    assert not schedules.has_any(store)


def test_only_the_newest_runs_are_kept(store: Store, row: ScheduleRow):
    with store.transaction():
        for instant in range(KEPT_RUNS + 20):
            schedules.claim_run(store, row, job=f"nightly-{instant}", due_at=instant, state="started")
    schedules.set_decided(store, row, 5)
    found = schedules.list_runs(store, "local", "nightly", limit=2 * KEPT_RUNS)
    assert (len(found), min(run.due_at for run in found)) == (KEPT_RUNS + 1, 19)
