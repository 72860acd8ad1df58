"""Batch deployments: one function per verb, and `load`, which says what an invocation runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlctl.entities.batch_extensions import INPUT
from mlctl.entities.stored import read_map
from mlctl.errors import NotFound, Problem
from mlctl.ops import compute
from mlctl.ops.batch_documents import batch_deployment_document, batch_deployment_list_row
from mlctl.ops.batch_endpoints import describe_missing_default, tell_running
from mlctl.ops.documents import Document
from mlctl.ops.session import Session
from mlctl.registry import batch_deployments, batch_endpoints, jobs
from mlctl.registry.batch_deployments import BatchDeploymentRow

if TYPE_CHECKING:
    from mlctl.entities.document import Document as YamlDocument
    from mlctl.ops.loading import Loaded

Operation = tuple[str, Sequence[str]]
Plan = dict[str, Any]


@dataclass(frozen=True)
class ResolvedBatchDeployment:
    """A batch deployment, ready to be run.

    deployment: its document, settings at the top level. plan: what it was resolved to, code and model by the hash of
    the registry's copy. cluster: the address of a Dask scheduler, None: this machine.
    """

    endpoint: str
    name: str
    deployment: Mapping[str, Any]
    plan: Mapping[str, Any]
    environment_variables: Mapping[str, str]
    properties: Mapping[str, Any]
    cluster: str | None


def load(session: Session, endpoint_name: str, deployment_name: str | None) -> ResolvedBatchDeployment:
    """Return what an invocation runs: the named deployment, else the endpoint's default; NotFound names near ones."""
    owner = batch_endpoints.get_endpoint(session.store, endpoint_name)
    name = deployment_name or owner.default_deployment
    if name is None:
        raise describe_missing_default(session, owner)
    row = batch_deployments.get_deployment(session.store, owner.name, name)
    return ResolvedBatchDeployment(
        endpoint=owner.name,
        name=row.name,
        deployment=row.spec,
        plan=row.plan,
        environment_variables={key: _show(value) for key, value in read_map(row.spec, "environment_variables").items()},
        properties=read_map(row.spec, "properties"),
        cluster=compute.find_cluster(session, row.spec.get("compute")),
    )


