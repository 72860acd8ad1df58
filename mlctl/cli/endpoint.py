"""`mlctl endpoint`, az's `ml online-endpoint`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli import render
from mlctl.cli.options import (
    GLOBALS,
    Add,
    EndpointName,
    ForceString,
    Lines,
    Local,
    NoWait,
    OptionalFile,
    OptionalName,
    Remove,
    Set,
    Timeout,
    WebWithE,
    Yes,
    is_true,
)
from mlctl.cli.state import current
from mlctl.ops import endpoints, logs, scoring

app = typer.Typer(
    help="Endpoints: one address, keys, and traffic split over deployments.",
    rich_markup_mode=None,
    add_completion=False,
)


@app.command(epilog=GLOBALS)
def create(
    file: OptionalFile = None,
    name: OptionalName = None,
    auth_mode: Annotated[str | None, typer.Option("--auth-mode", help="key (default), aml_token or aad_token.")] = None,
    set_: Set = None,
    no_wait: NoWait = False,
    local: Local = "false",
    web: WebWithE = False,
    timeout: Timeout = None,
) -> None:
    """Create an endpoint.

    Example: mlctl endpoint create -f endpoint.yml
    """
    state = current()
    state.session.timeout_s = timeout
    result = endpoints.create(
        state.session,
        file=file,
        name=name,
        auth_mode=auth_mode,
        overrides=state.overrides,
        is_local=is_true(local),
        waits=not no_wait,
    )
    state.emit(None if no_wait else result.document, lambda: render.show_created_endpoint(result))


@app.command(epilog=GLOBALS)
def update(
    file: OptionalFile = None,
    name: OptionalName = None,
    traffic: Annotated[
        str | None,
        typer.Option(
            "--traffic", "-r", help='Live traffic in percent, one argument: "blue=90 green=10"; adds up to 100 or 0.'
        ),
    ] = None,
    mirror_traffic: Annotated[
        str | None,
        typer.Option("--mirror-traffic", help='Copied traffic in percent, 50 at most: "green=10"; green=0 ends it.'),
    ] = None,
    set_: Set = None,
    add: Add = None,
    remove: Remove = None,
    force_string: ForceString = False,
    no_wait: NoWait = False,
    local: Local = "false",
    web: WebWithE = False,
    timeout: Timeout = None,
) -> None:
    """Change an endpoint; the change serves when the command returns.

    Example: mlctl endpoint update -n fraud-endpoint --traffic "blue=90 green=10"
    """
    state = current()
    state.session.timeout_s = timeout
    result = endpoints.update(
        state.session,
        file=file,
        name=name,
        traffic=traffic,
        mirror_traffic=mirror_traffic,
        operations=state.operations,
        forces_text=force_string,
        waits=not no_wait,
    )
    state.emit(None if no_wait else result.document, lambda: render.show_endpoint(result))


@app.command(epilog=GLOBALS)
def show(name: EndpointName, local: Local = "false", web: WebWithE = False) -> None:
    """Show an endpoint.

    Example: mlctl endpoint show -n fraud-endpoint --query scoring_uri -o tsv
    """
    state = current()
    state.missing_exits_one = is_true(local)
    result = endpoints.show(state.session, name)
    state.emit(result.document, lambda: render.show_endpoint(result))


@app.command("list", epilog=GLOBALS)
def list_(local: Local = "false") -> None:
    """List the endpoints.

    Example: mlctl endpoint list -o table
    """
    state = current()
    rows = endpoints.list_all(state.session)
    state.emit(rows, lambda: render.show_endpoints(rows))


@app.command(epilog=GLOBALS)
def delete(
    name: EndpointName, yes: Yes = False, no_wait: NoWait = False, local: Local = "false", timeout: Timeout = None
) -> None:
    """Delete an endpoint with its deployments.

    Example: mlctl endpoint delete -n fraud-endpoint --yes
    """
    state = current()
    state.session.timeout_s = timeout
    state.confirm(f"Delete endpoint {name} with all its deployments?", is_sure=yes)
    endpoints.delete(state.session, name, waits=not no_wait)
    state.emit(None, lambda: render.say(f"endpoint {name} is {'being deleted' if no_wait else 'deleted'}"))


@app.command(epilog=GLOBALS)
def invoke(
    name: EndpointName,
    request_file: Annotated[
        Path | None, typer.Option("--request-file", "-r", help="File with the body to send.")
    ] = None,
    deployment_name: Annotated[
        str | None, typer.Option("--deployment-name", "-d", help="Reach this deployment, whatever the traffic.")
    ] = None,
    local: Local = "false",
) -> None:
    """Send a request to an endpoint and print the answer's body.

    Example: mlctl endpoint invoke -n fraud-endpoint --request-file request.json
    """
    state = current()
    state.missing_exits_one = is_true(local)
    answer = scoring.invoke(state.session, name, request_file=request_file, deployment=deployment_name)
    state.emit(answer, lambda: render.show_answer(answer))


@app.command("get-credentials", epilog=GLOBALS)
def get_credentials(name: EndpointName) -> None:
    """Print an endpoint's keys.

    Example: mlctl endpoint get-credentials -n fraud-endpoint --query primaryKey -o tsv
    """
    state = current()
    state.emit(endpoints.get_credentials(state.session, name))


@app.command("regenerate-keys", epilog=GLOBALS)
def regenerate_keys(
    name: EndpointName,
    key_type: Annotated[str, typer.Option("--key-type", help="Which key: primary or secondary.")] = "primary",
    no_wait: NoWait = False,
    timeout: Timeout = None,
) -> None:
    """Replace one key; the old one is refused when the command returns, the other goes on working.

    Example: mlctl endpoint regenerate-keys -n fraud-endpoint --key-type secondary
    """
    state = current()
    state.session.timeout_s = timeout
    endpoints.regenerate_keys(state.session, name, key_type=key_type, waits=not no_wait)
    hint = f"mlctl endpoint get-credentials -n {name} --query {key_type.lower()}Key -o tsv"
    state.emit(None, lambda: render.say(f"the {key_type.lower()} key of {name} is replaced", f"read it   {hint}"))


@app.command("get-logs", epilog=GLOBALS)
def get_logs(
    name: EndpointName,
    deployment_name: Annotated[
        str | None, typer.Option("--deployment-name", "-d", help="Which deployment; needed when there are several.")
    ] = None,
    lines: Lines = 5000,
) -> None:
    """Print what the newest replica of the only deployment, or of the named one, wrote.

    Example: mlctl endpoint get-logs -n fraud-endpoint --lines 20
    """
    state = current()
    state.emit_text(logs.get_endpoint_logs(state.session, name, deployment=deployment_name, lines=lines))
