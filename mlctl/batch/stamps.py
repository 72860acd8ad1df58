"""How the job's logs write a moment."""

from __future__ import annotations

from datetime import UTC, datetime


def stamp(at: float | None = None) -> str:
    """Render a moment in UTC, in milliseconds; at: epoch seconds, None: now."""
    moment = datetime.now(UTC) if at is None else datetime.fromtimestamp(at, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
