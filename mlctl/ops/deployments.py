"""Deployments: one function per verb."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlctl.entities.micro_batching import find_doubt
from mlctl.entities.server_variables import find_idle_workers
from mlctl.entities.stored import read_map
from mlctl.errors import Conflict, Frame, InvalidInput, MlctlError, NotFound, Problem, UserCodeFailed
from mlctl.ops import daemon, endpoints, waiting
from mlctl.ops.documents import Document, deployment_document, deployment_list_row, scoring_uri
from mlctl.ops.session import Session, Watcher
from mlctl.registry import deployments, events, replicas
from mlctl.registry import endpoints as endpoint_rows
from mlctl.registry.deployments import DeploymentRow
from mlctl.registry.endpoints import EndpointRow

if TYPE_CHECKING:
    from mlctl.entities.document import Document as YamlDocument
    from mlctl.ops.loading import Loaded

Operation = tuple[str, Sequence[str]]
# Each lost race means that another update was written: so many in a row are no accident.
_MOST_TRIES = 100


@dataclass(frozen=True)
class DeploymentResult:
    """document: what az prints. scoring_uri: where its endpoint answers. is_live: it gets traffic.

    failure: why it is Failed; None when it is not.
    """

    document: Document
    endpoint: str
    name: str
    scoring_uri: str
    is_live: bool
    failure: UserCodeFailed | None = None


def create(
    session: Session,
    *,
    file: Path,
    name: str | None = None,
    endpoint: str | None = None,
    overrides: Sequence[str] = (),
    takes_all_traffic: bool = False,
    checks_script: bool = True,
    is_local: bool = False,
    waits: bool = True,
) -> DeploymentResult:
    """Create a deployment and wait until all its replicas are ready.

    is_local: an endpoint that is not there is made on the fly, as with `az ml … --local`.
    UserCodeFailed: its script did not come up; the deployment stays, in state Failed, and no traffic has changed.
    """
    from mlctl.ops.loading import load_deployment
    from mlctl.ops.resolving import find_missing, resolve

    def find_more(document: YamlDocument) -> list[Problem]:
        folder = file.absolute().parent
        return find_missing(session, document, folder, needs_endpoint=not is_local, checks_script=checks_script)

    options = {"name": name, "endpoint_name": endpoint}
    loaded = load_deployment(file, overrides=overrides, options=options, find_more=find_more)
    find_owner = endpoint_rows.find_endpoint if is_local else endpoint_rows.get_endpoint
    owner = find_owner(session.store, loaded.spec["endpoint_name"])
    if owner is not None:
        inherit_egress(loaded, owner)
    if loaded.spec.get("type") == "kubernetes":
        session.on_notice(f"{loaded.spec['name']} is of type kubernetes: it runs as processes of this machine")
    is_there = owner and deployments.find_deployment(session.store, owner.name, loaded.spec["name"]) is not None
    # One that is there is refused by the registry below, before anything is copied.
    plan = {} if is_there else resolve(session, loaded, checks_script=checks_script)
    if owner is None:
        # Last of all that can be refused: nothing is left behind then.
        endpoints.create(session, file=None, name=loaded.spec["endpoint_name"], is_local=True)
        owner = endpoint_rows.get_endpoint(session.store, loaded.spec["endpoint_name"])
    _tell_doubt(session, loaded.spec)
    if takes_all_traffic and not waits:
        session.on_notice("--all-traffic is ignored with --no-wait: set the traffic when the deployment is ready")
    after = events.last_id(session.store)
    row = deployments.insert_deployment(
        session.store,
        endpoint=owner.name,
        name=loaded.spec["name"],
        spec=loaded.spec,
        plan=plan,
        takes_all_traffic=takes_all_traffic and waits,
    )
    return _finish(session, row, after=after, waits=waits)


def inherit_egress(loaded: Loaded, owner: EndpointRow) -> None:
    """Let an endpoint's own egress setting count for a deployment that says nothing about it."""
    field = "egress_public_network_access"
    if not loaded.brings(field) and owner.spec.get(field) == "disabled":
        loaded.spec[field] = "disabled"


