"""`mlctl artifacts`: the registry's copies of models, code and build folders."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli import render
from mlctl.cli.options import GLOBALS, Yes
from mlctl.cli.state import current
from mlctl.ops import artifacts

app = typer.Typer(
    help="Copies of models and code that the registry keeps.", rich_markup_mode=None, add_completion=False
)


@app.command("list", epilog=GLOBALS)
def list_() -> None:
    """List the stored copies, how much they take, and who needs them.

    Example: mlctl artifacts list
    """
    state = current()
    found = artifacts.list_all(state.session)
    state.emit(render.list_artifacts(found), lambda: render.show_artifacts(found))


@app.command(epilog=GLOBALS)
def prune(
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be removed.")] = False,
    older_than: Annotated[
        float,
        typer.Option("--older-than", help="Minutes: what was stored since is kept, a command may be using it.", min=0),
    ] = 60,
) -> None:
    """Remove the copies that no model, environment, deployment or mount needs, and venvs that no deployment runs in.

    Example: mlctl artifacts prune --dry-run
    """
    state = current()
    if not dry_run:
        planned = artifacts.prune(state.session, older_than_s=older_than * 60, is_dry_run=True)
        state.confirm(render.ask_to_prune(planned), is_sure=yes or not (planned.copies or planned.environments))
    pruned = artifacts.prune(state.session, older_than_s=older_than * 60, is_dry_run=dry_run)
    state.emit(render.list_pruned(pruned), lambda: render.show_pruned(pruned))
