"""`mlctl schedule`: jobs and batch invocations at set times."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli import render, schedule_view
from mlctl.cli.options import (
    GLOBALS,
    Add,
    ForceString,
    MaxResults,
    NoWait,
    OptionalName,
    Remove,
    RequiredFile,
    Set,
)
from mlctl.cli.state import current
from mlctl.ops import schedules

app = typer.Typer(
    help="Schedules: batch invocations and jobs at set times, started by the daemon.",
    rich_markup_mode=None,
    add_completion=False,
)


def complete_schedules(incomplete: str) -> list[str]:
    """Complete the names of schedules, for the shell."""
    from mlctl.ops.completion import list_schedules

    return [name for name in list_schedules() if name.lower().startswith(incomplete.lower())]


ScheduleName = Annotated[
    str,
    typer.Option("--name", "-n", help="Name of the schedule.", show_default=False, autocompletion=complete_schedules),
]


@app.command(epilog=GLOBALS)
def create(file: RequiredFile, name: OptionalName = None, set_: Set = None, no_wait: NoWait = False) -> None:
    """Create a schedule and start the daemon that runs it; one of that name is overwritten.

    Example: mlctl schedule create -f nightly.yml
    """
    state = current()
    result = schedules.create(state.session, file=file, name=name, overrides=state.overrides, waits=not no_wait)
    state.emit(None if no_wait else result.document, lambda: schedule_view.show_schedule(result))


@app.command(epilog=GLOBALS)
def show(name: ScheduleName) -> None:
    """Show a schedule: when it runs next, how its last runs ended.

    Example: mlctl schedule show -n nightly-scores
    """
    state = current()
    result = schedules.show(state.session, name)
    state.emit(result.document, lambda: schedule_view.show_schedule(result))


@app.command("list", epilog=GLOBALS)
def list_(
    include_disabled: Annotated[
        bool, typer.Option("--include-disabled", help="List disabled schedules as well.")
    ] = False,
    disabled_only: Annotated[bool, typer.Option("--disabled-only", help="List disabled schedules only.")] = False,
    max_results: MaxResults = None,
) -> None:
    """List the schedules that are enabled.

    Example: mlctl schedule list --include-disabled -o table
    """
    state = current()
    results = schedules.list_all(
        state.session, include_disabled=include_disabled, disabled_only=disabled_only, max_results=max_results
    )
    state.emit([result.document for result in results], lambda: schedule_view.show_schedules(results))


@app.command(epilog=GLOBALS)
def update(
    name: ScheduleName,
    set_: Set = None,
    add: Add = None,
    remove: Remove = None,
    force_string: ForceString = False,
    no_wait: NoWait = False,
) -> None:
    """Change a schedule; what would have been due before is not run.

    Example: mlctl schedule update -n nightly-scores --set trigger.expression="0 4 * * *"
    """
    state = current()
    result = schedules.update(
        state.session, name, operations=state.operations, forces_text=force_string, waits=not no_wait
    )
    state.emit(None if no_wait else result.document, lambda: schedule_view.show_schedule(result))


@app.command(epilog=GLOBALS)
def enable(name: ScheduleName, no_wait: NoWait = False) -> None:
    """Let a schedule run from now on; what was due while it was disabled is not run.

    Example: mlctl schedule enable -n nightly-scores
    """
    state = current()
    result = schedules.set_enabled(state.session, name, is_enabled=True, waits=not no_wait)
    state.emit(None if no_wait else result.document, lambda: schedule_view.show_schedule(result))


@app.command(epilog=GLOBALS)
def disable(name: ScheduleName, no_wait: NoWait = False) -> None:
    """Let a schedule run no more; a job that runs goes on.

    Example: mlctl schedule disable -n nightly-scores
    """
    state = current()
    result = schedules.set_enabled(state.session, name, is_enabled=False)
    state.emit(None if no_wait else result.document, lambda: schedule_view.show_schedule(result))


@app.command(epilog=GLOBALS)
def trigger(name: ScheduleName) -> None:
    """Start a schedule's job now, beside its own times.

    Example: mlctl schedule trigger -n nightly-scores --query job_name -o tsv
    """
    state = current()
    document = schedules.trigger(state.session, name)
    job = document["job_name"]
    state.emit(document, lambda: render.say(f"job {job} is started", f"follow it   mlctl job stream -n {job}"))


@app.command(epilog=GLOBALS)
def delete(name: ScheduleName, no_wait: NoWait = False) -> None:
    """Delete a schedule, which has to be disabled before; its jobs stay.

    Example: mlctl schedule delete -n nightly-scores
    """
    state = current()
    if schedules.delete(state.session, name):
        state.emit(None, lambda: render.say(f"schedule {name} is deleted, its jobs stay: mlctl job list"))
