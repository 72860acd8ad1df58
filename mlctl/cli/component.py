"""`mlctl component`: commands and pipelines under a name and a version, which batch deployments and jobs run."""

from __future__ import annotations

from typing import Any

import typer

from mlctl.cli import render
from mlctl.cli.asset_commands import Noun, add_asset_commands
from mlctl.cli.options import GLOBALS, NewVersion, OptionalName, RegistryName, RequiredFile, Set
from mlctl.cli.state import current
from mlctl.ops import assets

app = typer.Typer(
    help="Components: commands and pipelines under a name and a version.", rich_markup_mode=None, add_completion=False
)


def _view(document: dict[str, Any]) -> None:
    render.show_component(document)


@app.command(epilog=GLOBALS)
def create(
    file: RequiredFile,
    name: OptionalName = None,
    version: NewVersion = None,
    set_: Set = None,
    registry_name: RegistryName = None,
) -> None:
    """Register a component; its code is copied into the registry, its environments are built.

    Example: mlctl component create -f prep.yml
    """
    from mlctl.ops import components

    state = current()
    assets.refuse_registry(registry_name)
    options = {"name": name, "version": version}
    document = components.create(state.session, file=file, options=options, overrides=state.overrides)
    state.emit(document, lambda: _view(document))


add_asset_commands(
    app,
    Noun(
        kind="component",
        one="a component",
        many="components",
        example="-n prep -v 1",
        content="content",
        show=_view,
    ),
)
