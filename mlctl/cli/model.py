"""`mlctl model`: models under a name and a version."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli import render
from mlctl.cli.options import GLOBALS, NoWait, OptionalFile, OptionalName, Set
from mlctl.cli.state import current
from mlctl.errors import InvalidInput
from mlctl.ops import assets

app = typer.Typer(help="Models: files under a name and a version.", rich_markup_mode=None, add_completion=False)

Version = Annotated[str | None, typer.Option("--version", "-v", help="Version; the next number if left out.")]


@app.command(epilog=GLOBALS)
def create(
    file: OptionalFile = None,
    name: OptionalName = None,
    version: Version = None,
    path: Annotated[str | None, typer.Option("--path", "-p", help="File or folder of the model.")] = None,
    type_: Annotated[
        str | None, typer.Option("--type", "-t", help="custom_model (default), mlflow_model or triton_model.")
    ] = None,
    stage: Annotated[str | None, typer.Option("--stage", "-s", help="Stage in its life, in your own words.")] = None,
    description: Annotated[str | None, typer.Option("--description", help="What it is for.")] = None,
    tags: Annotated[list[str] | None, typer.Option("--tags", help="NAME=VALUE tokens.")] = None,
    set_: Set = None,
    no_wait: NoWait = False,
) -> None:
    """Register a model; its files are copied into the registry.

    Example: mlctl model create -n fraud-model -v 3 -p ./model
    """
    state = current()
    if file is None and (name is None or path is None):
        raise InvalidInput("give --file, or --name and --path", hint="mlctl model create -n fraud-model -p ./model")
    options = {
        "name": name,
        "version": version,
        "path": path,
        "type": type_,
        "stage": stage,
        "description": description,
    }
    options["tags"] = read_tags(tags)  # pyright: ignore[reportArgumentType]
    document = assets.create_model(state.session, file=file, options=options, overrides=state.overrides)
    state.emit(document, lambda: render.show_asset("model", document))


def read_tags(tokens: list[str] | None) -> dict[str, str] | None:
    """Turn `a=1 b` into a map; a bare name has an empty value, `""` alone clears."""
    if tokens is None:
        return None
    pairs = [token.partition("=") for token in tokens if token]
    return {key: value for key, _, value in pairs}


@app.command(epilog=GLOBALS)
def show(
    name: Annotated[str, typer.Option("--name", "-n", help="Name of the model.", show_default=False)],
    version: Annotated[str | None, typer.Option("--version", "-v", help="Version; or --label.")] = None,
    label: Annotated[str | None, typer.Option("--label", "-l", help="latest: the one registered last.")] = None,
) -> None:
    """Show a model's version.

    Example: mlctl model show -n fraud-model -v 3
    """
    state = current()
    document = assets.show(state.session, "model", name, version=version, label=label)
    state.emit(document, lambda: render.show_asset("model", document))


@app.command("list", epilog=GLOBALS)
def list_(name: OptionalName = None) -> None:
    """List the models, or the versions of one.

    Example: mlctl model list -n fraud-model
    """
    state = current()
    rows = assets.list_all(state.session, "model", name=name)
    state.emit(rows, lambda: render.show_assets("model", rows))
