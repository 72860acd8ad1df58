"""`mlctl environment`: what deployments run in, under a name and a version."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mlctl.cli import render
from mlctl.cli.archiving import add_archiving
from mlctl.cli.model import read_tags
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
    Set,
    Tags,
    Version,
)
from mlctl.cli.state import current
from mlctl.ops import assets

app = typer.Typer(
    help="Environments: what deployments run in, under a name and a version.",
    rich_markup_mode=None,
    add_completion=False,
)


def _view(document: dict[str, Any]) -> None:
    session = current().session
    copy, content = assets.find_copy(session, "environment", document), assets.describe_content(session, document)
    render.show_asset("environment", document, copy, content)


@app.command(epilog=GLOBALS)
def create(
    file: OptionalFile = None,
    name: OptionalName = None,
    version: NewVersion = None,
    image: Annotated[str | None, typer.Option("--image", "-i", help="Base image.")] = None,
    conda_file: Annotated[str | None, typer.Option("--conda-file", "-c", help="Conda file; needs an image.")] = None,
    build_context: Annotated[
        str | None, typer.Option("--build-context", "-b", help="Folder to build an image from; instead of --image.")
    ] = None,
    dockerfile_path: Annotated[
        str | None, typer.Option("--dockerfile-path", "-d", help="The Dockerfile in that folder. Default: Dockerfile.")
    ] = None,
    os_type: Annotated[str | None, typer.Option("--os-type", help="linux (default) or windows.")] = None,
    description: Description = None,
    tags: Tags = None,
    datastore: Datastore = None,
    set_: Set = None,
    no_wait: NoWait = False,
    registry_name: RegistryName = None,
) -> None:
    """Register an environment.

    Example: mlctl environment create -f environment.yml
    """
    state = current()
    assets.refuse_registry(registry_name)
    options = {"name": name, "version": version, "image": image, "conda_file": conda_file, "os_type": os_type}
    options |= {"description": description, "tags": read_tags(tags), "datastore": datastore}
    document = assets.create_environment(
        state.session,
        file=file,
        options=options,
        overrides=state.overrides,
        build_context=build_context,
        dockerfile_path=dockerfile_path,
    )
    state.emit(
        None if no_wait else document,
        lambda: _view(document),
    )


@app.command(epilog=GLOBALS)
def show(name: AssetName, version: Version = None, label: Label = None, registry_name: RegistryName = None) -> None:
    """Show an environment's version.

    Example: mlctl environment show -n fraud-infer --label latest
    """
    state = current()
    assets.refuse_registry(registry_name)
    document = assets.show(state.session, "environment", name, version=version, label=label)
    state.emit(
        document,
        lambda: _view(document),
    )


@app.command("list", epilog=GLOBALS)
def list_(
    name: Annotated[str | None, typer.Option("--name", "-n", help="List the versions of this one.")] = None,
    archived_only: ArchivedOnly = False,
    include_archived: IncludeArchived = False,
    max_results: MaxResults = None,
    registry_name: RegistryName = None,
) -> None:
    """List the environments, or the versions of one.

    Example: mlctl environment list
    """
    state = current()
    assets.refuse_registry(registry_name)
    rows = assets.list_all(
        state.session,
        "environment",
        name=name,
        archived_only=archived_only,
        include_archived=include_archived,
        max_results=max_results,
    )
    state.emit(rows, lambda: render.show_assets("environment", rows))


@app.command(epilog=GLOBALS)
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
    """Change what is said about a version: description, tags, properties; its content never changes.

    Example: mlctl environment update -n fraud-infer -v 2 --set tags.team=risk
    """
    state = current()
    assets.refuse_registry(registry_name)
    document = assets.update(
        state.session,
        "environment",
        name,
        version=version,
        label=label,
        operations=state.operations,
        forces_text=force_string,
    )
    state.emit(
        document,
        lambda: _view(document),
    )


add_archiving(app, "environment", "-n fraud-infer -v 2")


@app.command(epilog=GLOBALS)
def share(
    name: AssetName,
    version: Annotated[str, typer.Option("--version", "-v", help="Version.", show_default=False)],
    share_with_name: Annotated[str, typer.Option("--share-with-name", help="Name in the other registry.")],
    share_with_version: Annotated[str, typer.Option("--share-with-version", help="Version in the other registry.")],
    registry_name: Annotated[str, typer.Option("--registry-name", help="Registry to share with.")],
) -> None:
    """Refused: there is no Azure ML registry on this machine to share with; other workspaces are names (-w).

    Example: mlctl environment share -n fraud-infer -v 2 --share-with-name e --share-with-version 1 --registry-name r
    """
    assets.refuse_sharing("environment", name, version)