def _show(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def create(
    session: Session,
    *,
    file: Path,
    name: str | None = None,
    endpoint: str | None = None,
    overrides: Sequence[str] = (),
    becomes_default: bool = False,
    checks_script: bool = True,
) -> Document:
    """Create a batch deployment, or put it in the place of the one that is there, as in az.

    Its environment is built before anything is written down. becomes_default: invocations that name none run it.
    """
    from mlctl.ops.loading import load_batch_deployment

    def find_more(document: YamlDocument) -> list[Problem]:
        return _find_missing(session, document, file.absolute().parent, checks_script=checks_script)

    options = {"name": name, "endpoint_name": endpoint}
    loaded = load_batch_deployment(file, overrides=overrides, options=options, find_more=find_more)
    owner = batch_endpoints.get_endpoint(session.store, loaded.spec["endpoint_name"])
    plan = _resolve(session, loaded, checks_script=checks_script)
    row = _put(session, owner.name, loaded, plan)
    if becomes_default:
        batch_endpoints.set_default(session.store, owner.name, row.name)
    return _document(session, row)


def _find_missing(session: Session, document: YamlDocument, folder: Path, *, checks_script: bool) -> list[Problem]:
    """List what a file points to and is not there."""
    from mlctl.entities.names import find_name_fault
    from mlctl.ops.resolving import find_missing

    found = find_missing(session, document, folder, needs_endpoint=False, checks_script=checks_script)
    name = document.data.get("endpoint_name")
    if isinstance(name, str) and find_name_fault(name) is None:
        try:
            batch_endpoints.get_endpoint(session.store, name)
        except NotFound as error:
            return [document.not_found(("endpoint_name",), error.message, error.hint), *found]
    return found


def _resolve(
    session: Session, loaded: Loaded, *, checks_script: bool = True, base: BatchDeploymentRow | None = None
) -> Plan:
    from mlctl.ops.resolving import resolve

    compute.tell_compute(session, loaded.spec.get("compute"))
    if loaded.spec.get("type") == "pipeline":
        from mlctl.ops.components import resolve_pipeline

        return resolve_pipeline(session, loaded, base)
    if base is not None and base.is_pipeline:
        base = None
    return resolve(session, loaded, checks_script=checks_script, base=base, needs=_list_needs(loaded.spec))


def _list_needs(spec: Mapping[str, Any]) -> tuple[str, ...]:
    """List the packages without which workers cannot hand tables to a script."""
    if spec.get("code_configuration") and read_map(spec, "properties").get(INPUT) != "rows":
        return ()
    from mlctl.ops.batch_orders import TABLE_NEEDS

    return TABLE_NEEDS


def _put(session: Session, endpoint: str, loaded: Loaded, plan: Plan) -> BatchDeploymentRow:
    return batch_deployments.put_deployment(
        session.store, endpoint=endpoint, name=loaded.spec["name"], spec=loaded.spec, plan=plan
    )


def update(
    session: Session,
    *,
    file: Path | None,
    name: str | None = None,
    endpoint: str | None = None,
    operations: Sequence[Operation] = (),
    forces_text: bool = False,
) -> Document:
    """Change a batch deployment; jobs that run keep what they began with."""
    from mlctl.entities.kinds import batch_deployment_class
    from mlctl.ops.loading import name_deployment, update_batch_deployment

    def find_more(document: YamlDocument) -> list[Problem]:
        folder = file.absolute().parent if file else Path.cwd()
        return _find_missing(session, document, folder, checks_script=True)

    owner, target = name_deployment(
        file,
        name,
        endpoint,
        noun="batch deployment",
        example="classic fraud-batch --set mini_batch_size=100",
        choose_class=batch_deployment_class,
    )
    row = batch_deployments.get_deployment(
        session.store, batch_endpoints.get_endpoint(session.store, owner).name, target
    )
    loaded = update_batch_deployment(
        row, file, operations, forces_text=forces_text, notice=session.on_notice, find_more=find_more
    )
    plan = _resolve(session, loaded, base=row)
    return _document(session, _put(session, row.endpoint, loaded, plan))


def show(session: Session, *, endpoint: str, name: str) -> Document:
    """Return a batch deployment."""
    owner = batch_endpoints.get_endpoint(session.store, endpoint)
    return _document(session, batch_deployments.get_deployment(session.store, owner.name, name))


def name_exactly(session: Session, *, endpoint: str, name: str) -> tuple[str, str]:
    """Return the names of an endpoint and its deployment as they were created; NotFound when one is not there."""
    owner = batch_endpoints.get_endpoint(session.store, endpoint)
    return owner.name, batch_deployments.get_deployment(session.store, owner.name, name).name


def _document(session: Session, row: BatchDeploymentRow) -> Document:
    return batch_deployment_document(row, batch_endpoints.get_endpoint(session.store, row.endpoint))


def list_all(session: Session, endpoint: str) -> list[Document]:
    """Return an endpoint's batch deployments as reduced rows."""
    owner = batch_endpoints.get_endpoint(session.store, endpoint)
    rows = batch_deployments.list_deployments(session.store, owner.name)
    return [batch_deployment_list_row(row, owner) for row in rows]


def delete(session: Session, *, endpoint: str, name: str) -> None:
    """Delete a batch deployment. Jobs stay, and running ones go on; one that is gone already is no error."""
    with session.store.transaction():
        owner = batch_endpoints.find_endpoint(session.store, endpoint)
        row = batch_deployments.find_deployment(session.store, owner.name, name) if owner else None
        if owner is None or row is None:
            session.on_notice(f"there is no batch deployment {name} at {endpoint}: nothing to delete")
            return
        batch_deployments.remove_deployment(session.store, row.endpoint, row.name)
        is_default = (owner.default_deployment or "").lower() == row.name.lower()
        if is_default:
            batch_endpoints.set_default(session.store, owner.name, None)
        running = [
            job.name
            for job in jobs.list_jobs(session.store, endpoint=owner.name)
            if not job.has_ended and (job.deployment or "").lower() == row.name.lower()
        ]
    if is_default:
        session.on_notice(f"{owner.name} has no default deployment any more: {row.name} was it")
    tell_running(session, running)
