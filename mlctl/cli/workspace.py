"""`mlctl workspace`: the registry seen as az sees a workspace."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli.options import GLOBALS
from mlctl.cli.state import current
from mlctl.ops import workspace

app = typer.Typer(
    help="The workspace: where assets are looked up, and the key of its secrets.",
    rich_markup_mode=None,
    add_completion=False,
)

Name = Annotated[str | None, typer.Option("--name", "-n", help="Name of the workspace.")]


@app.command(epilog=GLOBALS)
def show(name: Name = None) -> None:
    """Show a workspace.

    Example: mlctl workspace show
    """
    state = current()
    state.emit(workspace.show(state.session, name))


@app.command(epilog=GLOBALS)
def update(
    encryption_key_identifier: Annotated[
        str, typer.Option("--encryption-key-identifier", help="file:/path of your own key, 32 bytes at least.")
    ],
    name: Name = None,
) -> None:
    """Put the registry's secrets under a key of your own; whoever lacks the file cannot read them.

    Example: mlctl workspace update --encryption-key-identifier file:/tmp/mlctl-example.key
    """
    state = current()
    document = workspace.update(state.session, name, encryption_key_identifier=encryption_key_identifier)
    state.emit(document)
