"""From routes to Envoy's configuration, as plain data. Pure; written to disk by `publish`.

Field names are those of Envoy's v3 API. Which setting keeps which promise is told where it stands.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.gateway.replies import ERROR_BODY, MAPPERS
from mlctl.planning.routes import Backend, EndpointRoutes

Resource = dict[str, Any]

TYPES = "type.googleapis.com"
STAT_PREFIX = "ingress"
ROUTE_CONFIG = "endpoints"
KEY_FILTER = "envoy.filters.http.api_key_auth"
DEPLOYMENT_HEADER = "azureml-model-deployment"
CREDENTIAL_HEADER = "x-mlctl-credential"
MAX_BODY_BYTES = 100 * 1024 * 1024
MAX_CONNECTIONS = 10_000
# Shorter than the 75 s of the replicas' keep-alive: a request must not meet a connection that is just being closed.
UPSTREAM_IDLE_S = 30
HIGH = 1_000_000
# Where replicas carry their deployment's name.
METADATA = "mlctl"

# A dead replica's connections fail at once; its replacement listens on the same socket within a moment. None of these
# conditions can repeat a run(): the request had not been sent. Envoy waits a random part of each interval, so that
# fewer tries than 20 would often be over before a second has passed.
RETRY_POLICY: Resource = {
    "retry_on": "connect-failure,refused-stream,reset-before-request",
    "num_retries": 20,
    "retry_back_off": {"base_interval": "0.025s", "max_interval": "0.25s"},
    "retry_host_predicate": [
        {
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {"@type": f"{TYPES}/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"},
        }
    ],
    "host_selection_retry_max_attempts": 3,
}


@dataclass(frozen=True)
class Layout:
    """Where the files lie. Each has a folder of its own, which Envoy watches for renames."""

    root: Path
    admin_socket: Path
    host: str
    port: int

    @property
    def bootstrap(self) -> Path:
        """What Envoy is started with."""
        return self.root / "bootstrap.json"

    def file(self, kind: str) -> Path:
        """Return the file of `lds`, `cds`, `rds`, or of a cluster's endpoints (`eds-…`)."""
        return self.root / kind / "resources.json"

    def source(self, kind: str) -> Resource:
        """Tell Envoy to read a file and to watch its folder."""
        file = self.file(kind)
        return {"path_config_source": {"path": str(file), "watched_directory": {"path": str(file.parent)}}}


def cluster_name(endpoint: str, deployment: str) -> str:
    """Name a deployment's cluster, as it stands in Envoy's statistics."""
    return f"{endpoint}/{deployment}"


def eds_kind(cluster: str) -> str:
    """Name the folder of a cluster's endpoints: short, and safe whatever the names hold."""
    return f"eds-{hashlib.sha256(cluster.encode()).hexdigest()[:12]}"


def render_bootstrap(layout: Layout) -> Resource:
    """Render what Envoy is started with: an admin socket for this user only, and where all else is read from."""
    monitor = "envoy.resource_monitors.global_downstream_max_connections"
    connections = "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    return {
        "node": {"id": "mlctl", "cluster": "mlctl"},
        "admin": {"address": {"pipe": {"path": str(layout.admin_socket), "mode": 0o600}}},
        "dynamic_resources": {"lds_config": layout.source("lds"), "cds_config": layout.source("cds")},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": monitor,
                    "typed_config": {
                        "@type": f"{TYPES}/{connections}",
                        "max_active_downstream_connections": str(MAX_CONNECTIONS),
                    },
                }
            ]
        },
    }


def render_listeners(layout: Layout) -> list[Resource]:
    """Render the one listener."""
    address = {"socket_address": {"address": layout.host, "port_value": layout.port}}
    manager = {"name": "envoy.filters.network.http_connection_manager", "typed_config": _connection_manager(layout)}
    return [
        {
            "@type": f"{TYPES}/envoy.config.listener.v3.Listener",
            "name": "gateway",
            "address": address,
            "per_connection_buffer_limit_bytes": 1024 * 1024,
            "filter_chains": [{"filters": [manager]}],
        }
    ]


