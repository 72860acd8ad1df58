"""The deployments as Envoy's clusters, and where their replicas listen."""

from __future__ import annotations

from collections.abc import Mapping

from mlctl.gateway.envoy import METADATA, TYPES, Layout, Resource, cluster_name, eds_kind
from mlctl.planning.routes import Backend, EndpointRoutes

# Shorter than the 75 s of the replicas' keep-alive: a request must not meet a connection that is just being closed.
UPSTREAM_IDLE_S = 30
HIGH = 1_000_000


# A replica that cannot be connected to is passed over for a moment. Only that counts: by their answers alone, one bad
# client could have every replica ejected.
OUTLIERS: Resource = {
    "split_external_local_origin_errors": True,
    "consecutive_local_origin_failure": 3,
    "enforcing_consecutive_local_origin_failure": 100,
    "enforcing_local_origin_success_rate": 0,
    "enforcing_consecutive_5xx": 0,
    "enforcing_consecutive_gateway_failure": 0,
    "enforcing_success_rate": 0,
    "interval": "1s",
    "base_ejection_time": "1s",
    "max_ejection_time": "5s",
    "max_ejection_percent": 50,
}


# Of two picked at random both may be busy, or be the same one, while a third is idle: all are looked at.
LEAST_BUSY: Resource = {
    "name": "envoy.load_balancing_policies.least_request",
    "typed_config": {
        "@type": f"{TYPES}/envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest",
        "selection_method": "FULL_SCAN",
    },
}


def render_clusters(layout: Layout, routes: Mapping[str, EndpointRoutes]) -> dict[str, Resource]:
    """Render a cluster for each deployment, by name."""
    found: dict[str, Resource] = {}
    for endpoint in routes.values():
        for backend in endpoint.backends:
            name = cluster_name(endpoint.endpoint, backend.deployment)
            found[name] = _cluster(layout, name, backend)
    return found


def _cluster(layout: Layout, name: str, backend: Backend) -> Resource:
    return {
        "@type": f"{TYPES}/envoy.config.cluster.v3.Cluster",
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": layout.source(eds_kind(name))},
        "connect_timeout": "1s",
        "load_balancing_policy": {"policies": [{"typed_extension_config": LEAST_BUSY}]},
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_requests": backend.max_requests,
                    "max_connections": HIGH,
                    "max_pending_requests": HIGH,
                    "max_retries": HIGH,
                }
            ]
        },
        "outlier_detection": OUTLIERS,
        "ignore_health_on_host_removal": True,
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{TYPES}/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http_protocol_options": {}},
                "common_http_protocol_options": {"idle_timeout": f"{UPSTREAM_IDLE_S}s"},
            }
        },
    }


def render_endpoints(routes: Mapping[str, EndpointRoutes]) -> dict[str, Resource]:
    """Render where each cluster's replicas listen, by cluster name."""
    found: dict[str, Resource] = {}
    for endpoint in routes.values():
        for backend in endpoint.backends:
            name = cluster_name(endpoint.endpoint, backend.deployment)
            # No deployment answers for a batch endpoint.
            deployment = "" if endpoint.is_batch else backend.deployment
            metadata = {"filter_metadata": {METADATA: {"deployment": deployment}}}
            replicas = [
                {"endpoint": {"address": {"pipe": {"path": path}}}, "metadata": metadata} for path in backend.sockets
            ]
            found[name] = {
                "@type": f"{TYPES}/envoy.config.endpoint.v3.ClusterLoadAssignment",
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": replicas}] if replicas else [],
            }
    return found
