"""`mlctl batch-deployment`, az's `ml batch-deployment`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli import render
from mlctl.cli.options import (
    GLOBALS,
    Add,
    BatchDeploymentName,
    BatchOwnerName,
    ForceString,
    NoWait,
    OptionalBatchOwnerName,
    OptionalFile,
    OptionalName,
    Remove,
    RequiredFile,
    Set,
    SkipScriptValidation,
    Yes,
)
from mlctl.cli.state import current
from mlctl.ops import batch_deployments

app = typer.Typer(
    help="Batch deployments: a model and its scoring script, run by batch jobs.",
    rich_markup_mode=None,
    add_completion=False,
)


@app.command(epilog=GLOBALS)
def create(
    file: RequiredFile,
    name: OptionalName = None,
    endpoint_name: OptionalBatchOwnerName = None,
    set_default: Annotated[
        bool, typer.Option("--set-default", help="Let invocations of the endpoint run it that name none.")
    ] = False,
    skip_script_validation: SkipScriptValidation = False,
    set_: Set = None,
    no_wait: NoWait = False,
) -> None:
    """Create a batch deployment and build its environment; one of that name is overwritten.

    Example: mlctl batch-deployment create -f classic.yml --set-default
    """
    state = current()
    document = batch_deployments.create(
        state.session,
        file=file,
        name=name,
        endpoint=endpoint_name,
        overrides=state.overrides,
        becomes_default=set_default,
        checks_script=not skip_script_validation,
    )
    state.emit(
        None if no_wait else document,
        lambda: render.show_created_batch_deployment(document, is_default=set_default),
    )


@app.command(epilog=GLOBALS)
def update(
    file: OptionalFile = None,
    name: OptionalName = None,
    endpoint_name: OptionalBatchOwnerName = None,
    set_: Set = None,
    add: Add = None,
    remove: Remove = None,
    force_string: ForceString = False,
    no_wait: NoWait = False,
) -> None:
    """Change a batch deployment; jobs that run keep what they began with.

    Example: mlctl batch-deployment update -n classic -e fraud-batch --set mini_batch_size=100
    """
    state = current()
    document = batch_deployments.update(
        state.session,
        file=file,
        name=name,
        endpoint=endpoint_name,
        operations=state.operations,
        forces_text=force_string,
    )
    state.emit(None if no_wait else document, lambda: render.show_batch_deployment(document))


@app.command(epilog=GLOBALS)
def show(name: BatchDeploymentName, endpoint_name: BatchOwnerName) -> None:
    """Show a batch deployment.

    Example: mlctl batch-deployment show -n classic -e fraud-batch
    """
    state = current()
    document = batch_deployments.show(state.session, endpoint=endpoint_name, name=name)
    state.emit(document, lambda: render.show_batch_deployment(document))


@app.command("list", epilog=GLOBALS)
def list_(endpoint_name: BatchOwnerName) -> None:
    """List the deployments of a batch endpoint.

    Example: mlctl batch-deployment list -e fraud-batch -o table
    """
    state = current()
    rows = batch_deployments.list_all(state.session, endpoint_name)
    state.emit(rows, lambda: render.show_batch_deployments(rows))


@app.command("list-jobs", epilog=GLOBALS)
def list_jobs(name: BatchDeploymentName, endpoint_name: BatchOwnerName) -> None:
    """List the jobs of a batch deployment, the newest first.

    Example: mlctl batch-deployment list-jobs -n classic -e fraud-batch --query "[].name"
    """
    # Jobs are looked at through their folders, which nothing else here needs.
    from mlctl.ops import batch_jobs, job_documents

    state = current()
    owner, deployment = batch_deployments.name_exactly(state.session, endpoint=endpoint_name, name=name)
    found = [job for job in batch_jobs.list_all(state.session, endpoint=owner) if job.row.deployment == deployment]
    rows = [job_documents.deployment_reference(job) for job in found]
    state.emit(rows, lambda: render.show_jobs([job_documents.job_document(state.session, job) for job in found]))


@app.command(epilog=GLOBALS)
def delete(name: BatchDeploymentName, endpoint_name: BatchOwnerName, yes: Yes = False, no_wait: NoWait = False) -> None:
    """Delete a batch deployment; its jobs stay, and running ones go on.

    Example: mlctl batch-deployment delete -n classic -e fraud-batch --yes
    """
    state = current()
    state.confirm(f"Delete batch deployment {name} of {endpoint_name}?", is_sure=yes)
    batch_deployments.delete(state.session, endpoint=endpoint_name, name=name)
    state.emit(None, lambda: render.say(f"{endpoint_name}/{name} is deleted, its jobs stay: mlctl job list"))
