"""Logs beyond az's `get-logs`: of an endpoint with one deployment, whose name nobody need know; and while they grow."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from mlctl.errors import InvalidInput
from mlctl.ops import deployments
from mlctl.ops.session import Session
from mlctl.registry import deployments as rows
from mlctl.registry import endpoints

POLL_S = 0.2


def follow(session: Session, *, endpoint: str, name: str, lines: int) -> Iterator[str]:
    """Yield the last lines and then what is added, of whichever replica is newest; ends when the deployment is gone."""
    yield deployments.get_logs(session, endpoint=endpoint, name=name, lines=lines) + "\n"
    path, position = _newest(session, endpoint, name), 0
    if path is not None:
        position = path.stat().st_size
    while rows.find_deployment(session.store, endpoint, name) is not None:
        newest = _newest(session, endpoint, name)
        if newest != path:
            path, position = newest, 0
        if path is not None:
            text, position = _read_from(path, position)
            if text:
                yield text
        time.sleep(POLL_S)


def _newest(session: Session, endpoint: str, name: str) -> Path | None:
    row = rows.find_deployment(session.store, endpoint, name)
    return deployments.find_log(session, row) if row else None


def _read_from(path: Path, position: int) -> tuple[str, int]:
    """Return what stands after `position`; a log that was shortened is read from its start."""
    try:
        with path.open("rb") as file:
            file.seek(0 if path.stat().st_size < position else position)
            content = file.read()
            return content.decode(errors="replace"), file.tell()
    except OSError:
        return "", 0


def get_endpoint_logs(session: Session, endpoint: str, *, deployment: str | None, lines: int) -> str:
    """Return the last lines of the named deployment, or of the only one; InvalidInput names the choice."""
    owner = endpoints.get_endpoint(session.store, endpoint)
    name = deployment or _choose_only(session, owner.name)
    return deployments.get_logs(session, endpoint=owner.name, name=name, lines=lines, container="inference-server")


def _choose_only(session: Session, endpoint: str) -> str:
    names = [row.name for row in rows.list_deployments(session.store, endpoint)]
    if len(names) == 1:
        return names[0]
    if not names:
        raise InvalidInput(
            f"{endpoint} has no deployments, so no logs", hint=f"mlctl deployment create -f blue.yml -e {endpoint}"
        )
    raise InvalidInput(
        f"{endpoint} has {len(names)} deployments ({', '.join(names)})",
        hint=f"mlctl endpoint get-logs -n {endpoint} -d {names[0]}",
    )
