"""From a deployment's document to its plan: which copies of model and code it runs, and with which interpreter.

A plan never changes once it is written: what it names is kept by content hash.
"""

from __future__ import annotations

import ast
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.entities.references import parse_reference
from mlctl.errors import InvalidInput, NotFound, Problem
from mlctl.ops.documents import CODE_ID_PATTERN
from mlctl.ops.loading import Loaded
from mlctl.ops.session import Session
from mlctl.registry import artifacts, assets
from mlctl.registry.artifacts import Artifact
from mlctl.registry.assets import Asset
from mlctl.registry.deployments import DeploymentRow

Plan = dict[str, Any]
REMOTE = ("azureml://", "http://", "https://", "wasbs://", "abfss://", "runs:/")


def resolve(session: Session, loaded: Loaded, *, checks_script: bool = True, base: DeploymentRow | None = None) -> Plan:
    """Copy in what the document points to and return the plan; parts that the command did not bring keep `base`'s."""
    kept: Mapping[str, Any] = base.plan if base else {}
    spec = loaded.spec
    code = spec.get("code_configuration")
    if not code:
        raise InvalidInput(
            f"deployment {spec['name']} has no code_configuration: without a scoring script it cannot be served yet",
            hint="add code_configuration: {code: ./src, scoring_script: score.py}",
        )
    plan = {
        "python": sys.executable,
        "python_version": platform.python_version(),
        "entry_script": code["scoring_script"],
        "code": _resolve_code(session, loaded, checks_script, base),
        "model": _resolve_model(session, loaded) if base is None or loaded.brings("model") else kept.get("model"),
        "environment": _resolve_environment(session, loaded)
        if base is None or loaded.brings("environment")
        else kept.get("environment"),
    }
    _tell(session, plan)
    return plan


def _tell(session: Session, plan: Plan) -> None:
    environment, model = plan["environment"], plan["model"]
    name = (
        f"{environment['name']}:{environment['version']} · "
        if environment and "Anonymous" not in environment["name"]
        else ""
    )
    session.watcher.step("environment", f"{name}mlctl's own Python {plan['python_version']}")
    for kind, part in (("model", model), ("code", plan["code"])):
        stored = artifacts.find_artifact(session.store, session.settings.artifacts, part["hash"]) if part else None
        if part and stored:
            name = f"{part['name']}:{part['version']}" if kind == "model" and len(part["name"]) < 32 else stored.name
            files = f"{stored.files:,} file" + ("" if stored.files == 1 else "s")
            session.watcher.step(kind, f"{name} · {files} · {show_size(stored.size_bytes)} · sha256:{stored.hash[:8]}")


def show_size(size_bytes: int) -> str:
    """Render a size in the unit a person would say: 12.4 kB."""
    size, units = float(size_bytes), iter(("B", "kB", "MB", "GB"))
    unit = next(units)
    while size >= 1000 and unit != "GB":
        size, unit = size / 1000, next(units)
    return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"


def _resolve_code(session: Session, loaded: Loaded, checks_script: bool, base: DeploymentRow | None) -> Plan:
    code = loaded.spec["code_configuration"]
    stored = _stored_code(session, loaded, base)
    folder = stored.path / stored.name if stored else _local_path(loaded, code["code"], "code_configuration.code")
    if not folder.is_dir():
        raise InvalidInput(f"code_configuration.code: {folder} is not a folder", hint=f"ls {folder.parent}")
    if checks_script:
        _check_script(folder, code["scoring_script"])
    stored = stored or artifacts.store_artifact(session.store, session.settings.artifacts, folder)
    return {"hash": stored.hash, "name": stored.name}


def _stored_code(session: Session, loaded: Loaded, base: DeploymentRow | None) -> Artifact | None:
    """Return the copy that is meant: named by the hash that `show` prints, or kept because no file brought another."""
    code = loaded.spec["code_configuration"]["code"]
    named = CODE_ID_PATTERN.fullmatch(code)
    if named:
        return artifacts.find_artifact(session.store, session.settings.artifacts, named["hash"])
    if base is None or "code_configuration" in loaded.from_file:
        return None
    is_same = base.spec["code_configuration"]["code"] == code
    return (
        artifacts.find_artifact(session.store, session.settings.artifacts, base.plan["code"]["hash"])
        if is_same
        else None
    )


