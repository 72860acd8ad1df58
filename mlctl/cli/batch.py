"""`mlctl batch`, az's `ml batch-endpoint`: names under which tables and folders are scored by jobs."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli import render
from mlctl.cli.batch_jobs import add_job_commands
from mlctl.cli.options import (
    GLOBALS,
    Add,
    BatchEndpointName,
    ForceString,
    NoWait,
    OptionalFile,
    OptionalName,
    Remove,
    Set,
    Timeout,
    Yes,
)
from mlctl.cli.state import current
from mlctl.ops import batch_endpoints

app = typer.Typer(
    help="Batch scoring: tables and folders, in mini-batches over worker processes.",
    rich_markup_mode=None,
    add_completion=False,
)


def _view(document: dict[str, object]) -> None:
    names = batch_endpoints.list_deployments_of(current().session, str(document["name"]))
    render.show_batch_endpoint(document, names)


@app.command(epilog=GLOBALS)
def create(file: OptionalFile = None, name: OptionalName = None, set_: Set = None, no_wait: NoWait = False) -> None:
    """Create a batch endpoint; one of that name is overwritten and keeps its deployments.

    Example: mlctl batch create -n fraud-batch
    """
    state = current()
    document = batch_endpoints.create(state.session, file=file, name=name, overrides=state.overrides)
    state.emit(None if no_wait else document, lambda: _view(document))


@app.command(epilog=GLOBALS)
def update(
    file: OptionalFile = None,
    name: OptionalName = None,
    defaults: Annotated[
        str | None,
        typer.Option("--defaults", help='What invocations use that say nothing else: "deployment_name=classic".'),
    ] = None,
    set_: Set = None,
    add: Add = None,
    remove: Remove = None,
    force_string: ForceString = False,
    no_wait: NoWait = False,
) -> None:
    """Change a batch endpoint: its default deployment, tags, description.

    Example: mlctl batch update -n fraud-batch --set defaults.deployment_name=classic
    """
    state = current()
    document = batch_endpoints.update(
        state.session,
        file=file,
        name=name,
        defaults=defaults,
        operations=state.operations,
        forces_text=force_string,
    )
    state.emit(None if no_wait else document, lambda: _view(document))


@app.command(epilog=GLOBALS)
def show(name: BatchEndpointName) -> None:
    """Show a batch endpoint.

    Example: mlctl batch show -n fraud-batch --query defaults
    """
    state = current()
    document = batch_endpoints.show(state.session, name)
    state.emit(document, lambda: _view(document))


@app.command("list", epilog=GLOBALS)
def list_() -> None:
    """List the batch endpoints.

    Example: mlctl batch list -o table
    """
    state = current()
    rows = batch_endpoints.list_all(state.session)
    state.emit(rows, lambda: render.show_batch_endpoints(rows))


@app.command("get-credentials", epilog=GLOBALS)
def get_credentials(name: BatchEndpointName, timeout: Timeout = None) -> None:
    """Print a token for the endpoint's jobs over HTTP, good for two hours; az has `az account get-access-token`.

    Example: mlctl batch get-credentials -n fraud-batch --query accessToken -o tsv
    """
    state = current()
    state.session.timeout_s = timeout
    state.emit(batch_endpoints.get_credentials(state.session, name))


@app.command(epilog=GLOBALS)
def delete(name: BatchEndpointName, yes: Yes = False, no_wait: NoWait = False) -> None:
    """Delete a batch endpoint with its deployments; its jobs stay, and running ones go on.

    Example: mlctl batch delete -n fraud-batch --yes
    """
    state = current()
    state.confirm(f"Delete batch endpoint {name} with all its deployments?", is_sure=yes)
    batch_endpoints.delete(state.session, name)
    state.emit(None, lambda: render.say(f"batch endpoint {name} is deleted, its jobs stay: mlctl job list"))


add_job_commands(app)
