"""`mlctl environment`: what deployments run in, under a name and a version."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli import render
from mlctl.cli.model import read_tags
from mlctl.cli.options import GLOBALS, NoWait, OptionalFile, OptionalName, Set
from mlctl.cli.state import current
from mlctl.errors import InvalidInput
from mlctl.ops import assets

app = typer.Typer(
    help="Environments: what deployments run in, under a name and a version.",
    rich_markup_mode=None,
    add_completion=False,
)


@app.command(epilog=GLOBALS)
def create(
    file: OptionalFile = None,
    name: OptionalName = None,
    version: Annotated[
        str | None, typer.Option("--version", "-v", help="Version; the next number if left out.")
    ] = None,
    image: Annotated[str | None, typer.Option("--image", "-i", help="Base image.")] = None,
    conda_file: Annotated[str | None, typer.Option("--conda-file", "-c", help="Conda file; needs an image.")] = None,
    description: Annotated[str | None, typer.Option("--description", help="What it is for.")] = None,
    tags: Annotated[list[str] | None, typer.Option("--tags", help="NAME=VALUE tokens.")] = None,
    set_: Set = None,
    no_wait: NoWait = False,
) -> None:
    """Register an environment.

    Example: mlctl environment create -f environment.yml
    """
    state = current()
    if file is None and name is None:
        raise InvalidInput("give --file, or --name and --image", hint="mlctl environment create -f environment.yml")
    options = {"name": name, "version": version, "image": image, "conda_file": conda_file, "description": description}
    options["tags"] = read_tags(tags)  # pyright: ignore[reportArgumentType]
    document = assets.create_environment(state.session, file=file, options=options, overrides=state.overrides)
    state.emit(document, lambda: render.show_asset("environment", document))


@app.command(epilog=GLOBALS)
def show(
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the environment.", show_default=False)],
    version: Annotated[str | None, typer.Option("--version", "-v", help="Version; or --label.")] = None,
    label: Annotated[str | None, typer.Option("--label", "-l", help="latest: the one registered last.")] = None,
) -> None:
    """Show an environment's version.

    Example: mlctl environment show -n fraud-infer --label latest
    """
    state = current()
    document = assets.show(state.session, "environment", name, version=version, label=label)
    state.emit(document, lambda: render.show_asset("environment", document))


@app.command("list", epilog=GLOBALS)
def list_(name: OptionalName = None) -> None:
    """List the environments, or the versions of one.

    Example: mlctl environment list
    """
    state = current()
    rows = assets.list_all(state.session, "environment", name=name)
    state.emit(rows, lambda: render.show_assets("environment", rows))
