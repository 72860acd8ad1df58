"""`mlctl compute`: where batch jobs run. Here that is this machine, or a Dask cluster."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli import render
from mlctl.cli.model import read_tags
from mlctl.cli.options import GLOBALS, MaxResults, NoWait, OptionalFile, OptionalName, Set, Tags, Yes
from mlctl.cli.state import current
from mlctl.ops import compute

app = typer.Typer(
    help="Computes: where batch jobs run; this machine, whatever they are called, or a Dask cluster.",
    rich_markup_mode=None,
    add_completion=False,
)

Name = Annotated[str, typer.Option("--name", "-n", help="Name of the compute.", show_default=False)]


@app.command(epilog=GLOBALS)
def create(
    file: OptionalFile = None,
    name: OptionalName = None,
    type_: Annotated[str | None, typer.Option("--type", "-t", help="amlcompute (default), local or dask.")] = None,
    size: Annotated[str | None, typer.Option("--size", help="Size of an instance in Azure; recorded only.")] = None,
    min_instances: Annotated[
        int | None, typer.Option("--min-instances", help="Never fewer instances; recorded only.", min=0)
    ] = None,
    max_instances: Annotated[
        int | None, typer.Option("--max-instances", help="Never more instances; recorded only.", min=0)
    ] = None,
    tags: Tags = None,
    set_: Set = None,
    no_wait: NoWait = False,
) -> None:
    """Create a compute; one of that name is overwritten. Jobs on it run as worker processes of this machine.

    Example: mlctl compute create -n cpu-cluster --type amlcompute --min-instances 0 --max-instances 4
    """
    state = current()
    options = {"name": name, "type": type_, "size": size, "tags": read_tags(tags)}
    options |= {"min_instances": min_instances, "max_instances": max_instances}
    document = compute.create(state.session, file=file, options=options, overrides=state.overrides)
    state.emit(None if no_wait else document, lambda: render.show_compute(document))


@app.command(epilog=GLOBALS)
def show(name: Name) -> None:
    """Show a compute; exit code 3 when there is none.

    Example: mlctl compute show -n cpu-cluster
    """
    state = current()
    document = compute.show(state.session, name)
    state.emit(document, lambda: render.show_compute(document))


@app.command("list", epilog=GLOBALS)
def list_(
    type_: Annotated[str | None, typer.Option("--type", "-t", help="List only computes of this type.")] = None,
    max_results: MaxResults = None,
) -> None:
    """List the computes; local, this machine, is always there.

    Example: mlctl compute list -o table
    """
    state = current()
    rows = compute.list_all(state.session, kind=type_, max_results=max_results)
    state.emit(rows, lambda: render.show_computes(rows))


@app.command(epilog=GLOBALS)
def delete(name: Name, yes: Yes = False, no_wait: NoWait = False) -> None:
    """Forget a compute; jobs on it go on.

    Example: mlctl compute delete -n cpu-cluster --yes
    """
    state = current()
    state.confirm(f"Delete compute {name}?", is_sure=yes)
    compute.delete(state.session, name)
    state.emit(None, lambda: render.say(f"compute {name} is deleted"))
