"""Stored copies of models, code and build folders: who needs them, and removing those that nobody does."""

from __future__ import annotations

import contextlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl import leases
from mlctl.ops.session import Session
from mlctl.registry import artifacts, assets, batch_deployments, deployments, endpoints, jobs
from mlctl.registry.artifacts import StoredCopy
from mlctl.runtimes import environments
from mlctl.runtimes.environments import BuiltEnvironment

_HASH = re.compile(r"\b[0-9a-f]{64}\b")


@dataclass(frozen=True)
class ArtifactUse:
    """A stored copy and who needs it: `model fraud-model:3`, `deployment fraud-endpoint/blue`, `mount …`."""

    copy: StoredCopy
    used_by: tuple[str, ...]


@dataclass(frozen=True)
class Pruned:
    """Copies and environments that nobody needs, removed or (is_dry_run) to be removed.

    too_young: how many copies were kept because they were stored just now; in_use: because a command is about to write
    down that it needs them.
    """

    copies: tuple[StoredCopy, ...]
    environments: tuple[BuiltEnvironment, ...]
    too_young: int
    in_use: int
    is_dry_run: bool

    @property
    def freed_bytes(self) -> int:
        """What their files take."""
        return sum(part.size_bytes for part in (*self.copies, *self.environments))


def list_all(session: Session) -> list[ArtifactUse]:
    """Return every stored copy, newest first."""
    uses = _collect_uses(session)
    copies = artifacts.list_copies(session.store, session.settings.artifacts)
    return [ArtifactUse(copy, tuple(uses.get(copy.hash, ()))) for copy in copies]


def prune(session: Session, *, older_than_s: float, is_dry_run: bool = False) -> Pruned:
    """Remove the copies that no asset, generation or mount needs, and the environments that no generation runs in.

    older_than_s: what was stored since is kept. What a running command stored is kept whatever its age: the clock may
    have jumped.
    """
    store, folder = session.store, session.settings.artifacts
    border = time.time() - older_than_s
    with store.transaction():
        unused = [use.copy for use in list_all(session) if not use.used_by]
        free = [copy for copy in unused if not leases.is_held(folder / copy.hash)]
        chosen = tuple(copy for copy in free if copy.stored_at <= border)
        if not is_dry_run:
            artifacts.forget_copies(store, folder, [copy.hash for copy in chosen])
        built = _list_unused_environments(session, border)
        if not is_dry_run:
            for environment in built:
                environments.remove_built(environment)
    if not is_dry_run:
        artifacts.sweep(folder)
    return Pruned(chosen, built, len(free) - len(chosen), len(unused) - len(free), is_dry_run)


def _list_unused_environments(session: Session, border: float) -> tuple[BuiltEnvironment, ...]:
    used = {Path(plan["python"]).parents[1] for _, plan in _list_plans(session) if "python" in plan}
    used |= {python.parents[1] for python in _list_pythons_of_jobs(session)}
    built = environments.list_built(session.settings.home)
    unused = (found for found in built if found.path not in used and found.used_at <= border)
    return tuple(found for found in unused if not leases.is_held(found.path))


def _list_pythons_of_jobs(session: Session) -> Iterator[Path]:
    """Yield the interpreters of jobs, which may be gone on with: their deployments may have others by now."""
    from mlctl.batch.launch import find_folder
    from mlctl.batch.order import read_order

    for row in jobs.list_jobs(session.store):
        if row.kind == "batch":
            with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                yield Path(read_order(find_folder(session.settings.home, row.name).order).python)
    for step in _list_steps_to_run(session):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            yield Path(json.loads(find_folder(session.settings.home, step.name).order.read_text())["python"])


def _list_steps_to_run(session: Session) -> Iterator[jobs.JobRow]:
    """Yield the steps of pipelines that run, or may be gone on with."""
    for row in jobs.list_jobs(session.store):
        if row.kind == "pipeline" and row.state != "Completed":
            yield from (step for step in jobs.list_steps(session.store, row.name) if step.state != "Completed")


def _list_plans(session: Session) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield what each generation was resolved to, with the name of its deployment."""
    for endpoint in endpoints.list_endpoints(session.store):
        for row in deployments.list_deployments(session.store, endpoint.name):
            for generation in deployments.list_generations(session.store, endpoint.name, row.name).values():
                yield f"{endpoint.name}/{row.name}", generation.plan
    for row in batch_deployments.list_deployments(session.store):
        yield f"{row.endpoint}/{row.name}", row.plan


def _collect_uses(session: Session) -> dict[str, list[str]]:
    uses: dict[str, list[str]] = {}
    for digest, user in (
        *_list_assets(session),
        *_list_generations(session),
        *_list_mounts(session),
        *_list_jobs(session),
        *_list_code_of_steps(session),
    ):
        users = uses.setdefault(digest, [])
        # A mount stands for its deployment: who runs it is told once.
        if (
            user.removeprefix("mount ") not in (known.removeprefix("deployment ") for known in users)
            and user not in users
        ):
            users.append(user)
    return uses


def _list_assets(session: Session) -> Iterator[tuple[str, str]]:
    for asset in assets.list_all_assets(session.store):
        held = [asset.artifact] if asset.artifact and asset.kind != "data" else []
        if asset.kind == "component":
            held = _HASH.findall(json.dumps(asset.spec))
        for digest in held:
            yield digest, f"{asset.kind} {asset.name}:{asset.version}"


def _list_generations(session: Session) -> Iterator[tuple[str, str]]:
    """Read every hash that a plan holds, whatever it stands for."""
    for name, plan in _list_plans(session):
        for digest in _HASH.findall(json.dumps(plan)):
            yield digest, f"deployment {name}"


def _list_code_of_steps(session: Session) -> Iterator[tuple[str, str]]:
    for step in _list_steps_to_run(session):
        for digest in _HASH.findall(str(step.spec.get("code"))):
            yield digest, f"job {step.name}"


def _list_mounts(session: Session) -> Iterator[tuple[str, str]]:
    root = session.settings.mounts
    for path in _links(root):
        for digest in _HASH.findall(str(path.readlink())):
            yield digest, f"mount {'/'.join(path.relative_to(root).parts[:2])}"


def _list_jobs(session: Session) -> Iterator[tuple[str, str]]:
    """Read what a job's own links lead to, and where a command that has not ended gets its code from."""
    from mlctl.batch.launch import find_folder

    for row in jobs.list_jobs(session.store):
        folder = find_folder(session.settings.home, row.name)
        texts = [str(path.readlink()) for path in _links(folder.mount)]
        if row.kind == "command" and not row.has_ended:
            with contextlib.suppress(OSError):
                texts.append(folder.order.read_text(encoding="utf-8"))
        for digest in _HASH.findall("\n".join(texts)):
            yield digest, f"job {row.name}"


def _links(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_symlink():
            yield path
        elif path.is_dir() and path.name != ".work":
            yield from _links(path)
