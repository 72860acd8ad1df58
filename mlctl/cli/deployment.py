"""`mlctl deployment`, az's `ml online-deployment`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli import profile_view, render
from mlctl.cli.options import (
    GLOBALS,
    Add,
    DeploymentName,
    ForceString,
    Lines,
    Local,
    LocalGpu,
    NoWait,
    OptionalFile,
    OptionalName,
    OptionalOwnerName,
    OwnerName,
    PackageModel,
    Remove,
    RequiredFile,
    Set,
    SkipScriptValidation,
    Timeout,
    VscodeDebug,
    Web,
    Yes,
    is_true,
)
from mlctl.cli.state import current
from mlctl.ops import collected_data, deployments, logs, profiling, trial

app = typer.Typer(
    help="Deployments: a model and its scoring script, served by replicas.", rich_markup_mode=None, add_completion=False
)


@app.command(epilog=GLOBALS)
def create(
    file: RequiredFile,
    name: OptionalName = None,
    endpoint_name: OptionalOwnerName = None,
    all_traffic: Annotated[
        bool, typer.Option("--all-traffic", help="Give it all of the endpoint's traffic once it is ready.")
    ] = False,
    set_: Set = None,
    skip_script_validation: SkipScriptValidation = False,
    no_wait: NoWait = False,
    local: Local = "false",
    local_enable_gpu: LocalGpu = "false",
    vscode_debug: VscodeDebug = "false",
    package_model: PackageModel = False,
    web: Web = False,
    timeout: Timeout = None,
) -> None:
    """Create a deployment and wait until its replicas are ready.

    Example: mlctl deployment create -f blue.yml --all-traffic
    """
    state = current()
    state.session.timeout_s = timeout
    result = deployments.create(
        state.session,
        file=file,
        name=name,
        endpoint=endpoint_name,
        overrides=state.overrides,
        takes_all_traffic=all_traffic,
        checks_script=not skip_script_validation,
        is_local=is_true(local),
        waits=not no_wait,
    )
    state.emit(None if no_wait else result.document, lambda: render.show_served(result))


@app.command(epilog=GLOBALS)
def update(
    file: OptionalFile = None,
    name: OptionalName = None,
    endpoint_name: OptionalOwnerName = None,
    set_: Set = None,
    add: Add = None,
    remove: Remove = None,
    force_string: ForceString = False,
    skip_script_validation: SkipScriptValidation = False,
    no_wait: NoWait = False,
    local: Local = "false",
    local_enable_gpu: LocalGpu = "false",
    vscode_debug: VscodeDebug = "false",
    web: Web = False,
    timeout: Timeout = None,
) -> None:
    """Change a deployment; the old replicas serve until the new ones are ready.

    Example: mlctl deployment update -n blue -e fraud-endpoint --set instance_count=2
    """
    state = current()
    state.session.timeout_s = timeout
    result = deployments.update(
        state.session,
        file=file,
        name=name,
        endpoint=endpoint_name,
        operations=state.operations,
        forces_text=force_string,
        checks_script=not skip_script_validation,
        waits=not no_wait,
    )
    state.emit(None if no_wait else result.document, lambda: render.show_served(result))


@app.command(epilog=GLOBALS)
def show(name: DeploymentName, endpoint_name: OwnerName, local: Local = "false", web: Web = False) -> None:
    """Show a deployment.

    Example: mlctl deployment show -n blue -e fraud-endpoint --query provisioning_state -o tsv
    """
    state = current()
    result = deployments.show(state.session, endpoint=endpoint_name, name=name)
    state.emit(result.document, lambda: render.show_deployment(result))


@app.command("list", epilog=GLOBALS)
def list_(endpoint_name: OwnerName, local: Local = "false") -> None:
    """List an endpoint's deployments.

    Example: mlctl deployment list -e fraud-endpoint -o table
    """
    state = current()
    rows = deployments.list_all(state.session, endpoint_name)
    state.emit(rows, lambda: render.show_deployments(rows))


@app.command(epilog=GLOBALS)
def delete(
    name: DeploymentName,
    endpoint_name: OwnerName,
    yes: Yes = False,
    no_wait: NoWait = False,
    local: Local = "false",
    timeout: Timeout = None,
) -> None:
    """Delete a deployment that gets no traffic.

    Example: mlctl deployment delete -n green -e fraud-endpoint --yes
    """
    state = current()
    state.session.timeout_s = timeout
    deployments.check_deletable(state.session, endpoint=endpoint_name, name=name)
    state.confirm(f"Delete deployment {name} of {endpoint_name}?", is_sure=yes)
    deployments.delete(state.session, endpoint=endpoint_name, name=name, waits=not no_wait)
    state.emit(None, lambda: render.say(f"{endpoint_name}/{name} is {'being deleted' if no_wait else 'deleted'}"))


@app.command("get-logs", epilog=GLOBALS)
def get_logs(
    name: DeploymentName,
    endpoint_name: OwnerName,
    lines: Lines = 5000,
    container: Annotated[
        str, typer.Option("--container", "-c", help="inference-server or storage-initializer.")
    ] = "inference-server",
    follow: Annotated[bool, typer.Option("--follow", help="Go on printing what is added, until Ctrl-C.")] = False,
    local: Local = "false",
) -> None:
    """Print what a deployment's newest replica wrote; with --follow, what all of its replicas write.

    Example: mlctl deployment get-logs -n blue -e fraud-endpoint --lines 50
    """
    state = current()
    if follow:
        for part in logs.follow(state.session, endpoint=endpoint_name, name=name, lines=lines):
            state.emit_part(part)
        return
    text = deployments.get_logs(state.session, endpoint=endpoint_name, name=name, lines=lines, container=container)
    state.emit_text(text)


@app.command(epilog=GLOBALS)
def validate(
    file: RequiredFile,
    name: OptionalName = None,
    endpoint_name: OptionalOwnerName = None,
    request_file: Annotated[
        Path | None, typer.Option("--request-file", "-r", help="File with a body to score.")
    ] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the outcome to this file as JUnit XML.")] = None,
    set_: Set = None,
    timeout: Timeout = None,
) -> None:
    """Try a deployment without serving it: environment, init(), probe, one score, stop; exit 7 if its code fails.

    Example: mlctl deployment validate -f blue.yml --request-file request.json
    """
    state = current()
    state.session.timeout_s = timeout
    found = trial.run(
        state.session,
        file=file,
        name=name,
        endpoint=endpoint_name,
        overrides=state.overrides,
        request_file=request_file,
    )
    if junit is not None:
        render.write_junit(junit, found)
    state.emit(found.document, lambda: render.show_trial(found))
    if found.error is not None:
        raise found.error


@app.command(epilog=GLOBALS)
def events(name: DeploymentName, endpoint_name: OwnerName, lines: Lines = 1000) -> None:
    """List what happened to a deployment, oldest first.

    Example: mlctl deployment events -n blue -e fraud-endpoint
    """
    state = current()
    rows = deployments.list_events(state.session, endpoint=endpoint_name, name=name, limit=lines)
    state.emit(rows, lambda: render.show_events(rows))


@app.command(epilog=GLOBALS)
def profile(
    name: DeploymentName,
    endpoint_name: OwnerName,
    seconds: Annotated[
        float | None,
        typer.Option(
            "--seconds",
            help="Measure for so many seconds from now on; all since the replicas came up if left out.",
            min=0.1,
            max=86400,
        ),
    ] = None,
) -> None:
    """Show what requests spend their time on: waiting, decoding, run(), encoding; and what to try.

    Example: mlctl deployment profile -n blue -e fraud-endpoint
    """
    state = current()
    found = profiling.profile(state.session, endpoint=endpoint_name, name=name, seconds=seconds)
    if note := profile_view.note_profile(found):
        state.session.on_notice(note)
    state.emit(found.document, lambda: profile_view.show_profile(found))


@app.command(epilog=GLOBALS)
def data(
    name: DeploymentName,
    endpoint_name: OwnerName,
    collection: Annotated[
        str | None, typer.Option("--collection", help="request, response, or a name of your own; all if left out.")
    ] = None,
    tail: Annotated[int, typer.Option("--tail", help="How many events, from the end.", min=1)] = 100,
) -> None:
    """List what a deployment's data_collector has kept, oldest first; that of a deleted one, too.

    Example: mlctl deployment data -n blue -e fraud-endpoint --collection request --tail 20
    """
    state = current()
    found = collected_data.read(state.session, endpoint=endpoint_name, name=name, collection=collection, tail=tail)
    if found.note:
        state.session.on_notice(found.note)
    state.emit(found.events, lambda: render.show_collected(found))
