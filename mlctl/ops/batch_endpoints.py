"""Batch endpoints: one function per verb. Nothing runs for one until it is invoked."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlctl.entities.stored import read_map
from mlctl.errors import BackendUnavailable, InvalidInput
from mlctl.ops import daemon
from mlctl.ops.batch_documents import batch_endpoint_document, batch_endpoint_list_row, jobs_uri
from mlctl.ops.documents import Document
from mlctl.ops.session import Session
from mlctl.planning.routes import name_batch_routes
from mlctl.registry import batch_deployments, batch_endpoints, jobs
from mlctl.registry.batch_endpoints import BatchEndpointRow, name_near
from mlctl.registry.credentials import TokenSigner

Operation = tuple[str, Sequence[str]]
SERVED_WITHIN_S = 30.0
_POLL_S = 0.05


def create(session: Session, *, file: Path | None, name: str | None, overrides: Sequence[str] = ()) -> Document:
    """Create a batch endpoint from a file, from --name or both; one that is there is overwritten, as in az.

    The daemon, which serves its jobs over HTTP, is started if need be, and not waited for: `batch invoke` needs none.
    """
    from mlctl.ops.loading import load_batch_endpoint

    if file is None and name is None:
        raise InvalidInput("give --name, or --file", hint="mlctl batch create -n fraud-batch")
    spec = load_batch_endpoint(file, overrides=overrides, options={"name": name}).to_document()
    with session.store.transaction():
        present = batch_endpoints.find_endpoint(session.store, spec["name"])
        row = _put(session, spec, present)
    _tell_default(session, row, present)
    _serve_jobs(session, row)
    return batch_endpoint_document(session, row)


def _serve_jobs(session: Session, row: BatchEndpointRow) -> None:
    try:
        daemon.launch(session)
    except BackendUnavailable as error:
        session.on_notice(f"the jobs of {row.name} are not served over HTTP: {error.message}; batch invoke works")
        return
    daemon.wake(session, "")


def get_credentials(session: Session, name: str) -> Document:
    """Return a token for the jobs of a batch endpoint over HTTP, once they are served."""
    row = batch_endpoints.get_endpoint(session.store, name)
    daemon.ensure_running(session)
    audience = name_batch_routes(row.name)
    token = TokenSigner(session.store, session.secret_box).sign(audience, now=time.time())
    _wait_until_served(session, row, token.value)
    return {"accessToken": token.value, "expiryTimeUtc": token.expires_at}


def _wait_until_served(session: Session, row: BatchEndpointRow, token: str) -> None:
    """Ask until the gateway knows the endpoint and the jobs service answers."""
    import requests

    session.watcher.begin(f"the jobs of {row.name} are about to be served")
    deadline = time.monotonic() + (session.timeout_s or SERVED_WITHIN_S)
    with requests.Session() as http:
        # Never through a proxy of the environment: it would see the token.
        http.trust_env = False
        while True:
            reason = _ask(http, jobs_uri(session, row), token)
            if reason is None:
                return
            if time.monotonic() > deadline:
                raise BackendUnavailable(f"the jobs of {row.name} are not served: {reason}", hint="mlctl daemon logs")
            time.sleep(_POLL_S)


def _ask(http: Any, uri: str, token: str) -> str | None:
    """Return None when jobs are served, else why not."""
    try:
        answer = http.get(f"{uri}?$top=1", headers={"Authorization": f"Bearer {token}"}, timeout=SERVED_WITHIN_S)
    except OSError as error:
        # requests' errors are OSErrors.
        return str(error)
    return None if answer.status_code == 200 else f"{answer.status_code} {answer.text[:200]}"


def _put(session: Session, spec: Mapping[str, Any], present: BatchEndpointRow | None) -> BatchEndpointRow:
    return batch_endpoints.put_endpoint(
        session.store,
        name=present.name if present else spec["name"],
        spec=spec,
        workspace=present.workspace if present else session.workspace,
        resource_group=present.resource_group if present else session.resource_group,
    )


def _tell_default(session: Session, row: BatchEndpointRow, present: BatchEndpointRow | None) -> None:
    """Say what an invocation will miss: a default that is not there, or that the document has dropped."""
    default, former = row.default_deployment, present.default_deployment if present else None
    if default and batch_deployments.find_deployment(session.store, row.name, default) is None:
        session.on_notice(
            f"{row.name} has no deployment {default} yet: "
            f"mlctl batch-deployment create -n {default} -e {row.name} -f FILE"
        )
    if former and not default:
        session.on_notice(
            f"{row.name} was there and is overwritten, its default deployment {former} is none any more: "
            f"mlctl batch update -n {row.name} --set defaults.deployment_name={former}"
        )


def update(
    session: Session,
    *,
    file: Path | None,
    name: str | None,
    defaults: str | None = None,
    operations: Sequence[Operation] = (),
    forces_text: bool = False,
) -> Document:
    """Change a batch endpoint: a file replaces its document, then `--set` and co., then --defaults."""
    from mlctl.ops.loading import load_batch_endpoint, update_batch_endpoint

    loaded = load_batch_endpoint(file, options={"name": name}).to_document() if file else None
    target = name or (loaded or {}).get("name")
    if target is None:
        raise InvalidInput("which batch endpoint? give --name or --file", hint="mlctl batch list")
    new_defaults = None if defaults is None else _read_defaults(defaults)
    with session.store.transaction():
        row = batch_endpoints.get_endpoint(session.store, target)
        base = dict(row.spec) if loaded is None else loaded
        if new_defaults is not None:
            base["defaults"] = new_defaults
        spec = update_batch_endpoint(base, operations, forces_text=forces_text)
        chosen = read_map(spec, "defaults").get("deployment_name")
        if chosen and chosen != row.default_deployment:
            # The name as it was created, however it is written here.
            spec["defaults"]["deployment_name"] = batch_deployments.get_deployment(session.store, row.name, chosen).name
        changed = _put(session, {**spec, "name": row.name}, row)
    if file is not None:
        _tell_default(session, changed, row)
    return batch_endpoint_document(session, changed)


def _read_defaults(text: str) -> dict[str, str]:
    """Read `deployment_name=x`, one argument that replaces the defaults."""
    pairs = [token.partition("=") for token in re.split(r"[\s,]+", text.strip()) if token]
    for key, separator, value in pairs:
        if not separator or not value or key != "deployment_name":
            raise InvalidInput(
                f'--defaults: "{key}{separator}{value}" is not understood',
                hint='write --defaults "deployment_name=NAME"',
            )
    return {key: value for key, _, value in pairs}


def show(session: Session, name: str) -> Document:
    """Return a batch endpoint."""
    return batch_endpoint_document(session, batch_endpoints.get_endpoint(session.store, name))


def list_all(session: Session) -> list[Document]:
    """Return all batch endpoints as reduced rows."""
    return [batch_endpoint_list_row(session, row) for row in batch_endpoints.list_endpoints(session.store)]


def delete(session: Session, name: str) -> None:
    """Delete a batch endpoint with its deployments. Jobs stay, and running ones go on; one that is gone is no error."""
    with session.store.transaction():
        row = batch_endpoints.find_endpoint(session.store, name)
        if row is None:
            session.on_notice(f"there is no batch endpoint {name}: nothing to delete")
            return
        running = jobs.running_of(session.store, row.name)
        batch_endpoints.remove_endpoint(session.store, row.name)
    daemon.wake(session, "")
    tell_running(session, running)


def tell_running(session: Session, running: Sequence[str]) -> None:
    """Say which jobs go on."""
    if running:
        many = "they are not ended" if len(running) > 1 else "it is not ended"
        session.on_notice(f"{', '.join(running)}: {many}; to stop: mlctl job cancel -n {running[0]}")


def list_deployments_of(session: Session, name: str) -> list[str]:
    """Return the names of an endpoint's deployments."""
    return [row.name for row in batch_deployments.list_deployments(session.store, name)]


def describe_missing_default(session: Session, row: BatchEndpointRow) -> InvalidInput:
    """Make the error for an invocation that says no deployment, at an endpoint that has no default."""
    names = [found.name for found in batch_deployments.list_deployments(session.store, row.name)]
    message = f"No valid deployments to route to: {row.name} has no default deployment"
    if not names:
        return InvalidInput(f"{message}, and no other", hint=f"mlctl batch-deployment create -e {row.name} -f FILE")
    near = name_near("", names)
    return InvalidInput(
        message,
        hint=f"{near}; name one (--deployment-name {names[0]}), or: "
        f"mlctl batch update -n {row.name} --set defaults.deployment_name={names[0]}",
    )
