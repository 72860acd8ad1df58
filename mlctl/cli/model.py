"""`mlctl model`: models under a name and a version."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from mlctl.cli import render
from mlctl.cli.archiving import add_archiving
from mlctl.cli.asset_commands import Noun, add_share, add_show
from mlctl.cli.options import (
    GLOBALS,
    Add,
    ArchivedOnly,
    AssetName,
    Datastore,
    Description,
    ForceString,
    IncludeArchived,
    Label,
    MaxResults,
    NewVersion,
    NoWait,
    OptionalFile,
    OptionalName,
    RegistryName,
    Remove,
    RequiredFile,
    Set,
    Tags,
    Version,
)
from mlctl.cli.state import current
from mlctl.ops import assets

app = typer.Typer(help="Models: files under a name and a version.", rich_markup_mode=None, add_completion=False)

RequiredVersion = Annotated[str, typer.Option("--version", "-v", help="Version.", show_default=False)]


def _view(document: dict[str, Any]) -> None:
    render.show_asset("model", document, assets.find_copy(current().session, "model", document))


@app.command(epilog=GLOBALS)
def create(
    file: OptionalFile = None,
    name: OptionalName = None,
    version: NewVersion = None,
    path: Annotated[str | None, typer.Option("--path", "-p", help="File or folder of the model.")] = None,
    type_: Annotated[
        str | None, typer.Option("--type", "-t", help="custom_model (default), mlflow_model or triton_model.")
    ] = None,
    stage: Annotated[str | None, typer.Option("--stage", "-s", help="Stage in its life, in your own words.")] = None,
    description: Description = None,
    tags: Tags = None,
    datastore: Datastore = None,
    default_deployment_template: Annotated[
        str | None,
        typer.Option(
            "--default-deployment-template", "-d", help="Accepted as in az: deployments here need no template."
        ),
    ] = None,
    set_: Set = None,
    no_wait: NoWait = False,
    registry_name: RegistryName = None,
) -> None:
    """Register a model; its files are copied into the registry.

    Example: mlctl model create -n fraud-model -v 3 -p ./model
    """
    state = current()
    assets.refuse_registry(registry_name)
    options = {"name": name, "version": version, "path": path, "type": type_, "stage": stage, "datastore": datastore}
    options |= {"description": description, "tags": read_tags(tags)}
    document = assets.create_model(state.session, file=file, options=options, overrides=state.overrides)
    state.emit(
        None if no_wait else document,
        lambda: _view(document),
    )


def read_tags(tokens: list[str] | None) -> dict[str, str] | None:
    """Turn `a=1 b` into a map; a bare name has an empty value, `""` alone clears."""
    if tokens is None:
        return None
    pairs = [token.partition("=") for token in tokens if token]
    return {key: value for key, _, value in pairs}


_NOUN = Noun(kind="model", one="a model", many="models", example="-n fraud-model -v 3", content="files", show=_view)
add_show(app, _NOUN)


@app.command("list", epilog=GLOBALS)
def list_(
    name: Annotated[str | None, typer.Option("--name", "-n", help="List the versions of this one.")] = None,
    stage: Annotated[str | None, typer.Option("--stage", "-s", help="List only what is in this stage.")] = None,
    archived_only: ArchivedOnly = False,
    include_archived: IncludeArchived = False,
    max_results: MaxResults = None,
    registry_name: RegistryName = None,
) -> None:
    """List the models, or the versions of one.

    Example: mlctl model list -n fraud-model
    """
    state = current()
    assets.refuse_registry(registry_name)
    rows = assets.list_all(
        state.session,
        "model",
        name=name,
        stage=stage,
        archived_only=archived_only,
        include_archived=include_archived,
        max_results=max_results,
    )
    state.emit(rows, lambda: render.show_assets("model", rows))


@app.command(epilog=GLOBALS)
def update(
    name: AssetName,
    version: Version = None,
    label: Label = None,
    stage: Annotated[str | None, typer.Option("--stage", "-s", help="Stage in its life, in your own words.")] = None,
    set_: Set = None,
    add: Add = None,
    remove: Remove = None,
    force_string: ForceString = False,
    registry_name: RegistryName = None,
) -> None:
    """Change what is said about a version: description, tags, properties, stage; its files never change.

    Example: mlctl model update -n fraud-model -v 3 --set tags.team=risk --stage production
    """
    state = current()
    assets.refuse_registry(registry_name)
    document = assets.update(
        state.session,
        "model",
        name,
        version=version,
        label=label,
        operations=state.operations,
        forces_text=force_string,
        stage=stage,
    )
    state.emit(document, lambda: _view(document))


add_archiving(app, "model", "-n fraud-model -v 3")


@app.command(epilog=GLOBALS)
def download(
    name: AssetName,
    version: RequiredVersion,
    download_path: Annotated[Path, typer.Option("--download-path", "-p", help="Folder to write to.")] = Path(),
    registry_name: RegistryName = None,
) -> None:
    """Copy a model's files out of the registry, to a folder under the model's name.

    Example: mlctl model download -n fraud-model -v 3 -p ./downloads
    """
    state = current()
    assets.refuse_registry(registry_name)
    target = assets.download(state.session, name, version, download_path)
    state.emit(None, lambda: render.say(f"the files of {name}:{version} are in {target}"))


@app.command(epilog=GLOBALS)
def package(
    name: AssetName,
    version: RequiredVersion,
    file: RequiredFile,
    registry_name: RegistryName = None,
) -> None:
    """Refused: a package is an image, and mlctl builds none; a deployment runs a model as it is.

    Example: mlctl model package -n fraud-model -v 3 -f package.yml
    """
    assets.refuse_packaging(name, version)


add_share(app, _NOUN)
