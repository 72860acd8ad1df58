"""Components: registered under a name and a version, or used where they are described; what pipelines are made of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlctl.entities.component import CommandComponent, PipelineComponent
from mlctl.entities.kinds import component_class
from mlctl.errors import InvalidInput, NotFound
from mlctl.ops.assets import ANONYMOUS_COMPONENT, show
from mlctl.ops.freezing import freeze
from mlctl.ops.loading import Loaded, load
from mlctl.ops.resolving import find_asset, find_local
from mlctl.ops.session import Session
from mlctl.registry import assets, jobs

if TYPE_CHECKING:
    from mlctl.ops.documents import Document
    from mlctl.registry.batch_deployments import BatchDeploymentRow

Plan = dict[str, Any]


def create(session: Session, *, file: Path, options: Mapping[str, Any], overrides: Sequence[str] = ()) -> Document:
    """Register a component; its code is copied into the registry, and its environments are built."""
    entity: CommandComponent | PipelineComponent = load(file, component_class, overrides=overrides, options=options)
    document = entity.to_document()
    if document.get("name") is None:
        raise InvalidInput(
            f"{file}: the component has no name", hint=f"mlctl component create -f {file} -n {file.stem}"
        )
    frozen = freeze(session, document, file.absolute().parent)
    asset = assets.put_asset(
        session.store,
        kind="component",
        workspace=session.workspace,
        name=document["name"],
        version=document.get("version"),
        spec=frozen,
        artifact=None,
    )
    return show(session, "component", asset.name, version=asset.version, label=None)


def resolve_pipeline(session: Session, loaded: Loaded, base: BatchDeploymentRow | None = None) -> Plan:
    """Return the plan of a pipeline deployment: the job it runs again, or its component, and that one's document."""
    kept = base.plan if base is not None and base.is_pipeline else None
    if kept is not None and not (loaded.brings("component") or loaded.brings("job_definition")):
        return kept
    job = loaded.spec.get("job_definition")
    if job is not None:
        return _resolve_job(session, job)
    return resolve_component(session, loaded.spec["component"], loaded.folder)


def resolve_component(session: Session, component: Any, folder: Path) -> Plan:
    """Return a component's name in the registry and its document: of a reference, a file, or a map."""
    if isinstance(component, str) and component.lower().startswith("azureml:"):
        asset = find_asset(session, "component", component)
        return {"component": _name(asset.workspace, asset.name, asset.version), "document": dict(asset.spec)}
    document, here = read_component(component, folder)
    frozen = freeze(session, document, here)
    # Nameless, whatever its file says: a file that is edited makes another version of nothing.
    digest = hashlib.sha256(json.dumps(frozen, sort_keys=True).encode()).hexdigest()[:32]
    asset = assets.put_asset(
        session.store,
        kind="component",
        workspace=session.workspace,
        name=ANONYMOUS_COMPONENT,
        version=digest,
        spec=frozen,
        artifact=None,
    )
    return {"component": _name(asset.workspace, asset.name, asset.version), "document": frozen}


def _name(workspace: str, name: str, version: str) -> Plan:
    return {"workspace": workspace, "name": name, "version": version}


def _resolve_job(session: Session, text: str) -> Plan:
    """Return the plan of a deployment that runs a job again: its steps, with what it was given as defaults."""
    name = text.rpartition("/")[2] if "/jobs/" in text else text.removeprefix("azureml:")
    row = jobs.find(session.store, name)
    if row is None:
        raise NotFound(f"job_definition: there is no job {name}", hint="mlctl job list")
    if row.kind == "batch":
        raise InvalidInput(
            f"job_definition: {name} is a job of a batch deployment, which can be invoked by itself",
            hint=f"mlctl batch invoke -n {row.endpoint} -d {row.deployment} --input PATH",
        )
    if row.kind != "pipeline":
        raise InvalidInput(
            f"job_definition: {name} is a {row.kind} job, only pipeline jobs can be deployed",
            hint="name the command's component instead: component: ./component.yml",
        )
    return {"job": name, "document": row.spec["definition"]}


def read_component(component: Any, folder: Path) -> tuple[dict[str, Any], Path]:
    """Return a component's document and what its paths start from."""
    if not isinstance(component, str):
        return dict(cast("Mapping[str, Any]", component)), folder
    path = find_local(folder, component.removeprefix("file:"), "component")
    entity: CommandComponent | PipelineComponent = load(path, component_class)
    return entity.to_document(), path.parent
