from mlctl.planning.routes import Backend, Credential
from mlctl.planning.traffic import plan_backend, plan_routes

KEYS = {"primary": "p", "secondary": "s"}


def backend(name: str) -> Backend:
    return plan_backend(name, {}, [f"/run/{name}.sock"])


def test_the_cap_is_twice_the_concurrency_of_all_instances():
    spec = {"instance_count": 3, "request_settings": {"max_concurrent_requests_per_instance": 10}}
    assert plan_backend("blue", spec, []).max_requests == 60


def test_limits_have_azures_defaults():
    assert plan_backend("blue", {}, ["/s"]) == Backend("blue", ("/s",), request_timeout_ms=5000, max_requests=2)


def test_deployments_at_zero_are_left_out_of_the_traffic():
    spec = {"traffic": {"blue": 100, "green": 0}}
    routes = plan_routes("e", spec, KEYS, [backend("green"), backend("blue")])
    assert routes.traffic == (("blue", 100),)
    assert [found.deployment for found in routes.backends] == ["blue", "green"]


def test_a_share_of_a_deployment_that_is_gone_is_left_out():
    assert plan_routes("e", {"traffic": {"gone": 100}}, KEYS, [backend("blue")]).traffic == ()


def test_the_mirror_is_one_deployment():
    assert plan_routes("e", {"mirror_traffic": {"green": 50}}, KEYS, [backend("green")]).mirror == ("green", 50)


def test_a_key_is_never_shown():
    routes = plan_routes("e", {}, KEYS, [])
    assert routes.credentials[0] == Credential("primary", "p")
    assert "value" not in repr(routes)
