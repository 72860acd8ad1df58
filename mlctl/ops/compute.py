"""Computes: one function per verb, and what a batch deployment's compute comes to on this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mlctl.entities.stored import read_map
from mlctl.errors import InvalidInput, NotFound
from mlctl.ops.batch_documents import compute_document
from mlctl.ops.documents import Document
from mlctl.ops.session import Session
from mlctl.registry import computes
from mlctl.registry.batch_endpoints import name_near
from mlctl.registry.computes import ComputeRow

LOCAL = "local"
_SCHEDULER = "mlctl.dask.scheduler"
_WORKERS = "worker processes of this machine"


def create(
    session: Session, *, file: Path | None, options: Mapping[str, Any], overrides: Sequence[str] = ()
) -> Document:
    """Create a compute, or put another in the place of the one that is there, as in az."""
    from mlctl.entities.compute import Compute
    from mlctl.ops.loading import load

    if file is None and options.get("name") is None:
        raise InvalidInput("give --name, or --file", hint="mlctl compute create -n cpu-cluster --type amlcompute")
    spec = load(file, lambda _: Compute, overrides=overrides, options=options).to_document()
    name = spec["name"]
    if name.lower() == LOCAL and spec["type"] != LOCAL:
        raise InvalidInput(f"{name} is this machine itself: choose another name", hint="mlctl compute show -n local")
    is_new = computes.find_compute(session.store, session.workspace, name) is None
    row = computes.put_compute(session.store, workspace=session.workspace, name=name, spec=spec)
    if is_new and spec["type"] == "amlcompute" and _find_scheduler(spec) is None:
        session.on_notice(f"{name}: jobs on it run as {_WORKERS}; size and number of instances are recorded only")
    return compute_document(row, session.resource_group)


def show(session: Session, name: str) -> Document:
    """Return a compute."""
    return compute_document(_get(session, name), session.resource_group)


def _get(session: Session, name: str) -> ComputeRow:
    found = _find(session, name)
    if found is None:
        names = [LOCAL, *(row.name for row in computes.list_computes(session.store, session.workspace))]
        raise NotFound(f"there is no compute {name}", hint=name_near(name, names))
    return found


def _find(session: Session, name: str) -> ComputeRow | None:
    found = computes.find_compute(session.store, session.workspace, name)
    return _make_local(session) if found is None and name.lower() == LOCAL else found


def _make_local(session: Session) -> ComputeRow:
    """Return what stands for this machine, which nobody created."""
    spec = {"type": LOCAL, "description": f"This machine: jobs run as {_WORKERS}."}
    return ComputeRow(session.workspace, LOCAL, spec, 0.0, "", 0.0, "")


def list_all(session: Session, *, kind: str | None = None, max_results: int | None = None) -> list[Document]:
    """Return all computes, `local` first. kind: only those of this type."""
    stored = computes.list_computes(session.store, session.workspace)
    rows = [*([] if any(row.name == LOCAL for row in stored) else [_make_local(session)]), *stored]
    wanted = kind.lower() if kind is not None else None
    found = [row for row in rows if wanted in (None, row.spec.get("type"))]
    return [compute_document(row, session.resource_group) for row in found[:max_results]]


def delete(session: Session, name: str) -> None:
    """Forget a compute; one that is gone is no error."""
    if name.lower() == LOCAL:
        raise InvalidInput("local is this machine itself: it cannot be deleted", hint="mlctl compute list")
    if not computes.remove_compute(session.store, session.workspace, name):
        session.on_notice(f"there is no compute {name}: nothing to delete")


def find_cluster(session: Session, name: str | None) -> str | None:
    """Return the address of the Dask scheduler that a deployment's compute stands for; None: this machine."""
    found = _find(session, name) if name else None
    return _find_scheduler(found.spec) if found else None


def _find_scheduler(spec: Mapping[str, Any]) -> str | None:
    for field in ("properties", "tags"):
        if _SCHEDULER in (given := read_map(spec, field)):
            return str(given[_SCHEDULER])
    return None


def tell_compute(session: Session, name: str | None) -> None:
    """Say that a deployment names a compute that is not there: its jobs run on this machine."""
    if name is None or _find(session, name) is not None:
        return
    near = name_near(name, [row.name for row in computes.list_computes(session.store, session.workspace)])
    meant = f" ({near})" if near else ""
    session.on_notice(f"there is no compute {name} here{meant}: jobs run as {_WORKERS}")
