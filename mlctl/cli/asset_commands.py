"""What the commands of all assets share: show, list, update, archive, restore and share.

Models, environments, data and components add what only they have.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from mlctl.cli import render
from mlctl.cli.archiving import add_archiving
from mlctl.cli.options import (
    GLOBALS,
    Add,
    ArchivedOnly,
    AssetName,
    ForceString,
    IncludeArchived,
    Label,
    MaxResults,
    RegistryName,
    Remove,
    Set,
    Version,
)
from mlctl.cli.state import current
from mlctl.ops import assets

Document = dict[str, Any]


@dataclass(frozen=True)
class Noun:
    """A kind of asset. one, many: what to call it in help. example: a name and a version. content: what never changes.

    show: shows a version to people; show_rows, list_rows: of `list`, where they are not those of other assets.
    """

    kind: str
    one: str
    many: str
    example: str
    content: str
    show: Callable[[Document], None]
    show_rows: Callable[[Sequence[Mapping[str, Any]]], None] | None = None
    list_rows: Callable[..., list[Document]] | None = None

    @property
    def name(self) -> str:
        """Return the example's name alone: `-n fraud-infer`."""
        return self.example.partition(" -v")[0]


def add_asset_commands(app: typer.Typer, noun: Noun) -> None:
    """Add all the commands that assets share."""
    add_show(app, noun)
    _add_list(app, noun)
    _add_update(app, noun)
    add_archiving(app, noun.kind, noun.example)
    add_share(app, noun)


def add_show(app: typer.Typer, noun: Noun) -> None:
    """Add `show`."""

    @app.command(
        epilog=GLOBALS, help=f"Show a version of {noun.one}.\n\nExample: mlctl {noun.kind} show {noun.example}"
    )
    def show(name: AssetName, version: Version = None, label: Label = None, registry_name: RegistryName = None) -> None:
        state = current()
        assets.refuse_registry(registry_name)
        document = assets.show(state.session, noun.kind, name, version=version, label=label)
        state.emit(document, lambda: noun.show(document))

    del show  # Typer holds it now


def _add_list(app: typer.Typer, noun: Noun) -> None:
    @app.command(
        "list",
        epilog=GLOBALS,
        help=f"List the {noun.many}, or the versions of one.\n\nExample: mlctl {noun.kind} list {noun.name}",
    )
    def list_(
        name: Annotated[str | None, typer.Option("--name", "-n", help="List the versions of this one.")] = None,
        archived_only: ArchivedOnly = False,
        include_archived: IncludeArchived = False,
        max_results: MaxResults = None,
        registry_name: RegistryName = None,
    ) -> None:
        state = current()
        assets.refuse_registry(registry_name)
        words = {"name": name, "archived_only": archived_only, "include_archived": include_archived}
        rows = _list_rows(noun, words | {"max_results": max_results})
        state.emit(rows, lambda: _show_rows(noun, rows))

    del list_


def _list_rows(noun: Noun, words: Mapping[str, Any]) -> list[Document]:
    session = current().session
    return noun.list_rows(session, **words) if noun.list_rows else assets.list_all(session, noun.kind, **words)


def _show_rows(noun: Noun, rows: Sequence[Mapping[str, Any]]) -> None:
    if noun.show_rows:
        noun.show_rows(rows)
    else:
        render.show_assets(noun.kind, rows)


def _add_update(app: typer.Typer, noun: Noun) -> None:
    @app.command(
        epilog=GLOBALS,
        help="Change what is said about a version: description, tags, properties; its "
        f"{noun.content} never changes.\n\nExample: mlctl {noun.kind} update {noun.example} --set tags.team=risk",
    )
    def update(
        name: AssetName,
        version: Version = None,
        label: Label = None,
        set_: Set = None,
        add: Add = None,
        remove: Remove = None,
        force_string: ForceString = False,
        registry_name: RegistryName = None,
    ) -> None:
        state = current()
        assets.refuse_registry(registry_name)
        document = assets.update(
            state.session,
            noun.kind,
            name,
            version=version,
            label=label,
            operations=state.operations,
            forces_text=force_string,
        )
        state.emit(document, lambda: noun.show(document))

    del update


def add_share(app: typer.Typer, noun: Noun) -> None:
    """Add `share`, which is refused."""
    letter = noun.kind[0]

    @app.command(
        epilog=GLOBALS,
        help="Refused: there is no Azure ML registry on this machine to share with; other workspaces are "
        f"names (-w).\n\nExample: mlctl {noun.kind} share {noun.example} --share-with-name {letter} "
        "--share-with-version 1 --registry-name r",
    )
    def share(
        name: AssetName,
        version: Annotated[str, typer.Option("--version", "-v", help="Version.", show_default=False)],
        share_with_name: Annotated[str, typer.Option("--share-with-name", help="Name in the other registry.")],
        share_with_version: Annotated[str, typer.Option("--share-with-version", help="Version in the other registry.")],
        registry_name: Annotated[str, typer.Option("--registry-name", help="Registry to share with.")],
    ) -> None:
        assets.refuse_sharing(noun.kind, name, version)

    del share
