"""`mlctl environment`: what deployments run in, under a name and a version."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from mlctl.cli import render
from mlctl.cli.asset_commands import Noun, add_asset_commands
from mlctl.cli.model import read_tags
from mlctl.cli.options import (
    GLOBALS,
    Datastore,
    Description,
    NewVersion,
    NoWait,
    OptionalFile,
    OptionalName,
    RegistryName,
    Set,
    Tags,
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


add_asset_commands(
    app,
    Noun(
        kind="environment",
        one="an environment",
        many="environments",
        example="-n fraud-infer -v 2",
        content="content",
        show=_view,
    ),
)
