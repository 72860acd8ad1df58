"""When a schedule runs: the instants of a trigger, and which of them are due. Used by `ops` and the jobs service.

Instants are whole epoch seconds. Clocks that are put forward skip no run: what falls into the gap runs at its end.
Clocks that are put back repeat none: what happens twice runs the first time only. Intervals of minutes and hours are
time that passes, whatever clocks show; so are cron expressions with a star for the minute or the hour.
"""

from __future__ import annotations

import calendar
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from mlctl.entities.stored import read_map
from mlctl.entities.time_zones import to_iana
from mlctl.errors import InvalidInput

# Late by no more than this is on time: the service was busy.
ON_TIME_S = 60
_STEPS_S = {"minute": 60, "hour": 3600}
_WEEK_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
# Then a pattern is one that never comes: the 31st of every twelfth month, from a February on.
_MOST_PERIODS = 4000


@dataclass(frozen=True)
class MissedRuns:
    """What becomes of runs that were due while nobody looked. catches_up: the last of them is run late, once.

    within_s: if it is no older than this.
    """

    catches_up: bool = True
    within_s: int = 24 * 3600


@dataclass(frozen=True)
class Due:
    """What is to be done now. run_at: the instant to run for. missed: instants that are not run for any more.

    is_late: it was missed, and is caught up on. The instants of `missed` are as many as were looked at.
    """

    run_at: int | None
    is_late: bool
    missed: tuple[int, ...]


def find_zone(name: str) -> tzinfo:
    """Return a time zone by Azure's name or the IANA's; InvalidInput for one that is not there."""
    iana = to_iana(name)
    if iana.upper() == "UTC":
        return UTC
    try:
        return ZoneInfo(iana)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise InvalidInput(f'trigger.time_zone: there is no time zone "{name}"', hint="for example UTC") from None


def list_runs(trigger: Mapping[str, Any], *, after: float, created_at: float, count: int) -> list[int]:
    """Return the next instants after a moment, at most so many."""
    return list(islice(iterate_runs(trigger, after=after, created_at=created_at), count))


def find_next_run(trigger: Mapping[str, Any], *, after: float, created_at: float) -> int | None:
    """Return the next instant after a moment; None: there is none any more."""
    return next(iterate_runs(trigger, after=after, created_at=created_at), None)


def iterate_runs(trigger: Mapping[str, Any], *, after: float, created_at: float) -> Iterator[int]:
    """Yield the instants after a moment, in order.

    created_at: stands for a start_time that is not given, as in Azure.
    """
    zone = find_zone(str(trigger.get("time_zone") or "UTC"))
    start = _read_moment(trigger.get("start_time"), zone)
    end = _read_moment(trigger.get("end_time"), zone)
    if trigger["type"] == "cron":
        found = _iterate_cron(str(trigger["expression"]), zone, after if start is None else max(after, start - 1))
    else:
        anchor = int(created_at) + 1 if start is None else start
        found = _iterate_recurrence(trigger, zone, after, anchor)
    last = int(after)
    for instant in found:
        if end is not None and instant > end:
            return
        if instant > last and instant > after:
            yield instant
            last = instant


def find_due(
    trigger: Mapping[str, Any], *, since: float, now: float, created_at: float, policy: MissedRuns = MissedRuns()
) -> Due:
    """Say what is to be done now, when everything up to `since` is decided."""
    window = max(since, now - max(policy.within_s, ON_TIME_S))
    oldest = find_next_run(trigger, after=since, created_at=created_at)
    if oldest is None or oldest > now:
        return Due(None, False, ())
    too_old = () if oldest > window else (oldest,)
    due: list[int] = []
    for instant in iterate_runs(trigger, after=window, created_at=created_at):
        if instant > now:
            break
        due.append(instant)
    if not due:
        return Due(None, False, too_old)
    is_late = now - due[-1] > ON_TIME_S
    if is_late and not (policy.catches_up and now - due[-1] <= policy.within_s):
        return Due(None, False, (*too_old, *due))
    return Due(due[-1], is_late, (*too_old, *due[:-1]))


def _read_moment(text: Any, zone: tzinfo) -> int | None:
    """Return a moment in epoch seconds; one without an offset is in the zone."""
    if text is None:
        return None
    moment = datetime.fromisoformat(str(text))
    return int(moment.timestamp()) if moment.tzinfo is not None else _to_instant(moment, zone)


def _to_instant(local: datetime, zone: tzinfo) -> int:
    """Return when clocks show a time: the first time, or, if they skip it, when they have skipped it."""
    moment = local.replace(microsecond=0, tzinfo=zone, fold=0)
    while moment.astimezone(UTC).astimezone(zone).replace(tzinfo=None) != moment.replace(tzinfo=None):
        moment = (moment.replace(tzinfo=None) + timedelta(minutes=1)).replace(second=0, tzinfo=zone)
    return int(moment.timestamp())


