"""Names for the shell's completion: read from the registry that is there, quickly, and never an error."""

from __future__ import annotations

import os
from collections.abc import Callable

from mlctl.errors import MlctlError
from mlctl.registry import batch_deployments, batch_endpoints, deployments, endpoints, jobs, schedules
from mlctl.registry.store import Store
from mlctl.settings import load_settings


def list_endpoints() -> list[str]:
    """Return the names of all endpoints."""
    return _read(lambda store: [row.name for row in endpoints.list_endpoints(store)])


def list_deployments(endpoint: str | None) -> list[str]:
    """Return the names of an endpoint's deployments, or of all."""

    def read(store: Store) -> list[str]:
        owners = [endpoint] if endpoint else [row.name for row in endpoints.list_endpoints(store)]
        return sorted({row.name for owner in owners for row in deployments.list_deployments(store, owner)})

    return _read(read)


def list_batch_endpoints() -> list[str]:
    """Return the names of all batch endpoints."""
    return _read(lambda store: [row.name for row in batch_endpoints.list_endpoints(store)])


def list_batch_deployments(endpoint: str | None) -> list[str]:
    """Return the names of a batch endpoint's deployments, or of all."""
    return _read(lambda store: sorted({row.name for row in batch_deployments.list_deployments(store, endpoint)}))


def list_jobs() -> list[str]:
    """Return the names of all jobs, the newest first."""
    return _read(lambda store: [row.name for row in jobs.list_jobs(store)])


def list_schedules() -> list[str]:
    """Return the names of all schedules."""
    return _read(lambda store: sorted({row.name for row in schedules.list_schedules(store)}))


def _read(read: Callable[[Store], list[str]]) -> list[str]:
    try:
        settings = load_settings(os.environ)
        if not settings.database.exists():
            return []
        with Store(settings.database) as store:
            return read(store)
    except MlctlError:
        return []
