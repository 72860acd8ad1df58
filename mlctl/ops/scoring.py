"""`endpoint invoke`: one request to an endpoint, with its primary key."""

from __future__ import annotations

from pathlib import Path

from mlctl.errors import BackendUnavailable, InvalidInput, ScoringFailed
from mlctl.ops import daemon
from mlctl.ops.documents import scoring_uri
from mlctl.ops.session import Session
from mlctl.registry import deployments, endpoints, replicas

READY_TIMEOUT_S = 60.0
# The gateway bounds the answer by request_timeout_ms (180 s at most); this is for a gateway that is stuck.
HTTP_TIMEOUT_S = 200.0


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
    if daemon.ensure_running(session):
        _wait_for_replicas(session, row.name)
    return _send(session, row.name, body, deployment)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", hint=f"ls -l {path.parent}") from error


def _wait_for_replicas(session: Session, endpoint: str) -> None:
    """Everything was down: give what should serve the time to come up."""
    import time

    wanted = {row.name for row in deployments.list_deployments(session.store, endpoint) if row.state == "Succeeded"}
    deadline = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline:
        running = replicas.list_replicas(session.store, endpoint)
        if wanted <= {replica.deployment for replica in running if replica.state == "ready"}:
            return
        time.sleep(0.05)


def _send(session: Session, endpoint: str, body: bytes, deployment: str | None) -> str:
    import requests

    row = endpoints.get_endpoint(session.store, endpoint)
    keys = session.secret_box.decrypt(row.credentials)
    headers = {"Authorization": f"Bearer {keys['primary']}", "Content-Type": "application/json"}
    if deployment is not None:
        headers["azureml-model-deployment"] = deployment
    http = requests.Session()
    # Never through a proxy of the environment: it would see the key.
    http.trust_env = False
    try:
        answer = http.post(
            scoring_uri(endpoint, session.gateway_address), data=body, headers=headers, timeout=HTTP_TIMEOUT_S
        )
    except requests.RequestException as error:
        raise BackendUnavailable(
            f"the gateway at {session.gateway_address} does not answer", hint="mlctl daemon status"
        ) from error
    finally:
        http.close()
    if answer.status_code != 200:
        raise ScoringFailed(
            f"{endpoint} answered {answer.status_code}: {answer.text}",
            hint=f"mlctl deployment get-logs -n {answer.headers.get('azureml-model-deployment', 'NAME')} -e {endpoint}",
        )
    return answer.text
