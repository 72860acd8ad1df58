"""An endpoint's logs when it has one deployment: nobody need know its name."""

from __future__ import annotations

from mlctl.errors import InvalidInput
from mlctl.ops import deployments
from mlctl.ops.session import Session
from mlctl.registry import deployments as rows
from mlctl.registry import endpoints


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
