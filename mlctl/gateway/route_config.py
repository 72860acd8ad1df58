"""Which request goes where: the routes of all endpoints behind one entrance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.gateway.access import let_in_rules
from mlctl.gateway.envoy import (
    DEPLOYMENT_HEADER,
    METADATA,
    PRIVATE,
    TYPES,
    Entrance,
    Layout,
    Resource,
    cluster_name,
)
from mlctl.planning.routes import Access, Backend, EndpointRoutes

CLIENT_ID_HEADER = "x-ms-client-request-id"
LONGEST_CLIENT_ID = 40

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

# To look at jobs changes nothing: whatever becomes of the connection, it may be asked again.
READ_RETRY_POLICY: Resource = {**RETRY_POLICY, "retry_on": "connect-failure,refused-stream,reset"}


def render_routes(layout: Layout, routes: Mapping[str, EndpointRoutes], entrance: Entrance) -> list[Resource]:
    """Render the routes behind an entrance: by path on any host, and by the host form `NAME.localhost`."""
    is_private = entrance is PRIVATE
    endpoints = [routes[name] for name in sorted(routes) if routes[name].is_private == is_private]
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
        if not endpoint.is_batch
    ]
    return [
        {
            "@type": f"{TYPES}/envoy.config.route.v3.RouteConfiguration",
            "name": entrance.name,
            "virtual_hosts": [*by_host, by_path],
            "request_headers_to_remove": ["x-envoy-external-address", "x-envoy-internal"],
            "request_headers_to_add": [_short_client_id()],
            "response_headers_to_add": [_answered_by()],
        }
    ]


def _short_client_id() -> Resource:
    """Cut the id that a client gives a request to 40 characters, as Azure does; without one there is none."""
    header = {"key": CLIENT_ID_HEADER, "value": f"%REQ({CLIENT_ID_HEADER}):{LONGEST_CLIENT_ID}%"}
    return {"header": header, "append_action": "OVERWRITE_IF_EXISTS"}


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
    too_large = _header("content-length", range_match={"start": endpoint.max_body_bytes + 1, "end": 2**62})
    routes: list[Resource] = [
        {
            "match": _match(endpoint, by_path, too_large),
            "direct_response": _reply(413, f"the body is larger than {_show_bytes(endpoint.max_body_bytes)}"),
        }
    ]
    for backend in () if endpoint.is_batch else endpoint.backends:
        named = _header(DEPLOYMENT_HEADER, string_match={"exact": backend.deployment, "ignore_case": True})
        routes.append({"match": _match(endpoint, by_path, named), "route": _action(endpoint, backend, by_path)})
    if endpoint.is_batch:
        reading = _header(":method", string_match={"exact": "GET"})
        action = {**_action(endpoint, endpoint.backends[0], by_path), "retry_policy": READ_RETRY_POLICY}
        routes.append({"match": _match(endpoint, by_path, reading), "route": action})
    else:
        unknown = _header(DEPLOYMENT_HEADER, present_match=True)
        message = f"{endpoint.endpoint} has no deployment of this name"
        routes.append({"match": _match(endpoint, by_path, unknown), "direct_response": _reply(404, message)})
    routes += _traffic(endpoint, by_path)
    let_in = let_in_rules(endpoint)
    # The name is what the access log calls the endpoint.
    return [{"name": endpoint.endpoint, **route, **let_in} for route in routes]


def _show_bytes(count: int) -> str:
    mebibytes, rest = divmod(count, 1024 * 1024)
    return f"{count} bytes" if rest else f"{mebibytes} MiB"


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
    carries = () if endpoint.access is Access.OPEN else (bearer,)
    if by_path:
        where: Resource = {"path_separated_prefix": endpoint.path, "case_sensitive": False}
    else:
        where = {"prefix": "/"}
    return {**where, "headers": [*carries, *headers]}


def _header(name: str, **matcher: Any) -> Resource:
    return {"name": name, **matcher}


def _action(endpoint: EndpointRoutes, backend: Backend, by_path: bool) -> Resource:
    action: Resource = {
        "cluster": cluster_name(endpoint.endpoint, backend.deployment),
        "timeout": f"{backend.request_timeout_ms / 1000:.3f}s",
        "retry_policy": RETRY_POLICY,
    }
    if by_path and not endpoint.is_batch:
        rewrite = {"regex": "^/[^/]+/[^/]+/?(.*)$"}
        action["regex_rewrite"] = {"pattern": rewrite, "substitution": r"/\1"}
    return action
