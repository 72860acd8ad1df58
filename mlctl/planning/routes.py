"""What the gateway is asked to do for one endpoint; made by `control`, rendered by `gateway`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Access(StrEnum):
    """How an endpoint's callers prove who they are."""

    KEY = "key"
    """One of its keys."""
    TOKEN = "token"
    """A token that this registry signed for this endpoint."""
    OPEN = "open"
    """They need not: made with --local, reached on loopback only."""


@dataclass(frozen=True)
class Credential:
    """A key that opens an endpoint; `name` is what logs may show (primary, secondary), `value` never is."""

    name: str
    value: str = field(repr=False)


@dataclass(frozen=True)
class Backend:
    """A deployment as the gateway sees it.

    sockets: paths of the Unix sockets of its ready replicas. max_requests: how many requests may be in flight to all
    of them together; more are answered 429. request_timeout_ms: then 408.
    """

    deployment: str
    sockets: tuple[str, ...]
    request_timeout_ms: int
    max_requests: int


@dataclass(frozen=True)
class EndpointRoutes:
    """Everything the gateway knows of one endpoint.

    traffic: (deployment, whole percent), adding up to 100 or 0; deployments at 0 are left out.
    mirror: the deployment that gets a copy of so many percent of the requests, answers dropped.
    max_body_bytes: larger bodies are answered 413. is_private: reached through the gateway's Unix socket only, not over
    the network.
    """

    endpoint: str
    credentials: tuple[Credential, ...]
    backends: tuple[Backend, ...]
    traffic: tuple[tuple[str, int], ...] = ()
    mirror: tuple[str, int] | None = None
    access: Access = Access.KEY
    is_private: bool = False
    max_body_bytes: int = 100 * 1024 * 1024
