"""Endpoints: one function per verb."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.entities.stored import read_map
from mlctl.errors import Conflict, GatewayRejected, InvalidInput, MlctlError
from mlctl.ops import daemon, waiting
from mlctl.ops.documents import Document, endpoint_document, endpoint_list_row, scoring_uri, summarise_error
from mlctl.ops.session import Session
from mlctl.planning.traffic import LOCAL_PROPERTY
from mlctl.registry import deployments, endpoints, events, replicas
from mlctl.registry.credentials import KEY_NAMES, TokenSigner, make_keys, read_keys
from mlctl.registry.endpoints import EndpointRow

Operation = tuple[str, Sequence[str]]


@dataclass(frozen=True)
class DeploymentGlance:
    """A deployment as a line of its endpoint's view: shares in percent, replicas ready of those wanted.

    error: why it is Failed, in one line.
    """

    name: str
    state: str
    traffic: int
    mirror: int
    ready: int
    wanted: int
    model: str
    error: str = ""


@dataclass(frozen=True)
class EndpointResult:
    """document: what az prints. deployments: what a person wants to see beside it."""

    document: Document
    deployments: tuple[DeploymentGlance, ...] = ()


def create(
    session: Session,
    *,
    file: Path | None,
    name: str | None,
    auth_mode: str | None = None,
    overrides: Sequence[str] = (),
    is_local: bool = False,
    waits: bool = True,
) -> EndpointResult:
    """Create an endpoint from a file, from options or both; it has keys and no deployments yet.

    is_local: as with `az ml … --local`, it is scored without a key, and its only deployment gets all traffic.
    """
    from mlctl.ops.loading import load_endpoint

    if file is None and name is None:
        raise InvalidInput("give --name, or --file", hint="mlctl endpoint create -n fraud-endpoint")
    options = {"name": name, "auth_mode": auth_mode}
    spec = load_endpoint(file, overrides=overrides, options=options).to_document()
    if is_local:
        if not waits:
            raise InvalidInput("--local and --no-wait exclude each other", hint="leave --no-wait out")
        spec["properties"] = {**read_map(spec, "properties"), LOCAL_PROPERTY: "true"}
    if spec.get("traffic") or spec.get("mirror_traffic"):
        raise InvalidInput(
            f"traffic of {spec['name']}: it has no deployments yet",
            hint="leave traffic out, then: mlctl deployment create -f blue.yml --all-traffic",
        )
    after = events.last_id(session.store)
    row = endpoints.insert_endpoint(
        session.store,
        name=spec["name"],
        spec=spec,
        credentials=make_keys().encrypt(session.secret_box),
        workspace=session.workspace,
        resource_group=session.resource_group,
    )
    return _finish(session, row.name, row.generation, after=after, waits=waits)


def update(
    session: Session,
    *,
    file: Path | None,
    name: str | None,
    traffic: str | None = None,
    mirror_traffic: str | None = None,
    operations: Sequence[Operation] = (),
    forces_text: bool = False,
    waits: bool = True,
) -> EndpointResult:
    """Change an endpoint; returns when the gateway serves the change.

    `operations` run on the document first, then `traffic` and `mirror_traffic` replace their maps.
    """
    from mlctl.entities.traffic import check_traffic, parse_percentages
    from mlctl.ops.loading import load_endpoint, update_endpoint

    loaded = load_endpoint(file, overrides=(), options={"name": name}).to_document() if file else None
    target = name or (loaded or {}).get("name")
    if target is None:
        raise InvalidInput("which endpoint? give --name or --file", hint="mlctl endpoint list")
    new_traffic = None if traffic is None else parse_percentages(traffic)
    new_mirror = None if mirror_traffic is None else parse_percentages(mirror_traffic, "--mirror-traffic")
    after = events.last_id(session.store)
    with session.store.transaction():
        row = endpoints.get_endpoint(session.store, target)
        _refuse_deleting(row)
        base = row.spec if loaded is None else _replace_spec(row.spec, loaded)
        spec = update_endpoint(base, operations, forces_text=forces_text)
        spec["name"] = row.name
        if new_traffic is not None:
            spec["traffic"] = new_traffic
        if new_mirror is not None:
            spec["mirror_traffic"] = new_mirror
        names = [deployment.name for deployment in deployments.list_deployments(session.store, row.name)]
        check_traffic(read_map(spec, "traffic"), names, read_map(spec, "mirror_traffic"), endpoint=row.name)
        generation = endpoints.write_spec(session.store, row.name, spec=spec, event=_describe(row.spec, spec))
    return _finish(session, row.name, generation, after=after, waits=waits)


def _replace_spec(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file's document in place of the old one; what a file need not say stays: shares, and --local."""
    kept = {kind: new.get(kind) or old.get(kind) for kind in ("traffic", "mirror_traffic")}
    local = {key: value for key, value in read_map(old, "properties").items() if key == LOCAL_PROPERTY}
    return {**new, **kept, "properties": {**local, **read_map(new, "properties")}}