def _iterate_cron(expression: str, zone: tzinfo, after: float) -> Iterator[int]:
    from cronsim import CronSim, CronSimError

    begin = datetime.fromtimestamp(int(after), zone)
    try:
        found = CronSim(expression, begin)
    except CronSimError:
        # A 30th of February, say: it is well written, and never comes.
        return
    for moment in found:
        yield int(moment.timestamp())


def _iterate_recurrence(trigger: Mapping[str, Any], zone: tzinfo, after: float, anchor: int) -> Iterator[int]:
    frequency, interval = str(trigger["frequency"]), int(trigger["interval"])
    if frequency in _STEPS_S:
        step_s = _STEPS_S[frequency] * interval
        first = max(0, int((after - anchor) // step_s) + 1)
        for number in _count_from(first):
            yield anchor + number * step_s
        return
    local = datetime.fromtimestamp(anchor, zone).replace(tzinfo=None)
    pattern = read_map(trigger, "schedule")
    times = _list_times(pattern, local)
    looked_from = datetime.fromtimestamp(max(after, anchor), zone).date()
    for day in _iterate_days(frequency, interval, pattern, local.date(), looked_from):
        for moment in times:
            instant = _to_instant(datetime.combine(day, moment), zone)
            if instant >= anchor:
                yield instant


def _count_from(first: int) -> Iterator[int]:
    number = first
    while True:
        yield number
        number += 1


def _list_times(pattern: Mapping[str, Any], start: datetime) -> list[time]:
    if not pattern:
        return [start.time()]
    return sorted({time(hour, minute) for hour in pattern["hours"] for minute in pattern["minutes"]})


def _iterate_days(
    frequency: str, interval: int, pattern: Mapping[str, Any], start: date, looked_from: date
) -> Iterator[date]:
    """Yield the days of a pattern, in order, from a little before `looked_from` on."""
    empty = 0
    for number in _count_from(max(0, _count_periods(frequency, start, looked_from) // interval - 1)):
        try:
            days = _list_days(frequency, number * interval, pattern, start)
        except OverflowError:
            return
        yield from days
        empty = 0 if days else empty + 1
        if empty > _MOST_PERIODS:
            return


def _count_periods(frequency: str, start: date, end: date) -> int:
    if frequency == "month":
        return (end.year - start.year) * 12 + end.month - start.month
    days = (end - start).days
    return days if frequency == "day" else days // 7


def _list_days(frequency: str, offset: int, pattern: Mapping[str, Any], start: date) -> list[date]:
    """Return the days of the period that lies so many days, weeks or months after the first one."""
    week_days, month_days = pattern.get("week_days"), pattern.get("month_days")
    if frequency == "day":
        days = [start + timedelta(days=offset)]
    elif frequency == "week":
        monday = start - timedelta(days=start.weekday()) + timedelta(weeks=offset)
        days = [monday + timedelta(days=number) for number in range(7)]
        if week_days is None and month_days is None:
            return [days[start.weekday()]]
    else:
        days = _list_month(start, offset)
        if week_days is None and month_days is None:
            return [day for day in days if day.day == start.day]
    return [day for day in days if _fits(day, week_days, month_days)]


def _list_month(start: date, offset: int) -> list[date]:
    years, month = divmod(start.month - 1 + offset, 12)
    year = start.year + years
    if year > date.max.year:
        raise OverflowError
    return [date(year, month + 1, day) for day in range(1, calendar.monthrange(year, month + 1)[1] + 1)]


def _fits(day: date, week_days: Sequence[str] | None, month_days: Sequence[int] | None) -> bool:
    is_week_day = week_days is None or _WEEK_DAYS[day.weekday()] in week_days
    return is_week_day and (month_days is None or day.day in month_days)


def describe_trigger(trigger: Mapping[str, Any]) -> str:
    """Say in words when it runs."""
    zone = str(trigger.get("time_zone") or "UTC")
    if trigger["type"] == "cron":
        return f"cron {trigger['expression']} ({zone})"
    interval, frequency = int(trigger["interval"]), str(trigger["frequency"])
    words = f"every {frequency}" if interval == 1 else f"every {interval} {frequency}s"
    pattern = read_map(trigger, "schedule")
    if days := pattern.get("week_days"):
        words += f" on {', '.join(days)}"
    if days := pattern.get("month_days"):
        words += f" on day {', '.join(str(day) for day in days)}"
    if pattern:
        times = sorted({(hour, minute) for hour in pattern["hours"] for minute in pattern["minutes"]})
        words += f" at {', '.join(f'{hour:02}:{minute:02}' for hour, minute in times)}"
    return f"{words} ({zone})"
