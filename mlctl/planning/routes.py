"""What the gateway is asked to do for one endpoint; made by `control`, rendered by `gateway`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

# Larger requests for a batch job are answered 413.
LARGEST_JOB_REQUEST_BYTES = 1024 * 1024
# To start a job its environment may have to be built.
JOB_REQUEST_TIMEOUT_MS = 300_000
_MOST_JOB_REQUESTS = 1000


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
    the network. is_batch: jobs are asked for; its one backend reads the header that names a deployment.
    """

    endpoint: str
    credentials: tuple[Credential, ...]
    backends: tuple[Backend, ...]
    traffic: tuple[tuple[str, int], ...] = ()
    mirror: tuple[str, int] | None = None
    access: Access = Access.KEY
    is_private: bool = False
    max_body_bytes: int = 100 * 1024 * 1024
    is_batch: bool = False

    @property
    def path(self) -> str:
        """What the paths of its requests begin with."""
        return f"/{self.endpoint}" if self.is_batch else f"/endpoints/{self.endpoint}"


def name_batch_routes(endpoint: str) -> str:
    """Name a batch endpoint among the routes, and in tokens: an online endpoint may be called the same."""
    return f"batch-endpoints/{endpoint.lower()}"


def plan_batch_routes(endpoint: str, socket: str) -> EndpointRoutes:
    """Return the routes of a batch endpoint, whose jobs are asked for at a socket with a token."""
    jobs = Backend("jobs", (socket,), JOB_REQUEST_TIMEOUT_MS, _MOST_JOB_REQUESTS)
    return EndpointRoutes(
        endpoint=name_batch_routes(endpoint),
        credentials=(),
        backends=(jobs,),
        traffic=(("jobs", 100),),
        access=Access.TOKEN,
        max_body_bytes=LARGEST_JOB_REQUEST_BYTES,
        is_batch=True,
    )