def update(
    session: Session,
    *,
    file: Path | None,
    name: str | None = None,
    endpoint: str | None = None,
    operations: Sequence[Operation] = (),
    forces_text: bool = False,
    checks_script: bool = True,
    waits: bool = True,
) -> DeploymentResult:
    """Change a deployment: the new generation comes up beside the old one and takes over when it is ready.

    Two updates at once are applied one after the other, the second to what the first left.
    """
    from mlctl.ops.loading import name_deployment, update_deployment
    from mlctl.ops.resolving import find_missing, resolve

    def find_more(document: YamlDocument) -> list[Problem]:
        folder = file.absolute().parent if file else Path.cwd()
        return find_missing(session, document, folder, needs_endpoint=False, checks_script=checks_script)

    target = name_deployment(
        file, name, endpoint, noun="deployment", example="blue fraud-endpoint --set instance_count=2"
    )
    after = events.last_id(session.store)
    teller = session
    for _ in range(_MOST_TRIES):
        row = deployments.get_deployment(session.store, *target)
        loaded = update_deployment(
            row, file, operations, forces_text=forces_text, notice=teller.on_notice, find_more=find_more
        )
        _tell_doubt(teller, loaded.spec)
        plan = resolve(teller, loaded, checks_script=checks_script, base=row)
        if _write(session, row, loaded, plan):
            row = deployments.get_deployment(session.store, *target)
            return _finish(session, row, after=after, waits=waits)
        # Once is enough: the tries after the first tell nothing new.
        teller = replace(session, watcher=Watcher(), on_notice=_tell_nobody)
    raise Conflict(f"{target[1]} is being changed by others all the time", hint="try again")


def _tell_doubt(session: Session, spec: Mapping[str, Any]) -> None:
    for doubt in (find_doubt(spec), find_idle_workers(spec)):
        if doubt:
            session.on_notice(doubt)


def _tell_nobody(_: str) -> None:
    """Swallow a notice."""


def _write(session: Session, row: DeploymentRow, loaded: Loaded, plan: dict[str, Any]) -> bool:
    """Write the next generation, made from `row`; False when somebody else was faster."""
    is_scaling = plan == row.plan and _without_count(loaded.spec) == _without_count(row.spec)
    with session.store.transaction():
        current = deployments.get_deployment(session.store, row.endpoint, row.name)
        if current.generation != row.generation:
            return False
        if current.state == "Deleting":
            raise Conflict(f"{row.name} is being deleted")
        generation = deployments.write_generation(
            session.store,
            endpoint=row.endpoint,
            name=row.name,
            spec=loaded.spec,
            plan=plan,
            state="Scaling" if is_scaling else "Updating",
        )
        if is_scaling:
            # The same replicas serve on; only their number changes.
            deployments.carry_over(session.store, row, generation)
    return True


def _without_count(spec: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in spec.items() if key != "instance_count"}


def show(session: Session, *, endpoint: str, name: str) -> DeploymentResult:
    """Return a deployment. InvalidInput when there is none: az ends with 1 here, not with 3."""
    row = find_row(session, endpoint, name)
    daemon.warn_if_stopped(session)
    return _result(session, row)


def find_row(session: Session, endpoint: str, name: str) -> DeploymentRow:
    """Return a deployment's row. InvalidInput when there is none, for commands that end with 1 then, as az does."""
    try:
        return deployments.get_deployment(session.store, endpoint_rows.get_endpoint(session.store, endpoint).name, name)
    except NotFound as error:
        raise InvalidInput(error.message, hint=error.hint) from error


def list_all(session: Session, endpoint: str) -> list[Document]:
    """Return an endpoint's deployments as reduced rows."""
    owner = endpoint_rows.get_endpoint(session.store, endpoint)
    daemon.warn_if_stopped(session)
    return [deployment_list_row(row, owner) for row in deployments.list_deployments(session.store, owner.name)]


def check_deletable(session: Session, *, endpoint: str, name: str) -> None:
    """Raise Conflict while a deployment gets live or mirrored traffic: asked before anybody is asked to confirm."""
    owner = endpoint_rows.find_endpoint(session.store, endpoint)
    if owner is not None and deployments.find_deployment(session.store, owner.name, name) is not None:
        _refuse_live(session, owner.name, owner.spec, name.lower())


def delete(session: Session, *, endpoint: str, name: str, waits: bool = True) -> None:
    """Delete a deployment; Conflict while it gets live or mirrored traffic. One that is gone already is no error."""
    after = events.last_id(session.store)
    with session.store.transaction():
        owner = endpoint_rows.find_endpoint(session.store, endpoint)
        row = deployments.find_deployment(session.store, owner.name, name) if owner else None
        if owner is None or row is None:
            session.on_notice(f"there is no deployment {name} at {endpoint}: nothing to delete")
            return
        _refuse_live(session, owner.name, owner.spec, row.name)
        deployments.mark_deleting(session.store, row.endpoint, row.name)

    def find_outcome() -> bool | None:
        return True if deployments.find_deployment(session.store, endpoint, name) is None else None

    if waits:
        waiting.follow(session, row.endpoint, find_outcome, after=after, what=f"deleting {row.name}")
    else:
        daemon.ensure_running(session)
        daemon.wake(session, row.endpoint)
    collected = session.settings.collected_data / row.endpoint / row.name
    if collected.is_dir():
        session.on_notice(f"the data that {row.name} collected stays in {collected}: rm -r removes it")


