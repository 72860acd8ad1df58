"""Models and environments: registered under a name and a version, never changed afterwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlctl.errors import InvalidInput, NotFound
from mlctl.ops.documents import Document, asset_document
from mlctl.ops.session import Session
from mlctl.registry import artifacts, assets


def create_model(
    session: Session, *, file: Path | None, options: Mapping[str, Any], overrides: Sequence[str] = ()
) -> Document:
    """Register a model from a file, from --name and --path, or both; its files are copied into the registry."""
    from mlctl.entities.model import Model
    from mlctl.ops.loading import load
    from mlctl.ops.resolving import REMOTE, register

    spec = load(file, lambda _: Model, overrides=overrides, options=options).to_document()
    folder = Path.cwd() if options.get("path") or file is None else file.absolute().parent
    if str(spec["path"]).startswith(REMOTE):
        raise InvalidInput(
            f"path: {spec['path']} is not on this machine, and mlctl does not fetch it",
            hint=f"download it, then: mlctl model create -n {spec['name']} -p ./folder",
        )
    stored = artifacts.store_artifact(session.store, session.settings.artifacts, folder / spec["path"])
    asset = register(session, "model", spec, stored.hash, anonymous=stored.hash)
    return asset_document(asset, session.resource_group)


def create_environment(
    session: Session, *, file: Path | None, options: Mapping[str, Any], overrides: Sequence[str] = ()
) -> Document:
    """Register an environment; the content of its conda file is kept with it."""
    from mlctl.entities.environment import Environment
    from mlctl.ops.loading import load
    from mlctl.ops.resolving import inline_conda_file, register

    spec = load(file, lambda _: Environment, overrides=overrides, options=options).to_document()
    folder = Path.cwd() if options.get("conda_file") or file is None else file.absolute().parent
    asset = register(session, "environment", inline_conda_file(spec, folder), None, anonymous=None)
    return asset_document(asset, session.resource_group)


def show(session: Session, kind: str, name: str, *, version: str | None, label: str | None) -> Document:
    """Return one version, by number or by label (`latest`: the one registered last)."""
    if (version is None) == (label is None):
        raise InvalidInput("give either --version or --label", hint=f"mlctl {kind} show -n {name} --label latest")
    if label is not None and label.lower() != "latest":
        raise NotFound(f"{kind} {name} has no label {label}", hint="the only label is latest")
    if version is not None:
        found = assets.get_asset(session.store, kind=kind, workspace=session.workspace, name=name, version=version)
    else:
        found = assets.latest_asset(session.store, kind=kind, workspace=session.workspace, name=name)
    if found is None:
        raise NotFound(f"there is no {kind} {name}:{version or label}", hint=f"mlctl {kind} list -n {name}")
    return asset_document(found, session.resource_group)


def list_all(session: Session, kind: str, *, name: str | None) -> list[Document]:
    """Return the versions of one name, newest first, or the newest version of every name."""
    found = assets.list_assets(session.store, kind=kind, workspace=session.workspace, name=name)
    rows = [asset_document(asset, session.resource_group) for asset in found]
    if name is not None:
        return [_list_row(row, "version") for row in rows]
    newest = {row["name"]: row for row in reversed(rows)}
    return [_list_row(row, "latest version") for row in newest.values()]


def _list_row(document: Document, version_key: str) -> Document:
    row = {"name": document["name"], version_key: document["version"]}
    if "path" in document:
        row |= {"model type": document.get("type"), "path": document["path"]}
    keys = ("tags", "stage", "id", "properties", "description", "creation_context")
    return row | {key: document[key] for key in keys if document.get(key) is not None}
