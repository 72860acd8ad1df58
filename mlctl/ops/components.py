"""From a pipeline deployment's component to its steps: code kept, environments built, everything named exactly."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlctl.entities.component import CommandComponent, PipelineComponent
from mlctl.entities.kinds import component_class
from mlctl.errors import InvalidInput, NotFound
from mlctl.ops.documents import CODE_ID, CODE_ID_PATTERN, asset_id
from mlctl.ops.loading import Loaded, load
from mlctl.ops.resolving import ResolvedEnvironment, find_asset, find_local, keep_code
from mlctl.ops.session import Session
from mlctl.registry import artifacts, assets, jobs

if TYPE_CHECKING:
    from mlctl.registry.batch_deployments import BatchDeploymentRow

Plan = dict[str, Any]
_ANONYMOUS = "azureml_anonymous"


def resolve_pipeline(session: Session, loaded: Loaded, base: BatchDeploymentRow | None = None) -> Plan:
    """Return the plan of a pipeline deployment: the job it runs again, or its component, and that one's document."""
    kept = base.plan if base is not None and base.is_pipeline else None
    if kept is not None and not (loaded.brings("component") or loaded.brings("job_definition")):
        return kept
    job = loaded.spec.get("job_definition")
    if job is not None:
        return {"job": _find_job(session, job)}
    component = loaded.spec["component"]
    if isinstance(component, str) and component.lower().startswith("azureml:"):
        asset = find_asset(session, "component", component)
        return {"component": _name(asset.workspace, asset.name, asset.version), "document": dict(asset.spec)}
    document, folder = _read(component, loaded.folder)
    frozen = _Freezer(session).freeze(document, folder)
    # Nameless, whatever its file says: a file that is edited makes another version of nothing.
    digest = hashlib.sha256(json.dumps(frozen, sort_keys=True).encode()).hexdigest()[:32]
    asset = assets.put_asset(
        session.store,
        kind="component",
        workspace=session.workspace,
        name=_ANONYMOUS,
        version=digest,
        spec=frozen,
        artifact=None,
    )
    return {"component": _name(asset.workspace, asset.name, asset.version), "document": frozen}


def _name(workspace: str, name: str, version: str) -> Plan:
    return {"workspace": workspace, "name": name, "version": version}


def _find_job(session: Session, text: str) -> str:
    name = text.rpartition("/")[2] if "/jobs/" in text else text.removeprefix("azureml:")
    row = jobs.find(session.store, name)
    if row is None:
        raise NotFound(f"job_definition: there is no job {name}", hint="mlctl job list")
    if row.kind == "batch":
        raise InvalidInput(
            f"job_definition: {name} is a job of a batch deployment, which can be invoked by itself",
            hint=f"mlctl batch invoke -n {row.endpoint} -d {row.deployment} --input PATH",
        )
    return name


def _read(component: Any, folder: Path) -> tuple[dict[str, Any], Path]:
    """Return a component's document and what its paths start from."""
    if not isinstance(component, str):
        return dict(cast("Mapping[str, Any]", component)), folder
    path = find_local(folder, component.removeprefix("file:"), "component")
    entity: CommandComponent | PipelineComponent = load(path, component_class)
    return entity.to_document(), path.parent


class _Freezer:
    """Puts what paths and references name today in their place: code by hash, environments by version."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def freeze(self, document: dict[str, Any], folder: Path) -> dict[str, Any]:
        """Freeze a component with all of its steps."""
        if document.get("type") != "pipeline":
            return self._freeze_command(document, folder)
        steps = {name: self._freeze_step(name, step, folder) for name, step in document["jobs"].items()}
        return {**document, "jobs": steps}

    def _freeze_step(self, name: str, step: dict[str, Any], folder: Path) -> dict[str, Any]:
        given = step.get("component")
        if given is None:
            return self._freeze_command(step, folder)
        if isinstance(given, str) and given.lower().startswith("azureml:"):
            inner = dict(find_asset(self._session, "component", given).spec)
        else:
            document, here = _read(given, folder)
            inner = self.freeze(document, here)
        if inner.get("type") == "pipeline":
            raise InvalidInput(f"jobs.{name}: its component is a pipeline in turn; steps are commands here")
        self._check_inputs(name, step, inner)
        return {**step, "component": inner}

    def _check_inputs(self, name: str, step: Mapping[str, Any], component: Mapping[str, Any]) -> None:
        ports: Mapping[str, Any] = component.get("inputs") or {}
        given: Mapping[str, Any] = step.get("inputs") or {}
        if strange := sorted(given.keys() - ports.keys()):
            raise InvalidInput(
                f"jobs.{name}.inputs: its component has no input {strange[0]}",
                hint=f"it has: {', '.join(ports)}" if ports else "it has none",
            )
        needed = [port for port, facts in ports.items() if not facts.get("optional") and facts.get("default") is None]
        if missing := sorted(set(needed) - given.keys()):
            raise InvalidInput(
                f"jobs.{name}.inputs: {missing[0]} is missing, its component needs it",
                hint=f"for example {missing[0]}: ${{{{parent.inputs.{missing[0]}}}}}",
            )

    def _freeze_command(self, document: dict[str, Any], folder: Path) -> dict[str, Any]:
        frozen = dict(document)
        if document.get("code"):
            frozen["code"] = CODE_ID.format(hash=self._keep_code(document["code"], folder))
        environment = document.get("environment")
        if environment is None:
            return frozen
        given = frozenset({"environment"})
        found = ResolvedEnvironment(self._session, Loaded({"environment": environment}, folder, given, given))
        named = found.register()
        if named is not None:
            identifier = (named["workspace"], self._session.resource_group, named["name"], named["version"])
            frozen["environment"] = asset_id("environment", *identifier)
        return frozen

    def _keep_code(self, code: str, folder: Path) -> str:
        known = CODE_ID_PATTERN.fullmatch(code)
        stored = (
            artifacts.find_artifact(self._session.store, self._session.settings.artifacts, known["hash"])
            if known
            else None
        )
        return str(keep_code(self._session, stored or find_local(folder, code, "code"))["hash"])
