"""When schedules run: expressions, patterns, zones, the changes of clocks, and what is due."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlctl.errors import InvalidInput
from mlctl.planning.schedules import MissedRuns, describe_trigger, find_due, find_next_run, list_runs

BERLIN = "W. Europe Standard Time"
HOUR, DAY = 3600, 86_400


def at(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp())


def show(instants: list[int], zone: str = "UTC") -> list[str]:
    return [datetime.fromtimestamp(found, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M") for found in instants]


def cron(expression: str, **more: Any) -> dict[str, Any]:
    return {"type": "cron", "expression": expression, **more}


def every(frequency: str, interval: int = 1, **more: Any) -> dict[str, Any]:
    return {"type": "recurrence", "frequency": frequency, "interval": interval, **more}


def runs(trigger: dict[str, Any], after: str, count: int = 3, zone: str = "UTC") -> list[str]:
    return show(list_runs(trigger, after=at(after, zone), created_at=at("2026-01-01T00:00:00"), count=count), zone)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("15 16 * * 1", ["2026-03-02 16:15", "2026-03-09 16:15", "2026-03-16 16:15"]),
        ("15 16 * * mon", ["2026-03-02 16:15", "2026-03-09 16:15", "2026-03-16 16:15"]),
        ("0 0 * * 7", ["2026-03-01 00:00", "2026-03-08 00:00", "2026-03-15 00:00"]),
        ("0 6 1 * *", ["2026-03-01 06:00", "2026-04-01 06:00", "2026-05-01 06:00"]),
        ("0 6 31 * *", ["2026-03-31 06:00", "2026-05-31 06:00", "2026-07-31 06:00"]),
        ("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00", "2036-02-29 00:00"]),
        ("*/20 9 * * *", ["2026-02-28 09:00", "2026-02-28 09:20", "2026-02-28 09:40"]),
        ("0 9-11 * jan,jul 2", ["2026-07-07 09:00", "2026-07-07 10:00", "2026-07-07 11:00"]),
    ],
)
def test_a_cron_expression_has_these_times(expression: str, expected: list[str]):
    assert runs(cron(expression), "2026-02-28T00:00:00") == expected


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 2,4 *"])
def test_an_expression_that_never_comes_has_no_times(expression: str):
    assert runs(cron(expression), "2026-02-28T00:00:00") == []


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        (every("minute", 90), ["2026-03-01 10:30", "2026-03-01 12:00", "2026-03-01 13:30"]),
        (every("hour", 6), ["2026-03-01 15:00", "2026-03-01 21:00", "2026-03-02 03:00"]),
        (every("day", 2), ["2026-03-03 09:00", "2026-03-05 09:00", "2026-03-07 09:00"]),
        (every("week", 2), ["2026-03-15 09:00", "2026-03-29 09:00", "2026-04-12 09:00"]),
        (every("month"), ["2026-04-01 09:00", "2026-05-01 09:00", "2026-06-01 09:00"]),
        (every("month", 12), ["2027-03-01 09:00", "2028-03-01 09:00", "2029-03-01 09:00"]),
        (
            every("day", schedule={"hours": [18, 6], "minutes": [30, 0]}),
            ["2026-03-01 18:00", "2026-03-01 18:30", "2026-03-02 06:00"],
        ),
        (
            every("week", 2, schedule={"hours": [6], "minutes": [0], "week_days": ["friday", "monday"]}),
            ["2026-03-09 06:00", "2026-03-13 06:00", "2026-03-23 06:00"],
        ),
        (
            every("month", schedule={"hours": [6], "minutes": [0], "month_days": [31, 15]}),
            ["2026-03-15 06:00", "2026-03-31 06:00", "2026-04-15 06:00"],
        ),
        (
            every("month", schedule={"hours": [6], "minutes": [0], "month_days": [13], "week_days": ["friday"]}),
            ["2026-03-13 06:00", "2026-11-13 06:00", "2027-08-13 06:00"],
        ),
        (
            every("day", schedule={"hours": [6], "minutes": [0], "week_days": ["saturday"]}),
            ["2026-03-07 06:00", "2026-03-14 06:00", "2026-03-21 06:00"],
        ),
    ],
)
def test_a_recurrence_has_these_times(trigger: dict[str, Any], expected: list[str]):
    # A Sunday.
    assert runs({**trigger, "start_time": "2026-03-01T09:00:00"}, "2026-03-01T09:00:00") == expected


def test_the_31st_is_left_out_in_shorter_months():
    trigger = every("month", start_time="2026-01-31T06:00:00")
    assert runs(trigger, "2026-01-01T00:00:00") == ["2026-01-31 06:00", "2026-03-31 06:00", "2026-05-31 06:00"]


def test_a_pattern_that_never_comes_has_no_times():
    pattern = {"hours": [6], "minutes": [0], "month_days": [31]}
    trigger = every("month", 12, schedule=pattern, start_time="2026-02-01T06:00:00")
    assert runs(trigger, "2026-01-01T00:00:00") == []


def test_the_first_run_is_at_the_start():
    trigger = every("hour", start_time="2026-03-01T09:00:00")
    assert runs(trigger, "2026-02-01T00:00:00", 2) == ["2026-03-01 09:00", "2026-03-01 10:00"]


def test_without_a_start_it_counts_from_its_creation():
    created = at("2026-03-01T09:00:00") + 0.5
    found = list_runs(every("hour"), after=created, created_at=created, count=2)
    assert found == [at("2026-03-01T09:00:01"), at("2026-03-01T10:00:01")]


def test_nothing_comes_after_the_end_which_is_part_of_it():
    trigger = cron("0 * * * *", end_time="2026-03-01T11:00:00")
    assert runs(trigger, "2026-03-01T09:30:00", 9) == ["2026-03-01 10:00", "2026-03-01 11:00"]
    assert find_next_run(trigger, after=at("2026-03-01T11:00:00"), created_at=0) is None


def test_a_cron_start_may_be_an_instant_itself():
    trigger = cron("0 * * * *", start_time="2026-03-01T11:00:00")
    assert runs(trigger, "2026-01-01T00:00:00", 2) == ["2026-03-01 11:00", "2026-03-01 12:00"]


def test_a_start_with_an_offset_is_not_in_the_zone():
    trigger = cron("0 6 * * *", start_time="2026-03-01T05:30:00-04:00", time_zone=BERLIN)
    assert runs(trigger, "2026-01-01T00:00:00", 1, "Europe/Berlin") == ["2026-03-02 06:00"]


# Berlin: from 02:00 to 03:00 on 2026-03-29, from 03:00 back to 02:00 on 2026-10-25.


@pytest.mark.parametrize(
    "trigger",
    [
        cron("30 2 * * *", time_zone=BERLIN),
        every("day", schedule={"hours": [2], "minutes": [30]}, time_zone=BERLIN, start_time="2026-01-01T00:00:00"),
        every("day", time_zone=BERLIN, start_time="2026-01-01T02:30:00"),
    ],
)
class TestChangesOfClocks:
    def test_a_time_that_is_skipped_runs_when_it_has_been(self, trigger: dict[str, Any]):
        found = runs(trigger, "2026-03-28T00:00:00", 3, "Europe/Berlin")
        assert found == ["2026-03-28 02:30", "2026-03-29 03:00", "2026-03-30 02:30"]

    def test_a_time_that_comes_twice_runs_once(self, trigger: dict[str, Any]):
        found = list_runs(trigger, after=at("2026-10-25T00:00:00"), created_at=at("2026-01-01T00:00:00"), count=2)
        # The first one is in summer time.
        assert show(found) == ["2026-10-25 00:30", "2026-10-26 01:30"]


@pytest.mark.parametrize("trigger", [cron("0 * * * *", time_zone=BERLIN), every("hour", time_zone=BERLIN)])
@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_every_hour_is_every_hour_whatever_clocks_show(trigger: dict[str, Any], day: str):
    found = list_runs(trigger, after=at(f"{day}T00:00:00") - HOUR, created_at=at("2026-01-01T00:00:00") - 1, count=8)
    assert {later - earlier for earlier, later in itertools.pairwise(found)} == {HOUR}


def test_several_times_in_the_gap_are_one_run():
    pattern = {"hours": [2, 3], "minutes": [0, 30]}
    trigger = every("day", schedule=pattern, time_zone=BERLIN, start_time="2026-01-01T00:00:00")
    found = runs(trigger, "2026-03-29T00:00:00", 3, "Europe/Berlin")
    assert found == ["2026-03-29 03:00", "2026-03-29 03:30", "2026-03-30 02:00"]


def test_a_day_that_a_zone_left_out_does_not_stop_it():
    # Samoa went from the 29th to the 31st of December 2011.
    trigger = every("day", time_zone="Pacific/Apia", start_time="2011-12-28T06:00:00")
    found = runs(trigger, "2011-12-28T00:00:00", 4, "Pacific/Apia")
    assert found == ["2011-12-28 06:00", "2011-12-29 06:00", "2011-12-31 00:00", "2011-12-31 06:00"]


def test_an_unknown_zone_is_told():
    with pytest.raises(InvalidInput, match="no time zone"):
        list_runs(cron("0 6 * * *", time_zone="Europe/Berlinn"), after=0, created_at=0, count=1)


@st.composite
def triggers(draw: st.DrawFn) -> dict[str, Any]:
    zone = draw(st.sampled_from(["UTC", BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]))
    if draw(st.booleans()):
        minute, hour = (
            draw(st.sampled_from(["0", "*/7", "30", "1,59"])),
            draw(st.sampled_from(["*", "2", "*/5", "1-3"])),
        )
        return cron(f"{minute} {hour} * * {draw(st.sampled_from(['*', '0', '1-5']))}", time_zone=zone)
    frequency = draw(st.sampled_from(["minute", "hour", "day", "week", "month"]))
    trigger = every(frequency, draw(st.integers(1, 5)), time_zone=zone, start_time="2026-01-31T02:30:15")
    if frequency in ("day", "week", "month") and draw(st.booleans()):
        hours = st.lists(st.integers(0, 23), min_size=1, max_size=3)
        trigger["schedule"] = {"hours": draw(hours), "minutes": draw(st.sampled_from([[0], [15, 45]]))}
    return trigger


MOMENTS = st.integers(at("2026-01-01T00:00:00"), at("2027-12-31T00:00:00"))


@settings(max_examples=60, deadline=None)
@given(triggers(), MOMENTS)
def test_times_rise_and_do_not_depend_on_where_one_looks_from(trigger: dict[str, Any], after: int):
    found = list_runs(trigger, after=after, created_at=at("2026-01-01T00:00:00"), count=12)
    assert found == sorted(set(found))
    assert all(instant > after for instant in found)
    for index, instant in enumerate(found[:-1]):
        for moment in (instant, instant + 0.5):
            assert find_next_run(trigger, after=moment, created_at=at("2026-01-01T00:00:00")) == found[index + 1]


@settings(max_examples=50, deadline=None)
@given(triggers(), MOMENTS, st.lists(st.integers(1, 5 * HOUR), min_size=1, max_size=12))
def test_however_often_one_looks_each_time_is_decided_once(trigger: dict[str, Any], begin: int, steps: list[int]):
    created_at = at("2026-01-01T00:00:00")
    decided: list[int] = []
    since, now = float(begin), float(begin)
    for step in steps:
        now += step
        due = find_due(trigger, since=since, now=now, created_at=created_at)
        decided += [*due.missed, *([due.run_at] if due.run_at is not None else [])]
        since = now
    expected = [found for found in list_runs(trigger, after=begin, created_at=created_at, count=2000) if found <= now]
    assert decided == expected


# What is due. Every hour on the hour.

HOURLY = cron("0 * * * *")
NOON = at("2026-03-01T12:00:00")


def due(since: float, now: float, **policy: Any) -> tuple[int | None, bool, int]:
    found = find_due(HOURLY, since=since, now=now, created_at=0, policy=MissedRuns(**policy))
    return found.run_at, found.is_late, len(found.missed)


def test_nothing_is_due_between_two_times():
    assert due(NOON, NOON + HOUR - 1) == (None, False, 0)


def test_what_is_due_is_on_time_for_a_minute():
    assert due(NOON - 1, NOON) == (NOON, False, 0)
    assert due(NOON - 1, NOON + 60, catches_up=False) == (NOON, False, 0)


def test_a_missed_run_is_caught_up_on_once():
    assert due(NOON - 1, NOON + 61) == (NOON, True, 0)
    assert due(NOON - 5 * HOUR - 1, NOON + 61) == (NOON, True, 5)


def test_a_missed_run_can_be_left_out():
    assert due(NOON - 1, NOON + 61, catches_up=False) == (None, False, 1)


def test_a_run_that_is_too_old_is_left_out():
    daily = cron("0 12 * * *")
    found = find_due(daily, since=NOON - 1, now=NOON + DAY - 1, created_at=0)
    assert (found.run_at, found.is_late) == (NOON, True)
    found = find_due(daily, since=NOON - 1, now=NOON + 7201, created_at=0, policy=MissedRuns(within_s=7200))
    assert (found.run_at, found.missed) == (None, (NOON,))


def test_a_year_away_is_not_counted_minute_by_minute():
    found = find_due(cron("* * * * *"), since=NOON - 365 * DAY, now=NOON, created_at=0)
    assert found.run_at == NOON
    assert len(found.missed) == DAY / 60


def test_a_clock_that_was_set_back_makes_nothing_due():
    assert due(NOON, NOON - 7 * DAY) == (None, False, 0)


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        (cron("0 6 * * 1", time_zone=BERLIN), "cron 0 6 * * 1 (W. Europe Standard Time)"),
        (every("day"), "every day (UTC)"),
        (every("hour", 6), "every 6 hours (UTC)"),
        (
            every("week", schedule={"hours": [18, 6], "minutes": [30], "week_days": ["monday", "friday"]}),
            "every week on monday, friday at 06:30, 18:30 (UTC)",
        ),
        (
            every("month", schedule={"hours": [6], "minutes": [0], "month_days": [1, 15]}),
            "every month on day 1, 15 at 06:00 (UTC)",
        ),
    ],
)
def test_a_trigger_is_told_in_words(trigger: dict[str, Any], words: str):
    assert describe_trigger(trigger) == words


def test_far_ahead_there_is_an_end():
    late = datetime(9999, 12, 30, tzinfo=UTC) - timedelta(days=1)
    found = list_runs(every("month", start_time="2026-01-01T00:00:00"), after=late.timestamp(), created_at=0, count=5)
    assert found == []
