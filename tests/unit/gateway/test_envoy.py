"""What is rendered, as far as it can be judged without Envoy."""

import json
from pathlib import Path
from typing import Any

from mlctl.gateway import clusters, envoy, route_config
from mlctl.gateway.envoy import PUBLIC, Layout
from mlctl.planning.routes import Backend, Credential, EndpointRoutes, plan_batch_routes

LAYOUT = Layout(Path("/config"), Path("/run/envoy.sock"), "127.0.0.1", 8600, Path("/run/gateway.sock"))
KEYS = (Credential("primary", "p" * 32), Credential("secondary", "s" * 32))


def make_endpoint(name: str = "fraud", **changes: Any) -> EndpointRoutes:
    backends = (Backend("blue", ("/run/b.sock",), 5000, 2), Backend("green", (), 7000, 4))
    wanted: dict[str, Any] = {"credentials": KEYS, "backends": backends, "traffic": (("blue", 100),), **changes}
    return EndpointRoutes(name, **wanted)


def render_routes(**changes: Any) -> list[dict[str, Any]]:
    """Return an endpoint's routes by path."""
    (config,) = route_config.render_routes(LAYOUT, {"fraud": make_endpoint(**changes)}, PUBLIC)
    return config["virtual_hosts"][-1]["routes"]


def is_open(route: dict[str, Any]) -> bool:
    """Say whether a route of an endpoint forgets to check, or to take away, the key."""
    found = route.get("typed_per_filter_config", {}).get(envoy.KEY_FILTER)
    return found is None or not found["forwarding"]["hide_credentials"] or not found["credentials"]


def test_every_route_of_an_endpoint_asks_for_its_key_and_hides_it():
    routes = render_routes(traffic=(("blue", 90), ("green", 10)), mirror=("green", 10))
    assert [route for route in routes[:-1] if is_open(route)] == []
    assert is_open(routes[-1])
    assert "route" not in routes[-1], "what belongs to no endpoint leads nowhere"


def test_every_route_of_an_endpoint_asks_for_the_bearer_scheme():
    for route in render_routes()[:-1]:
        assert {"name": "authorization", "string_match": {"prefix": "Bearer "}} in route["match"]["headers"]


def shares(**changes: Any) -> dict[str, int]:
    """Return the upper bound of each deployment's part of the draw, among the routes without a deployment's header."""
    found: dict[str, int] = {}
    for route in render_routes(**changes):
        if "route" in route and len(route["match"]["headers"]) == 1:
            fraction = route["match"].get("runtime_fraction", {"default_value": {"numerator": 100}})
            found[route["route"]["cluster"]] = fraction["default_value"]["numerator"]
    return found


def test_a_split_is_drawn_once_in_ascending_bounds():
    assert shares() == {"fraud/blue": 100}
    assert shares(traffic=(("blue", 90), ("green", 10))) == {"fraud/blue": 90, "fraud/green": 100}
    assert shares(traffic=()) == {}


def test_a_mirror_stands_at_traffic_only():
    mirrored = [route for route in render_routes(mirror=("green", 10)) if "request_mirror_policies" in str(route)]
    assert [route["route"]["cluster"] for route in mirrored] == ["fraud/blue"]


def test_retries_never_repeat_what_a_replica_may_have_run():
    assert route_config.RETRY_POLICY["retry_on"] == "connect-failure,refused-stream,reset-before-request"


def test_a_cluster_holds_the_cap_and_nothing_bites_before_it():
    found = clusters.render_clusters(LAYOUT, {"fraud": make_endpoint()})
    assert list(found) == ["fraud/blue", "fraud/green"]
    (threshold,) = found["fraud/blue"]["circuit_breakers"]["thresholds"]
    assert threshold["max_requests"] == 2
    assert min(value for name, value in threshold.items() if name != "max_requests") > 10_000


def test_a_deployment_without_replicas_has_a_cluster_and_no_endpoint():
    found = clusters.render_endpoints({"fraud": make_endpoint()})
    assert found["fraud/green"]["endpoints"] == []
    (locality,) = found["fraud/blue"]["endpoints"]
    assert locality["lb_endpoints"][0]["endpoint"]["address"] == {"pipe": {"path": "/run/b.sock"}}


def test_the_order_of_endpoints_does_not_matter():
    one, two = make_endpoint("one"), make_endpoint("two")
    rendered = [
        route_config.render_routes(LAYOUT, routes, PUBLIC)
        for routes in ({"one": one, "two": two}, {"two": two, "one": one})
    ]
    assert rendered[0] == rendered[1]


def test_a_version_is_that_of_the_content():
    assert envoy.render_file([{"a": 1, "b": 2}]) == envoy.render_file([{"b": 2, "a": 1}])
    assert envoy.render_file([{"a": 1}])[0] != envoy.render_file([{"a": 2}])[0]


def test_folders_of_endpoints_are_safe_whatever_the_names_hold():
    kinds = {envoy.eds_kind(name) for name in ("a/b", "a/../b", "a" * 200 + "/b")}
    assert len(kinds) == 3
    assert not [kind for kind in kinds if "/" in kind or len(kind) > 20]


BATCH = {"batch-endpoints/fraud": plan_batch_routes("Fraud", "/run/jobs.sock")}


def render_batch() -> list[dict[str, Any]]:
    (config,) = route_config.render_routes(LAYOUT, BATCH, PUBLIC)
    assert [host["name"] for host in config["virtual_hosts"]] == ["by-path"], "a batch endpoint has no host of its own"
    return config["virtual_hosts"][-1]["routes"][:-1]


def test_every_route_of_a_batch_endpoint_asks_for_its_token():
    for route in render_batch():
        rules = route["typed_per_filter_config"]
        (policy,) = rules[envoy.AUDIENCE_FILTER]["rbac"]["rules"]["policies"].values()
        assert '"exact": "batch-endpoints/fraud"' in json.dumps(policy)
        assert rules[envoy.TOKEN_FILTER]["requirement_name"] == envoy.TOKEN_REQUIREMENT
        assert route["match"]["path_separated_prefix"] == "/batch-endpoints/fraud"


def test_only_what_changes_nothing_is_asked_again():
    _, reading, others = render_batch()
    assert reading["match"]["headers"][-1] == {"name": ":method", "string_match": {"exact": "GET"}}
    assert "reset" in reading["route"]["retry_policy"]["retry_on"].split(",")
    assert others["route"]["retry_policy"] == route_config.RETRY_POLICY
