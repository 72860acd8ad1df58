"""Registered models and environments, by workspace, name and version."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlctl.errors import Conflict
from mlctl.registry.events import os_user, record
from mlctl.registry.store import Store, read_json


@dataclass(frozen=True)
class Asset:
    """A version. kind: model, environment, data or component. artifact: the hash of its content, or of data's facts."""

    kind: str
    workspace: str
    name: str
    version: str
    spec: Mapping[str, Any]
    artifact: str | None
    created_at: float
    created_by: str
    archived: bool
    modified_at: float | None = None
    modified_by: str | None = None


def put_asset(
    store: Store,
    *,
    kind: str,
    workspace: str,
    name: str,
    version: str | None,
    spec: Mapping[str, Any],
    artifact: str | None,
) -> Asset:
    """Register a version; without one the next number. The same version again must have the same content: Conflict."""
    with store.transaction():
        version = version or _next_version(store, kind, workspace, name)
        found = get_asset(store, kind=kind, workspace=workspace, name=name, version=version)
        if found is None:
            _insert(store, kind=kind, workspace=workspace, name=name, version=version, spec=spec, artifact=artifact)
        elif not is_same_content(found, spec, artifact):
            raise Conflict(
                f"{kind} {name}:{version} exists with other content: a registered version never changes",
                hint=f"leave --version out, or take the next one (newest: {_newest(store, kind, workspace, name)})",
            )
        else:
            replace_spec(store, found, spec)
    stored = get_asset(store, kind=kind, workspace=workspace, name=name, version=version)
    assert stored is not None
    return stored


# What may change in a registered version.
CHANGEABLE = frozenset({"description", "tags", "stage", "properties"})
# What may differ between two registrations of one version: where it came from is not what it holds.
_SOFT = CHANGEABLE | {"path", "id", "version", "datastore"}


def is_same_content(found: Asset, spec: Mapping[str, Any], artifact: str | None) -> bool:
    """Say whether a document describes what is registered already, its words about it aside."""

    def hard(document: Mapping[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in document.items() if key not in _SOFT}

    return found.artifact == artifact and hard(found.spec) == hard(spec)


def replace_spec(store: Store, asset: Asset, spec: Mapping[str, Any]) -> None:
    """Write down other words about a version; its content is the same."""
    if dict(spec) == dict(asset.spec):
        return
    store.execute(
        "UPDATE assets SET spec = ?, modified_at = ?, modified_by = ?"
        " WHERE kind = ? AND workspace = ? AND name = ? AND version = ?",
        (json.dumps(spec), time.time(), os_user(), asset.kind, asset.workspace, asset.name, asset.version),
    )


def set_archived(
    store: Store, *, kind: str, workspace: str, name: str, version: str | None, archived: bool
) -> list[str]:
    """Archive or restore one version, or all of a name; return the versions that were meant, changed or not."""
    with store.transaction():
        where = (kind, workspace, name, version, version)
        meant = store.rows(
            "SELECT version FROM assets WHERE kind = ? AND workspace = ? AND name = ? AND (? IS NULL OR version = ?)",
            where,
        )
        changed = store.execute(
            "UPDATE assets SET archived = ?, modified_at = ?, modified_by = ? WHERE kind = ? AND workspace = ?"
            " AND name = ? AND (? IS NULL OR version = ?) AND archived != ?",
            (int(archived), time.time(), os_user(), *where, int(archived)),
        )
        if changed:
            verb = "archive" if archived else "restore"
            record(store, f"{kind}.{verb}", f"{name}{f':{version}' if version else ''} {verb}d")
    return [row["version"] for row in meant]


def _insert(
    store: Store, *, kind: str, workspace: str, name: str, version: str, spec: Mapping[str, Any], artifact: str | None
) -> None:
    store.execute(
        "INSERT INTO assets (kind, workspace, name, version, spec, artifact, created_at, created_by)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        (kind, workspace, name, version, json.dumps(spec), artifact, time.time(), os_user()),
    )


def get_asset(store: Store, *, kind: str, workspace: str, name: str, version: str) -> Asset | None:
    """Return one version, or None."""
    row = store.row(
        "SELECT * FROM assets WHERE kind = ? AND workspace = ? AND name = ? AND version = ?",
        (kind, workspace, name, version),
    )
    return _asset(row) if row else None


def latest_asset(store: Store, *, kind: str, workspace: str, name: str) -> Asset | None:
    """Return the version that was registered last and is not archived, or None. Source: `show --label latest`."""
    row = store.row(
        "SELECT * FROM assets WHERE kind = ? AND workspace = ? AND name = ? AND archived = 0"
        " ORDER BY created_at DESC, rowid DESC LIMIT 1",
        (kind, workspace, name),
    )
    return _asset(row) if row else None


def list_assets(
    store: Store, *, kind: str, workspace: str, name: str | None = None, archived: bool | None = None
) -> list[Asset]:
    """Return versions, newest first, of one name or of all. archived: only such, only others, or (None) both."""
    rows = store.rows(
        "SELECT * FROM assets WHERE kind = ? AND workspace = ? AND (? IS NULL OR name = ?)"
        " AND (? IS NULL OR archived = ?) ORDER BY created_at DESC, rowid DESC",
        (kind, workspace, name, name, archived, archived),
    )
    return [_asset(row) for row in rows]


def _asset(row: Any) -> Asset:
    fields: dict[str, Any] = dict(row)
    fields |= {"spec": read_json(fields["spec"]), "archived": bool(fields["archived"])}
    return Asset(**fields)


def _next_version(store: Store, kind: str, workspace: str, name: str) -> str:
    rows = store.rows(
        "SELECT version FROM assets WHERE kind = ? AND workspace = ? AND name = ?", (kind, workspace, name)
    )
    numbers = [int(row["version"]) for row in rows if row["version"].isdigit()]
    return str(max(numbers, default=0) + 1)


def _newest(store: Store, kind: str, workspace: str, name: str) -> str:
    return next(
        (asset.version for asset in list_assets(store, kind=kind, workspace=workspace, name=name)),
        "none",
    )


def list_all_assets(store: Store) -> list[Asset]:
    """Return every version of every workspace: what they hold must be kept."""
    return [_asset(row) for row in store.rows("SELECT * FROM assets ORDER BY kind, name, created_at")]
