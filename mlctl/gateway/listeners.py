"""The ways into the gateway, and what every request passes on its way."""

from __future__ import annotations

from mlctl.gateway.access import access_filters
from mlctl.gateway.envoy import (
    CREDENTIAL_HEADER,
    METADATA,
    METRICS_CLUSTER,
    METRICS_PATH,
    PRIVATE,
    PUBLIC,
    TYPES,
    Entrance,
    Layout,
    Resource,
)
from mlctl.gateway.replies import ERROR_BODY, MAPPERS


def render_listeners(layout: Layout) -> list[Resource]:
    """Render the ways in: the gateway's address, its socket for private endpoints, and the one for Prometheus."""
    public = {"socket_address": {"address": layout.host, "port_value": layout.port}}
    private = {"pipe": {"path": str(layout.private_socket), "mode": 0o600}}
    found = [_listener(layout, PUBLIC, public), _listener(layout, PRIVATE, private)]
    return [*found, _metrics_listener(layout.metrics_port)] if layout.metrics_port else found


def _listener(layout: Layout, entrance: Entrance, address: Resource) -> Resource:
    return {
        "@type": f"{TYPES}/envoy.config.listener.v3.Listener",
        "name": entrance.name,
        "address": address,
        "per_connection_buffer_limit_bytes": 1024 * 1024,
        "filter_chains": [_chain(_connection_manager(layout, entrance))],
    }


def _chain(manager: Resource) -> Resource:
    name = "envoy.filters.network.http_connection_manager"
    kind = f"{TYPES}/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
    return {"filters": [{"name": name, "typed_config": {"@type": kind, **manager}}]}


def _metrics_listener(port: int) -> Resource:
    """Render the listener for Prometheus: one path on loopback, and nothing else.

    The daemon answers; when it does not, the admin does, for Envoy alone.
    """
    other = "envoy.retry_priorities.previous_priorities"
    kind = f"{TYPES}/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
    route = {
        "match": {"path": "/metrics"},
        "route": {
            "cluster": METRICS_CLUSTER,
            "prefix_rewrite": METRICS_PATH,
            "timeout": "10s",
            "retry_policy": {
                "retry_on": "connect-failure,reset,gateway-error",
                "num_retries": 1,
                "per_try_timeout": "5s",
                "retry_priority": {"name": other, "typed_config": {"@type": kind, "update_frequency": 1}},
            },
        },
    }
    host = {"name": "metrics", "domains": ["*"], "routes": [route]}
    return {
        "@type": f"{TYPES}/envoy.config.listener.v3.Listener",
        "name": "metrics",
        "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
        "filter_chains": [
            _chain(
                {
                    "stat_prefix": "metrics",
                    # An Envoy that was started by an older mlctl does not know the cluster yet.
                    "route_config": {"name": "metrics", "virtual_hosts": [host], "validate_clusters": False},
                    "http_filters": [_router_filter()],
                }
            )
        ],
    }


def _connection_manager(layout: Layout, entrance: Entrance) -> Resource:
    return {
        "stat_prefix": entrance.name,
        "rds": {"route_config_name": entrance.name, "config_source": layout.source(entrance.kind)},
        "http_filters": [*access_filters(layout), _router_filter()],
        **_access_log(layout),
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


def _router_filter() -> Resource:
    return {
        "name": "envoy.filters.http.router",
        "typed_config": {
            "@type": f"{TYPES}/envoy.extensions.filters.http.router.v3.Router",
            "suppress_envoy_headers": True,
        },
    }


def _access_log(layout: Layout) -> Resource:
    """Log who asked what and what came of it, a JSON object a request: never a body, a key, or a query."""
    if layout.access_log is None:
        return {}
    fields = {
        "time": "%START_TIME(%Y-%m-%dT%H:%M:%S.%3fZ)%",
        "method": "%REQ(:METHOD)%",
        "endpoint": "%ROUTE_NAME%",
        "path": "%PATH(NQ:PATH)%",
        "status": "%RESPONSE_CODE%",
        "deployment": f"%UPSTREAM_METADATA({METADATA}:deployment)%",
        "credential": f"%REQ({CREDENTIAL_HEADER})%",
        "request_id": "%REQ(X-REQUEST-ID)%",
        "client_request_id": "%REQ(X-MS-CLIENT-REQUEST-ID):40%",
        "user_agent": "%REQ(USER-AGENT):70%",
        "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "received_bytes": "%BYTES_RECEIVED%",
        "sent_bytes": "%BYTES_SENT%",
        "duration_ms": "%DURATION%",
        "model_ms": "%RESPONSE_DURATION%",
        "flags": "%RESPONSE_FLAGS%",
    }
    logger = {
        "name": "envoy.access_loggers.file",
        "typed_config": {
            "@type": f"{TYPES}/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": str(layout.access_log),
            "log_format": {"json_format": fields},
        },
    }
    return {"access_log": [logger]}