def _connection_manager(layout: Layout) -> Resource:
    return {
        "@type": f"{TYPES}/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": STAT_PREFIX,
        "rds": {"route_config_name": ROUTE_CONFIG, "config_source": layout.source("rds")},
        "http_filters": [_key_filter(), _router_filter()],
        "local_reply_config": {"mappers": MAPPERS, "body_format": ERROR_BODY},
        # Every client is a stranger. Envoy ignores most x-envoy-* headers of strangers, and passes some of them on.
        "early_header_mutation_extensions": [_stranger_headers()],
        "use_remote_address": True,
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
        "server_header_transformation": "PASS_THROUGH",
        "skip_xff_append": True,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {"idle_timeout": "300s", "max_headers_count": 100},
        "request_headers_timeout": "30s",
        "request_timeout": "300s",
    }


def _stranger_headers() -> Resource:
    """Remove, before anything reads them, headers that only Envoy may set: none can set timeouts or forge a client."""
    prefixes = ("x-envoy-", CREDENTIAL_HEADER)
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": f"{TYPES}/envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": [{"remove_on_match": {"key_matcher": {"prefix": prefix}}} for prefix in prefixes],
        },
    }


def _key_filter() -> Resource:
    """Refuse everything; each endpoint's routes say which keys open them."""
    return {
        "name": KEY_FILTER,
        "typed_config": {
            "@type": f"{TYPES}/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuth",
            "key_sources": [{"header": "authorization"}],
        },
    }


def _router_filter() -> Resource:
    return {
        "name": "envoy.filters.http.router",
        "typed_config": {
            "@type": f"{TYPES}/envoy.extensions.filters.http.router.v3.Router",
            "suppress_envoy_headers": True,
        },
    }


def render_routes(layout: Layout, routes: Mapping[str, EndpointRoutes]) -> list[Resource]:
    """Render the route configuration: by path on any host, and by the host form `NAME.localhost`."""
    endpoints = [routes[name] for name in sorted(routes)]
    paths = [route for endpoint in endpoints for route in _endpoint_routes(endpoint, by_path=True)]
    by_path = {
        "name": "by-path",
        "domains": ["*"],
        "routes": [*paths, _nowhere()],
    }
    by_host = [
        {
            "name": f"host-{endpoint.endpoint}",
            "domains": [f"{endpoint.endpoint}.localhost", f"{endpoint.endpoint}.localhost:{layout.port}"],
            "routes": [*_endpoint_routes(endpoint, by_path=False), _nowhere()],
        }
        for endpoint in endpoints
    ]
    return [
        {
            "@type": f"{TYPES}/envoy.config.route.v3.RouteConfiguration",
            "name": ROUTE_CONFIG,
            "virtual_hosts": [*by_host, by_path],
            "request_headers_to_remove": ["x-envoy-external-address", "x-envoy-internal"],
            "response_headers_to_add": [_answered_by()],
        }
    ]


