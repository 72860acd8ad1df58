"""What people see of schedules. Wording stands here and in `render` only."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mlctl.cli import render
from mlctl.planning.schedules import find_zone

if TYPE_CHECKING:
    from mlctl.ops.schedules import ScheduleResult


def show_schedule(result: ScheduleResult) -> None:
    """Show a schedule: what it starts, when it runs next, how its last runs ended."""
    document = result.document
    name = document["name"]
    lines = [
        f"{name}   {_state(result)}   {result.words}",
        "",
        f"starts     {result.target}",
        f"next run   {_next_run(result)}",
    ]
    lines += [f"{'last runs' if not index else '':<11}{line}" for index, line in enumerate(_runs(result))]
    lines += ["", f"run it now   mlctl schedule trigger -n {name}"]
    if not document["is_enabled"]:
        lines.append(f"enable it    mlctl schedule enable -n {name}")
    render.say(*lines)


def show_schedules(results: Sequence[ScheduleResult]) -> None:
    """List schedules."""
    if not results:
        render.say("no schedules yet", "create one   mlctl schedule create -f nightly.yml")
        return
    columns = ("schedule", "state", "runs", "next run", "last run")
    render.show_table(
        columns,
        [
            (
                result.document["name"],
                _state(result),
                result.words,
                "–" if result.next_run is None else _moment(result, result.next_run),
                f"{_moment(result, result.runs[0].at)} {result.runs[0].status}" if result.runs else "–",
            )
            for result in results
        ],
    )


def _state(result: ScheduleResult) -> str:
    return "enabled" if result.document["is_enabled"] else "disabled"


def _next_run(result: ScheduleResult) -> str:
    if result.next_run is None:
        return "never" if result.document["is_enabled"] else "none while it is disabled"
    return f"{_moment(result, result.next_run)} (in {_duration(result.next_run - time.time())})"


def _runs(result: ScheduleResult) -> list[str]:
    found = [f"{_moment(result, run.at)}   {run.job}   {_outcome(run.status, run.message)}" for run in result.runs]
    return found or ["none yet"]


def _outcome(status: str, message: str) -> str:
    words = {"failed": "not started", "skipped": "left out"}.get(status, status)
    return f"{words} ({message})" if message else words


def _moment(result: ScheduleResult, at: float) -> str:
    """Show a moment as clocks of the schedule's zone do."""
    return datetime.fromtimestamp(at, find_zone(result.time_zone)).strftime("%Y-%m-%d %H:%M:%S %Z")


def _duration(seconds: float) -> str:
    minutes, hours = max(0, round(seconds / 60)), round(seconds / 3600)
    if seconds < 60:
        return f"{max(0, round(seconds))} s"
    if minutes < 120:
        return f"{minutes} min"
    return f"{hours} h" if hours < 48 else f"{hours // 24} days"
