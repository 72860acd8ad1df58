"""`endpoint invoke`: one request to an endpoint, with its primary key."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from mlctl import unix_http
from mlctl.entities.stored import read_map
from mlctl.errors import BackendUnavailable, InvalidInput, ScoringFailed
from mlctl.ops import daemon
from mlctl.ops.documents import scoring_path
from mlctl.ops.session import Session
from mlctl.registry import deployments, endpoints, replicas
from mlctl.registry.credentials import TokenSigner, read_keys
from mlctl.registry.endpoints import EndpointRow

READY_TIMEOUT_S = 60.0
# The gateway bounds the answer by request_timeout_ms (180 s at most); this is for a gateway that is stuck.
HTTP_TIMEOUT_S = 200.0
DEPLOYMENT_HEADER = "azureml-model-deployment"
OK, NOT_FOUND, NOT_READY = 200, 404, 503
TOO_LARGE_OR_BUSY = (413, 429)

# Status, the deployment that answered, body.
Answer = tuple[int, str | None, str]


def invoke(session: Session, name: str, *, request_file: Path | None, deployment: str | None = None) -> str:
    """Send a request file to an endpoint and return the body of the answer.

    ScoringFailed (exit 1): an answer other than 200, with its text.
    """
    if request_file is None:
        raise InvalidInput(
            "which request? give --request-file", hint=f"mlctl endpoint invoke -n {name} -r request.json"
        )
    row = endpoints.get_endpoint(session.store, name)
    body = _read(request_file)
    if deployment is not None and deployments.find_deployment(session.store, row.name, deployment) is None:
        known = ", ".join(found.name for found in deployments.list_deployments(session.store, row.name)) or "none yet"
        raise InvalidInput(f"there is no deployment {deployment} at {row.name}", hint=f"deployments: {known}")
    deadline = time.monotonic()
    if daemon.ensure_running(session):
        deadline += READY_TIMEOUT_S
        _wait_for_replicas(session, row.name, deadline)
    while True:
        status, named, text = _send(session, row.name, body, deployment)
        # The gateway may hear of replicas that are back a moment after the registry.
        if status != NOT_READY or time.monotonic() > deadline:
            break
        time.sleep(0.05)
    if status != OK:
        text = text.strip()
        raise ScoringFailed(f"{row.name} answered {status}: {text}", hint=_suggest(session, row, status, named))
    return text


def _suggest(session: Session, row: EndpointRow, status: int, named: str | None) -> str:
    """Return what to type after an answer that is none."""
    found = deployments.list_deployments(session.store, row.name)
    # Those that serve first: they can take the traffic.
    names = [one.name for one in sorted(found, key=lambda one: one.state != "Succeeded")]
    if status == NOT_FOUND and not named:
        if not names:
            return f"it has no deployments: mlctl deployment create -f blue.yml -e {row.name} --all-traffic"
        return f'mlctl endpoint update -n {row.name} --traffic "{names[0]}=100"'
    if status in TOO_LARGE_OR_BUSY or not names:
        return f"mlctl endpoint show -n {row.name}"
    live = [name for name, share in read_map(row.spec, "traffic").items() if share]
    return f"mlctl deployment get-logs -n {named or (live or names)[0]} -e {row.name}"


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", hint=f"ls -l {path.parent}") from error


def _wait_for_replicas(session: Session, endpoint: str, deadline: float) -> None:
    """Everything was down: give what should serve the time to come up."""
    wanted = {row.name for row in deployments.list_deployments(session.store, endpoint) if row.state == "Succeeded"}
    while time.monotonic() < deadline:
        running = replicas.list_replicas(session.store, endpoint)
        ready = (replica for replica in running if replica.state == "ready")
        if wanted <= {replica.deployment for replica in ready if daemon.is_alive(replica)}:
            return
        time.sleep(0.05)


def _send(session: Session, endpoint: str, body: bytes, deployment: str | None) -> Answer:
    row = endpoints.get_endpoint(session.store, endpoint)
    headers = {"Authorization": f"Bearer {find_credential(session, row)}", "Content-Type": "application/json"}
    if deployment is not None:
        headers["azureml-model-deployment"] = deployment
    is_private = row.spec.get("public_network_access") == "disabled"
    post = _post_to_socket if is_private else _post
    try:
        return post(session, row.name, body, headers)
    except OSError as error:
        raise BackendUnavailable(f"the gateway does not answer: {error}", hint="mlctl daemon status") from error


def find_credential(session: Session, row: EndpointRow) -> str:
    """Return what opens an endpoint: its primary key, or a fresh token."""
    if row.spec.get("auth_mode", "key") == "key":
        return read_keys(session.secret_box, row.credentials).values["primary"]
    return TokenSigner(session.store, session.secret_box).sign(row.name, now=time.time()).value


def _post(session: Session, endpoint: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    import requests

    with requests.Session() as http:
        # Never through a proxy of the environment: it would see the key.
        http.trust_env = False
        # requests' errors are OSErrors.
        url = f"http://{session.gateway_address}{scoring_path(endpoint)}"
        answer = http.post(url, data=body, headers=dict(headers), timeout=HTTP_TIMEOUT_S)
        return answer.status_code, answer.headers.get(DEPLOYMENT_HEADER), answer.text


def _post_to_socket(session: Session, endpoint: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    socket, path = str(session.gateway_socket), scoring_path(endpoint)
    try:
        answer = unix_http.request(socket, "POST", path, body=body, headers=headers, timeout_s=HTTP_TIMEOUT_S)
    except unix_http.HTTPException as error:
        raise OSError(str(error)) from error
    return answer.status, answer.headers.get(DEPLOYMENT_HEADER), answer.body.decode(errors="replace")
