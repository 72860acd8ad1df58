"""Stored copies of models, code and build folders: who needs them, and removing those that nobody does."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlctl.ops.session import Session
from mlctl.registry import artifacts, assets, deployments, endpoints
from mlctl.registry.artifacts import StoredCopy

_HASH = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(frozen=True)
class ArtifactUse:
    """A stored copy and who needs it: `model fraud-model:3`, `deployment fraud-endpoint/blue`, `mount …`."""

    copy: StoredCopy
    used_by: tuple[str, ...]


@dataclass(frozen=True)
class Pruned:
    """Copies that nobody needs, removed or (is_dry_run) to be removed; too_young: kept, they were stored just now."""

    copies: tuple[StoredCopy, ...]
    too_young: int
    is_dry_run: bool

    @property
    def freed_bytes(self) -> int:
        """What their files take."""
        return sum(copy.size_bytes for copy in self.copies)


def list_all(session: Session) -> list[ArtifactUse]:
    """Return every stored copy, newest first."""
    uses = _collect_uses(session)
    copies = artifacts.list_copies(session.store, session.settings.artifacts)
    return [ArtifactUse(copy, tuple(uses.get(copy.hash, ()))) for copy in copies]


def prune(session: Session, *, older_than_s: float, is_dry_run: bool = False) -> Pruned:
    """Remove the copies that no asset, generation or mount needs.

    older_than_s: copies that were stored since are kept: a command may be about to write down that it needs them.
    """
    store, folder = session.store, session.settings.artifacts
    border = time.time() - older_than_s
    with store.transaction():
        unused = [use.copy for use in list_all(session) if not use.used_by]
        chosen = tuple(copy for copy in unused if copy.stored_at <= border)
        if not is_dry_run:
            artifacts.forget_copies(store, folder, [copy.hash for copy in chosen])
    if not is_dry_run:
        artifacts.sweep(folder)
    return Pruned(chosen, len(unused) - len(chosen), is_dry_run)


def _collect_uses(session: Session) -> dict[str, list[str]]:
    uses: dict[str, list[str]] = {}
    for digest, user in (*_list_assets(session), *_list_generations(session), *_list_mounts(session)):
        users = uses.setdefault(digest, [])
        if user not in users:
            users.append(user)
    return uses


def _list_assets(session: Session) -> Iterator[tuple[str, str]]:
    for asset in assets.list_all_assets(session.store):
        if asset.artifact:
            yield asset.artifact, f"{asset.kind} {asset.name}:{asset.version}"


def _list_generations(session: Session) -> Iterator[tuple[str, str]]:
    """Read every hash that a plan holds, whatever it stands for."""
    import json

    for endpoint in endpoints.list_endpoints(session.store):
        for row in deployments.list_deployments(session.store, endpoint.name):
            for generation in deployments.list_generations(session.store, endpoint.name, row.name).values():
                for digest in _HASH.findall(json.dumps(generation.plan)):
                    yield digest, f"deployment {endpoint.name}/{row.name}"


def _list_mounts(session: Session) -> Iterator[tuple[str, str]]:
    root = session.settings.mounts
    for path in _links(root):
        for digest in _HASH.findall(str(path.readlink())):
            yield digest, f"mount {'/'.join(path.relative_to(root).parts[:2])}"


def _links(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_symlink():
            yield path
        elif path.is_dir() and path.name != ".work":
            yield from _links(path)