def _answered_by() -> Resource:
    """Name the deployment whose replica was asked; empty, and so left out, in what Envoy answers by itself.

    A header of the route or the cluster would stand in a 401 as well, and tell strangers what exists.
    """
    header = {"key": DEPLOYMENT_HEADER, "value": f"%UPSTREAM_METADATA({METADATA}:deployment)%"}
    return {"header": header, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def _nowhere() -> Resource:
    """Catch what no endpoint claims: the key filter answers 401 before this is reached."""
    return {"match": {"prefix": "/"}, "direct_response": _reply(404, "there is nothing here")}


def _reply(status: int, message: str) -> Resource:
    return {"status": status, "body": {"inline_string": message}}


def _endpoint_routes(endpoint: EndpointRoutes, *, by_path: bool) -> list[Resource]:
    """Render an endpoint's routes, most special first: too large, forced deployment, unknown deployment, traffic."""
    too_large = _header("content-length", range_match={"start": MAX_BODY_BYTES + 1, "end": 2**62})
    routes: list[Resource] = [
        {
            "match": _match(endpoint, by_path, too_large),
            "direct_response": _reply(413, f"the body is larger than {MAX_BODY_BYTES // 1024 // 1024} MiB"),
        }
    ]
    for backend in endpoint.backends:
        named = _header(DEPLOYMENT_HEADER, string_match={"exact": backend.deployment, "ignore_case": True})
        routes.append({"match": _match(endpoint, by_path, named), "route": _action(endpoint, backend, by_path)})
    unknown = _header(DEPLOYMENT_HEADER, present_match=True)
    message = f"{endpoint.endpoint} has no deployment of this name"
    routes.append({"match": _match(endpoint, by_path, unknown), "direct_response": _reply(404, message)})
    routes += _traffic(endpoint, by_path)
    credentials = _credentials(endpoint)
    return [{**route, "typed_per_filter_config": {KEY_FILTER: credentials}} for route in routes]


def _traffic(endpoint: EndpointRoutes, by_path: bool) -> list[Resource]:
    """Render the split: one route a deployment, each taking what is below its upper bound of the request's one draw.

    Envoy draws once a request and shows the same number to every route. Weighted clusters would do the split as well,
    but share one time limit.
    """
    backends = {backend.deployment: backend for backend in endpoint.backends}
    routes: list[Resource] = []
    bound = 0
    for name, share in endpoint.traffic:
        bound += share
        match = _match(endpoint, by_path)
        if bound < 100:
            match["runtime_fraction"] = _percent(bound)
        action = _action(endpoint, backends[name], by_path)
        if endpoint.mirror is not None:
            action["request_mirror_policies"] = [_mirror(endpoint.endpoint, *endpoint.mirror)]
        routes.append({"match": match, "route": action})
    if bound < 100:
        message = f"no deployment of {endpoint.endpoint} has traffic"
        routes.append({"match": _match(endpoint, by_path), "direct_response": _reply(404, message)})
    return routes


def _percent(share: int) -> Resource:
    return {"default_value": {"numerator": share, "denominator": "HUNDRED"}}


def _mirror(endpoint: str, deployment: str, share: int) -> Resource:
    return {
        "cluster": cluster_name(endpoint, deployment),
        "runtime_fraction": _percent(share),
        "disable_shadow_host_suffix_append": True,
    }


def _match(endpoint: EndpointRoutes, by_path: bool, *headers: Resource) -> Resource:
    """Match an endpoint's requests that carry a bearer credential; `bearer`, or none at all, match nothing: 401."""
    bearer = _header("authorization", string_match={"prefix": "Bearer "})
    if by_path:
        where: Resource = {"path_separated_prefix": f"/endpoints/{endpoint.endpoint}", "case_sensitive": False}
    else:
        where = {"prefix": "/"}
    return {**where, "headers": [bearer, *headers]}


def _header(name: str, **matcher: Any) -> Resource:
    return {"name": name, **matcher}


def _action(endpoint: EndpointRoutes, backend: Backend, by_path: bool) -> Resource:
    action: Resource = {
        "cluster": cluster_name(endpoint.endpoint, backend.deployment),
        "timeout": f"{backend.request_timeout_ms / 1000:.3f}s",
        "retry_policy": RETRY_POLICY,
    }
    if by_path:
        rewrite = {"regex": "^/[^/]+/[^/]+/?(.*)$"}
        action["regex_rewrite"] = {"pattern": rewrite, "substitution": r"/\1"}
    return action


def _credentials(endpoint: EndpointRoutes) -> Resource:
    return {
        "@type": f"{TYPES}/envoy.extensions.filters.http.api_key_auth.v3.ApiKeyAuthPerRoute",
        "credentials": [{"key": found.value, "client": found.name} for found in endpoint.credentials],
        "key_sources": [{"header": "authorization"}],
        # Without this, here, the key would reach the replica, and a client could forge the header.
        "forwarding": {"header": CREDENTIAL_HEADER, "hide_credentials": True},
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
        "lb_policy": "LEAST_REQUEST",
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
            metadata = {"filter_metadata": {METADATA: {"deployment": backend.deployment}}}
            replicas = [
                {"endpoint": {"address": {"pipe": {"path": path}}}, "metadata": metadata} for path in backend.sockets
            ]
            found[name] = {
                "@type": f"{TYPES}/envoy.config.endpoint.v3.ClusterLoadAssignment",
                "cluster_name": name,
                "endpoints": [{"lb_endpoints": replicas}] if replicas else [],
            }
    return found


def render_file(resources: Sequence[Resource]) -> tuple[str, str]:
    """Return the version of some resources, which is the hash of their text, and the text of their file."""
    body = json.dumps(list(resources), sort_keys=True)
    version = hashlib.sha256(body.encode()).hexdigest()[:24]
    return version, json.dumps({"version_info": version, "resources": list(resources)}, sort_keys=True, indent=1) + "\n"
