"""What the gateway has to do for an endpoint, from its document and the replicas that are ready."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlctl.entities.extensions import LARGEST_BODY_BYTES, MAX_BODY_BYTES
from mlctl.entities.stored import read_map
from mlctl.planning.routes import Access, Backend, Credential, EndpointRoutes
from mlctl.planning.workers import count_at_a_time

DEFAULT_TIMEOUT_MS = 5000
LOCAL_PROPERTY = "mlctl.local"


def plan_backend(deployment: str, spec: Mapping[str, Any], sockets: Sequence[str]) -> Backend:
    """Turn a deployment's document and its ready sockets into a backend.

    In flight are at most 2 x max_concurrent_requests_per_instance x instance_count. Source: Azure ML, "too many pending
    requests" of the troubleshooting article. Where there are more workers than that allows, their number counts.
    """
    request = read_map(spec, "request_settings")
    return Backend(
        deployment=deployment,
        sockets=tuple(sockets),
        request_timeout_ms=request.get("request_timeout_ms") or DEFAULT_TIMEOUT_MS,
        max_requests=2 * count_at_a_time(spec) * max(1, spec.get("instance_count") or 1),
    )


def plan_routes(
    endpoint: str, spec: Mapping[str, Any], keys: Mapping[str, str], backends: Sequence[Backend]
) -> EndpointRoutes:
    """Turn an endpoint's document, keys and backends into routes; shares of deployments that are gone are left out.

    An endpoint made with --local needs no key, and its only deployment gets everything: as with `az ml … --local`.
    """
    known = {backend.deployment for backend in backends}
    traffic = {name: share for name, share in read_map(spec, "traffic").items() if share and name in known}
    is_local = is_local_endpoint(spec)
    if is_local and not traffic and len(backends) == 1:
        traffic = {backends[0].deployment: 100}
    access = Access.KEY if spec.get("auth_mode", "key") == "key" else Access.TOKEN
    mirror = [(name, share) for name, share in read_map(spec, "mirror_traffic").items() if share and name in known]
    return EndpointRoutes(
        endpoint=endpoint,
        credentials=tuple(Credential(name, value) for name, value in keys.items()),
        backends=tuple(sorted(backends, key=lambda backend: backend.deployment)),
        traffic=tuple(sorted(traffic.items())),
        mirror=mirror[0] if mirror else None,
        access=Access.OPEN if is_local else access,
        is_private=spec.get("public_network_access") == "disabled",
        max_body_bytes=int(read_map(spec, "properties").get(MAX_BODY_BYTES) or LARGEST_BODY_BYTES),
    )


def is_local_endpoint(spec: Mapping[str, Any]) -> bool:
    """Say whether an endpoint was made with --local."""
    return str(read_map(spec, "properties").get(LOCAL_PROPERTY, "")).lower() == "true"
