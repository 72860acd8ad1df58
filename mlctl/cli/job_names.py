"""How the commands of jobs are told which one: by option, as in az, or by the name as it is."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.errors import UsageError


def complete_jobs(incomplete: str) -> list[str]:
    """Complete the names of jobs, for the shell."""
    from mlctl.ops.completion import list_jobs

    return [name for name in list_jobs() if name.startswith(incomplete)]


JobName = Annotated[
    str | None,
    typer.Option("--name", "-n", help="Name of the job.", show_default=False, autocompletion=complete_jobs),
]
JobArgument = Annotated[str | None, typer.Argument(help="Name of the job, too.", show_default=False)]


def choose(name: str | None, argument: str | None) -> str:
    """Return the one name that was given, by option or as it is."""
    if name and argument and name != argument:
        raise UsageError(f"two jobs are named: {name} and {argument}")
    chosen = name or argument
    if not chosen:
        raise UsageError("the following arguments are required: --name/-n", hint="mlctl job list")
    return chosen