def _check_script(folder: Path, script: str) -> None:
    """Refuse a scoring script that is missing or no Python. Source: az's own check, --skip-script-validation."""
    path = folder / script
    if not path.is_file():
        near = sorted(found.relative_to(folder).as_posix() for found in folder.rglob("*.py"))[:5]
        raise InvalidInput(
            f"code_configuration.scoring_script: there is no {script} in {folder}",
            hint=f"it holds: {', '.join(near)}" if near else f"ls {folder}",
        )
    try:
        ast.parse(path.read_bytes(), filename=script)
    except (SyntaxError, ValueError) as error:
        line, column = getattr(error, "lineno", None) or 0, getattr(error, "offset", None) or 0
        problem = Problem(
            f"scoring_script is not Python: {getattr(error, 'msg', error)}",
            str(path),
            line,
            column,
            excerpt=(getattr(error, "text", "") or "").rstrip("\n"),
        )
        raise InvalidInput(f"{path}: 1 problem, nothing was changed", problems=[problem]) from error


def _resolve_model(session: Session, loaded: Loaded) -> Plan | None:
    model = loaded.spec.get("model")
    if model is None:
        return None
    if isinstance(model, str):
        asset = find_asset(session, "model", model)
        return {"workspace": asset.workspace, "name": asset.name, "version": asset.version, "hash": asset.artifact}
    stored = artifacts.store_artifact(
        session.store, session.settings.artifacts, _local_path(loaded, model["path"], "model.path")
    )
    asset = register(session, "model", model, stored.hash, anonymous=stored.hash)
    return {"workspace": asset.workspace, "name": asset.name, "version": asset.version, "hash": stored.hash}


def _resolve_environment(session: Session, loaded: Loaded) -> Plan | None:
    environment = loaded.spec.get("environment")
    if environment is None:
        return None
    if isinstance(environment, str):
        asset = find_asset(session, "environment", environment)
    else:
        asset = register(session, "environment", inline_conda_file(environment, loaded.folder), None, anonymous=None)
    return {"workspace": asset.workspace, "name": asset.name, "version": asset.version}


def register(
    session: Session, kind: str, spec: Mapping[str, Any], artifact: str | None, *, anonymous: str | None
) -> Asset:
    """Register a model or environment under its own name, or under its content's when it has none."""
    import hashlib
    import json

    digest = anonymous or hashlib.sha256(json.dumps(dict(spec), sort_keys=True).encode()).hexdigest()
    is_named = bool(spec.get("name"))
    anonymous_name = digest[:32] if kind == "model" else "CliV2AnonymousEnvironment"
    return assets.put_asset(
        session.store,
        kind=kind,
        workspace=session.workspace,
        name=spec["name"] if is_named else anonymous_name,
        version=spec.get("version") if is_named else ("1" if kind == "model" else digest[:32]),
        spec=spec,
        artifact=artifact,
    )


def inline_conda_file(environment: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the environment with the content of its conda file in place of the path."""
    from mlctl.ops.loading import read_document

    conda = environment.get("conda_file")
    if not isinstance(conda, str):
        return dict(environment)
    return {**environment, "conda_file": read_document(folder / conda).data}


def find_asset(session: Session, kind: str, text: str) -> Asset:
    """Return the model or environment that a reference names; NotFound lists the versions there are."""
    reference = parse_reference(text, kind)  # pyright: ignore[reportArgumentType]  kind is one of the two
    if reference.version is not None:
        found = assets.get_asset(
            session.store, kind=kind, workspace=session.workspace, name=reference.name, version=reference.version
        )
    else:
        found = assets.latest_asset(session.store, kind=kind, workspace=session.workspace, name=reference.name)
    if found is None:
        raise _missing(session, kind, text, reference.name)
    return found


def _missing(session: Session, kind: str, text: str, name: str) -> NotFound:
    known = assets.list_assets(session.store, kind=kind, workspace=session.workspace, name=name)
    example = "-p ./model" if kind == "model" else "--image IMAGE --conda-file conda.yml"
    create = f"register it: mlctl {kind} create -n {name} -v VERSION {example}"
    versions = ", ".join(asset.version for asset in known)
    return NotFound(f"there is no {kind} {text}", hint=f"{name} has the versions {versions}" if known else create)


def _local_path(loaded: Loaded, text: str, field: str) -> Path:
    if text.startswith(REMOTE):
        raise InvalidInput(
            f"{field}: {text} is not on this machine, and mlctl does not fetch it",
            hint=f"download it and give the path: {field}: ./folder",
        )
    path = (loaded.folder / text.removeprefix("file://")).resolve()
    if not path.exists():
        raise InvalidInput(
            f"{field}: {path} does not exist", hint=f"paths start from the file's folder: ls {path.parent}"
        )
    return path
