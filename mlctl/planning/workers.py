"""Several workers in one replica: where each listens, and what they may have at a time."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mlctl.entities.server_variables import count_workers
from mlctl.entities.stored import read_map

DEFAULT_CONCURRENCY = 1
_SEVERAL = re.compile(r"\.w(\d+)\.sock$")


def count_at_a_time(spec: Mapping[str, Any]) -> int:
    """Return how many requests a replica has at a time: none of its workers is left idle.

    Azure says that max_concurrent_requests_per_instance should be WORKER_COUNT, and sets neither from the other.
    """
    asked = read_map(spec, "request_settings").get("max_concurrent_requests_per_instance") or DEFAULT_CONCURRENCY
    return max(asked, count_workers(spec))


def name_socket(stem: str, workers: int) -> str:
    """Return the name of a replica's socket. It tells how many there are: who knows one of them knows all."""
    return f"{stem}.sock" if workers == 1 else f"{stem}.w{workers}.sock"


def list_sockets(socket: str) -> tuple[str, ...]:
    """Return the paths of a replica's sockets, one for each worker, given the first."""
    found = _SEVERAL.search(socket)
    return (socket, *(f"{socket}.{number}" for number in range(2, int(found[1]) + 1))) if found else (socket,)