def _describe(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    def shares(kind: str) -> str:
        return " ".join(f"{name}={share}" for name, share in read_map(new, kind).items()) or "none"

    kinds = [kind for kind in ("traffic", "mirror_traffic") if read_map(old, kind) != read_map(new, kind)]
    changed = [key for key in {*old, *new} - {"traffic", "mirror_traffic"} if old.get(key) != new.get(key)]
    return ", ".join([*(f"{kind} {shares(kind)}" for kind in kinds), *sorted(changed)]) or "nothing changed"


def _refuse_deleting(row: EndpointRow) -> None:
    if row.state == "Deleting":
        raise Conflict(f"endpoint {row.name} is being deleted")


def show(session: Session, name: str) -> EndpointResult:
    """Return an endpoint; deployments without traffic are listed at 0."""
    row = endpoints.get_endpoint(session.store, name)
    daemon.warn_if_stopped(session)
    return _result(session, row, fills_zeros=True)


def list_all(session: Session) -> list[Document]:
    """Return all endpoints as reduced rows."""
    daemon.warn_if_stopped(session)
    return [endpoint_list_row(row) for row in endpoints.list_endpoints(session.store)]


def delete(session: Session, name: str, *, waits: bool = True) -> None:
    """Delete an endpoint with its deployments."""
    after = events.last_id(session.store)
    row = endpoints.find_endpoint(session.store, name)
    if row is None:
        # Azure's client ends with 1 here, not with the 3 of its other commands.
        raise InvalidInput(f"there is no endpoint {name}", hint="mlctl endpoint list")
    if row.state != "Deleting":
        endpoints.mark_deleting(session.store, row.name)

    def find_outcome() -> bool | None:
        return True if endpoints.find_endpoint(session.store, name) is None else None

    if waits:
        waiting.follow(session, row.name, find_outcome, after=after, what=f"deleting {row.name}")
    else:
        _hand_over(session, row.name)


def get_credentials(session: Session, name: str) -> Document:
    """Return an endpoint's keys, as {primaryKey, secondaryKey}, or a token with the times az gives for its mode."""
    row = endpoints.get_endpoint(session.store, name)
    mode = row.spec.get("auth_mode", "key")
    if mode == "key":
        keys = read_keys(session.secret_box, row.credentials).values
        return {f"{key}Key": keys[key] for key in KEY_NAMES}
    token = TokenSigner(session.store, session.secret_box).sign(row.name, now=time.time())
    document: Document = {"accessToken": token.value, "expiryTimeUtc": token.expires_at}
    if mode == "aml_token":
        document |= {"refreshAfterTimeUtc": token.refresh_after, "tokenType": "Bearer"}
    return document


def regenerate_keys(session: Session, name: str, *, key_type: str, waits: bool = True) -> None:
    """Replace one of an endpoint's keys; the old one is refused from the moment this returns."""
    key = key_type.lower()
    if key not in KEY_NAMES:
        raise InvalidInput(f'--key-type: "{key_type}" is not a key', hint="primary or secondary")
    after = events.last_id(session.store)
    with session.store.transaction():
        row = endpoints.get_endpoint(session.store, name)
        _refuse_deleting(row)
        if row.spec.get("auth_mode", "key") != "key":
            raise InvalidInput(
                f"{row.name} has no keys: its auth_mode is {row.spec['auth_mode']}",
                hint=f"mlctl endpoint get-credentials -n {row.name}",
            )
        credentials = read_keys(session.secret_box, row.credentials).replace_key(key).encrypt(session.secret_box)
        generation = endpoints.write_spec(session.store, row.name, credentials=credentials, event=f"{key} key replaced")
    _finish(session, row.name, generation, after=after, waits=waits)


def wait_until_accepted(session: Session, name: str, generation: int, *, after: int) -> EndpointRow:
    """Wait until the gateway serves `generation` or a later one; raise the reason when it was refused."""

    def find_outcome() -> EndpointRow | MlctlError | None:
        row = endpoints.find_endpoint(session.store, name)
        if row is None or row.state == "Deleting":
            return Conflict(f"endpoint {name} was deleted meanwhile")
        error = row.error or {}
        if error.get("generation") == generation:
            return GatewayRejected(
                f"the gateway refused the change, {name} stays as it was: {error['message']}",
                hint="full log: mlctl daemon logs",
            )
        return row if row.observed_generation >= generation else None

    outcome = waiting.follow(
        session, name, find_outcome, after=after, what=f"the change of {name} is on its way to the gateway"
    )
    if isinstance(outcome, MlctlError):
        raise outcome
    return outcome


def _finish(session: Session, name: str, generation: int, *, after: int, waits: bool) -> EndpointResult:
    if waits:
        return _result(session, wait_until_accepted(session, name, generation, after=after), fills_zeros=False)
    _hand_over(session, name)
    return _result(session, endpoints.get_endpoint(session.store, name), fills_zeros=False)


def _hand_over(session: Session, name: str) -> None:
    daemon.ensure_running(session)
    daemon.wake(session, name)


def _result(session: Session, row: EndpointRow, *, fills_zeros: bool) -> EndpointResult:
    rows = deployments.list_deployments(session.store, row.name)
    running = replicas.list_replicas(session.store, row.name)
    ready = [replica for replica in running if replica.state == "ready" and daemon.is_alive(replica)]
    traffic, mirror = read_map(row.spec, "traffic"), read_map(row.spec, "mirror_traffic")
    glances = [
        DeploymentGlance(
            name=deployment.name,
            state=deployment.state,
            traffic=traffic.get(deployment.name, 0),
            mirror=mirror.get(deployment.name, 0),
            ready=sum(replica.deployment == deployment.name for replica in ready),
            wanted=deployment.spec.get("instance_count") or 1,
            model=_model_name(deployment.plan),
            error=summarise_error(deployment),
        )
        for deployment in rows
    ]
    document = endpoint_document(row, scoring_uri(session, row), [g.name for g in glances], fills_zeros=fills_zeros)
    return EndpointResult(document, tuple(glances))


def _model_name(plan: Mapping[str, Any]) -> str:
    model = plan.get("model")
    return f"{model['name']}:{model['version']}" if model else "–"