def _refuse_live(session: Session, endpoint: str, spec: Mapping[str, Any], name: str) -> None:
    share, mirror = read_map(spec, "traffic").get(name, 0), read_map(spec, "mirror_traffic").get(name, 0)
    others = [row.name for row in deployments.list_deployments(session.store, endpoint) if row.name != name]
    if share:
        target = f"{others[0]}=100" if others else f"{name}=0"
        raise Conflict(
            f"{name} serves {share} % of {endpoint}'s traffic. Move it first:",
            hint=f'mlctl endpoint update -n {endpoint} --traffic "{target}"',
        )
    if mirror:
        raise Conflict(
            f"{name} gets a copy of {mirror} % of {endpoint}'s traffic. Stop that first:",
            hint=f'mlctl endpoint update -n {endpoint} --mirror-traffic "{name}=0"',
        )


def get_logs(session: Session, *, endpoint: str, name: str, lines: int, container: str = "inference-server") -> str:
    """Return the last lines of what a deployment's newest replica wrote."""
    if container not in ("inference-server", "storage-initializer"):
        raise InvalidInput(
            f'--container: "{container}" is not a container', hint="inference-server, storage-initializer"
        )
    row = find_row(session, endpoint, name)
    if container == "storage-initializer":
        return "Models and code are linked into place, nothing is downloaded."
    newest = find_log(session, row)
    if newest is None:
        return ""
    with newest.open(errors="replace") as file:
        return "".join(deque(file, maxlen=lines)).rstrip("\n")


def find_log(session: Session, row: DeploymentRow) -> Path | None:
    """Return the log of the replica that was started last, None before the first."""
    folder = session.settings.logs / row.endpoint / row.name
    logs = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_ctime)
    running = [
        replica.id for replica in replicas.list_replicas(session.store, row.endpoint) if replica.deployment == row.name
    ]
    return next((path for path in reversed(logs) if path.stem in running), logs[-1] if logs else None)


def list_events(session: Session, *, endpoint: str, name: str | None, limit: int = 1000) -> list[Document]:
    """Return what happened to a deployment, or to all of an endpoint, oldest first."""
    owner = endpoint_rows.get_endpoint(session.store, endpoint)
    found = events.list_events(session.store, endpoint=owner.name, deployment=name, limit=limit)
    return [dict(event.__dict__) for event in found]


def _finish(session: Session, row: DeploymentRow, *, after: int, waits: bool) -> DeploymentResult:
    if not waits:
        daemon.ensure_running(session)
        daemon.wake(session, row.endpoint)
        return _result(session, row)
    outcome = waiting.follow(
        session,
        row.endpoint,
        lambda: _find_outcome(session, row),
        after=after,
        what=f"replicas of {row.name} are starting, up to {_longest_start_s(row):g} s",
        look=f"mlctl deployment show -n {row.name} -e {row.endpoint}",
    )
    if isinstance(outcome, MlctlError):
        raise outcome
    if outcome.generation > row.generation:
        session.on_notice(f"{row.name} was updated again meanwhile: generation {outcome.generation} serves now")
    # Traffic that it was promised is a change of the endpoint of its own; what led here has been told.
    after = events.last_id(session.store)
    generation = endpoint_rows.get_endpoint(session.store, row.endpoint).generation
    endpoints.wait_until_accepted(session, row.endpoint, generation, after=after)
    return _result(session, outcome)


def _longest_start_s(row: DeploymentRow) -> float:
    from mlctl.planning.health import longest_start_s, read_probe_settings

    return longest_start_s(read_probe_settings(row.spec.get("liveness_probe")))


def _find_outcome(session: Session, row: DeploymentRow) -> DeploymentRow | MlctlError | None:
    """Return how it ended. A later update was made from this one: its end is the end of both."""
    found = deployments.find_deployment(session.store, row.endpoint, row.name)
    if found is None or found.state == "Deleting":
        return Conflict(f"{row.name} was deleted meanwhile")
    if found.observed_generation < found.generation:
        return None
    return _failure(found) if found.state == "Failed" else found


def _failure(row: DeploymentRow) -> UserCodeFailed:
    error = row.error or {}
    frames: list[dict[str, Any]] = error.get("frames") or []
    logs = f"mlctl deployment get-logs -n {row.name} -e {row.endpoint}"
    stays = "the former one serves on" if row.serving_generation else f"{row.endpoint} keeps its traffic as it was"
    return UserCodeFailed(
        f"{row.name} {error.get('message', 'failed')}; {stays}",
        hint=f"full log: {logs}",
        frames=[Frame(**frame) for frame in frames],
        cause=error.get("cause", ""),
        model_dir=error.get("model_dir") or [],
    )


def _result(session: Session, row: DeploymentRow) -> DeploymentResult:
    owner = endpoint_rows.get_endpoint(session.store, row.endpoint)
    return DeploymentResult(
        document=deployment_document(row, owner),
        endpoint=owner.name,
        name=row.name,
        scoring_uri=scoring_uri(session, owner),
        is_live=bool(read_map(owner.spec, "traffic").get(row.name)),
        failure=_failure(row) if row.state == "Failed" else None,
    )
