"""`archive` and `restore`, the same for all assets."""

from __future__ import annotations

import typer

from mlctl.cli import render
from mlctl.cli.options import GLOBALS, AssetName, Label, RegistryName, Version
from mlctl.cli.state import current
from mlctl.ops import assets


def add_archiving(app: typer.Typer, kind: str, example: str) -> None:
    """Add the two commands to a noun. example: name and version, as they stand in the help."""

    @app.command(
        epilog=GLOBALS,
        help="Hide a version, or without one all of them, from list and @latest; what names it exactly goes on.\n\n"
        f"Example: mlctl {kind} archive {example}",
    )
    def archive(
        name: AssetName, version: Version = None, label: Label = None, registry_name: RegistryName = None
    ) -> None:
        _set_archived(kind, name, version, label, registry_name, archived=True)

    @app.command(epilog=GLOBALS, help=f"Bring back what was archived.\n\nExample: mlctl {kind} restore {example}")
    def restore(
        name: AssetName, version: Version = None, label: Label = None, registry_name: RegistryName = None
    ) -> None:
        _set_archived(kind, name, version, label, registry_name, archived=False)

    del archive, restore  # Typer holds them now


def _set_archived(
    kind: str, name: str, version: str | None, label: str | None, registry_name: str | None, *, archived: bool
) -> None:
    state = current()
    assets.refuse_registry(registry_name)
    done = assets.set_archived(state.session, kind, name, version=version, label=label, archived=archived)
    show = render.show_archived if archived else render.show_restored
    state.emit(None, lambda: show(kind, name, done))
