"""`mlctl data`: files and folders under a name and a version. They stay where they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli import render
from mlctl.cli.asset_commands import Noun, add_asset_commands
from mlctl.cli.options import (
    GLOBALS,
    ArchivedOnly,
    Datastore,
    IncludeArchived,
    MaxResults,
    NewVersion,
    NoWait,
    OptionalFile,
    OptionalName,
    RegistryName,
    Set,
)
from mlctl.cli.state import current
from mlctl.errors import UsageError
from mlctl.ops import assets, data

app = typer.Typer(
    help="Data: files and folders under a name and a version; they are referenced, not copied.",
    rich_markup_mode=None,
    add_completion=False,
)


TYPES = ("uri_folder", "uri_file", "mltable")
Type = Annotated[str | None, typer.Option("--type", "-t", help="uri_folder (default), uri_file or mltable.")]
Text = Annotated[str | None, typer.Option("--description", "-d", help="What it is for.")]
SkipValidation = Annotated[bool, typer.Option("--skip-validation", help="Do not read the MLTable file of an mltable.")]


@app.command(epilog=GLOBALS)
def create(
    file: OptionalFile = None,
    name: OptionalName = None,
    version: NewVersion = None,
    path: Annotated[str | None, typer.Option("--path", "-p", help="File or folder; it stays where it is.")] = None,
    type_: Type = None,
    description: Text = None,
    skip_validation: SkipValidation = False,
    datastore: Datastore = None,
    set_: Set = None,
    no_wait: NoWait = False,
    registry_name: RegistryName = None,
) -> None:
    """Register a file or a folder; path, sizes and times of change are recorded, so that a change is noticed.

    Example: mlctl data create -n transactions-nov -v 1 -p ./transactions
    """
    state = current()
    assets.refuse_registry(registry_name)
    options = {"name": name, "version": version, "path": path, "type": _read_type(type_)}
    options |= {"description": description, "datastore": datastore}
    document = data.create(
        state.session, file=file, options=options, overrides=state.overrides, checks_table=not skip_validation
    )
    state.emit(None if no_wait else document, lambda: render.show_data(document))


def _read_type(text: str | None) -> str | None:
    """Refuse a word that az's parser would not take, as it does."""
    if text is not None and text.lower() not in TYPES:
        choices = ", ".join(repr(known) for known in TYPES)
        raise UsageError(f"argument --type/-t: invalid choice: {text!r} (choose from {choices})")
    return text


add_asset_commands(
    app,
    Noun(
        kind="data",
        one="a data asset",
        many="data assets",
        example="-n transactions-nov -v 1",
        content="path",
        show=render.show_data,
        show_rows=render.show_data_assets,
        list_rows=data.list_all,
    ),
)


@app.command(epilog=GLOBALS)
def mount(
    path: Annotated[str, typer.Option("--path", help="The data.")],
    mode: Annotated[str, typer.Option("--mode", help="ro_mount or rw_mount.")] = "ro_mount",
    mount_point: Annotated[Path | None, typer.Option("--mount-point", help="Folder to mount it at.")] = None,
    persistent: Annotated[bool, typer.Option("--persistent", help="Whether it stays after a restart.")] = False,
) -> None:
    """Refused: data assets are paths of this machine, and can be read where they are.

    Example: mlctl data mount --path azureml:transactions-nov:1
    """
    data.refuse_mounting(path)


@app.command("import", epilog=GLOBALS)
def import_(
    file: OptionalFile = None,
    name: OptionalName = None,
    version: NewVersion = None,
    path: Annotated[str | None, typer.Option("--path", "-p", help="Where it is written to.")] = None,
    type_: Annotated[str | None, typer.Option("--type", "-t", help="What it becomes.")] = None,
    description: Text = None,
    skip_validation: SkipValidation = False,
    datastore: Datastore = None,
    set_: Set = None,
) -> None:
    """Refused: there are no connections to databases here to import from.

    Example: mlctl data import -f import.yml
    """
    data.refuse_importing()


@app.command("list-materialization-status", epilog=GLOBALS)
def list_materialization_status(
    name: Annotated[str | None, typer.Option("--name", "-p", help="The data asset.")] = None,
    all_results: Annotated[str, typer.Option("--all-results", help="List all of them.")] = "false",
    archived_only: ArchivedOnly = False,
    include_archived: IncludeArchived = False,
    max_results: MaxResults = None,
) -> None:
    """Refused: there are no connections to databases here, so nothing is imported.

    Example: mlctl data list-materialization-status --name transactions-nov
    """
    data.refuse_importing()
