"""AML_CORS_ORIGINS: who may read the answers, as flask-cors says it for Azure's server; contract 2.8."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.replicas import Replica, Reply

SCRIPT = """
def init():
    pass

def run(raw_data):
    return {"ok": 1 / len(raw_data)}
"""
ORIGINS = "https://a.com, https://c.com, https://.*\\.b\\.com"
PREFLIGHT = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-b, Authorization"}


@pytest.fixture(scope="module")
def replica(start_shared_replica: StartReplica) -> Replica:
    return start_shared_replica(SCRIPT, environment={"AML_CORS_ORIGINS": ORIGINS}).wait_ready()


def _ask(
    replica: Replica,
    origin: str | None,
    method: str = "POST",
    headers: Mapping[str, str] | None = None,
    body: str = "x",
) -> Reply:
    named = {**(headers or {}), **({"Origin": origin} if origin else {})}
    return replica.call(method, "/score", body if method == "POST" else None, named)


@pytest.mark.parametrize("origin", ["https://a.com", "https://A.com", "https://c.com", "https://x.b.com"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_origin_that_is_listed_may_read(replica: Replica, origin: str, method: str) -> None:
    reply = _ask(replica, origin, method)
    assert (reply.status, reply.headers["access-control-allow-origin"], reply.headers["vary"]) == (
        200,
        origin,
        "Origin",
    )
    assert reply.headers["access-control-allow-credentials"] is None


@pytest.mark.parametrize("origin", ["https://evil.com", "https://a.com.evil.com", "http://a.com", "null"])
@pytest.mark.parametrize("method", ["POST", "OPTIONS"])
def test_other_origin_is_answered_without_the_header(replica: Replica, origin: str, method: str) -> None:
    reply = _ask(replica, origin, method, PREFLIGHT if method == "OPTIONS" else None)
    assert reply.status == 200
    assert not [name for name in reply.headers if name.lower().startswith("access-control")]


def test_preflight_names_methods_and_the_headers_that_were_asked_for(replica: Replica) -> None:
    reply = _ask(replica, "https://a.com", "OPTIONS", PREFLIGHT)
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["access-control-allow-methods"] == "GET, POST"
    assert reply.headers["access-control-allow-headers"] == "Authorization, x-b"


@pytest.mark.parametrize("asked", ["DELETE", "", "PUT"])
def test_preflight_for_other_methods_allows_none(replica: Replica, asked: str) -> None:
    reply = _ask(replica, "https://a.com", "OPTIONS", {"Access-Control-Request-Method": asked})
    assert (reply.status, reply.headers["access-control-allow-methods"]) == (200, None)


def test_failures_and_refusals_may_be_read_as_well(replica: Replica) -> None:
    failed = _ask(replica, "https://a.com", body="")
    assert (failed.status, failed.headers["access-control-allow-origin"]) == (424, "https://a.com")
    refused = replica.call("POST", "/score", b"\xff", {"Origin": "https://a.com"})
    assert (refused.status, refused.headers["access-control-allow-origin"]) == (400, "https://a.com")


@pytest.mark.parametrize("path", ["/", "/swagger.json"])
def test_other_routes_may_be_read(replica: Replica, path: str) -> None:
    reply = replica.call("GET", path, headers={"Origin": "https://a.com"})
    assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, "https://a.com")


def test_everyone_may_read_where_the_list_says_so(start_replica: StartReplica) -> None:
    replica = start_replica(SCRIPT, environment={"AML_CORS_ORIGINS": "*"}).wait_ready()
    assert _ask(replica, "https://any.com").headers["access-control-allow-origin"] == "https://any.com"
    assert _ask(replica, None).headers["access-control-allow-origin"] == "*"


def test_nobody_may_read_where_there_is_no_list(start_replica: StartReplica) -> None:
    for environment in ({}, {"AML_CORS_ORIGINS": ""}):
        replica = start_replica(SCRIPT, environment=environment).wait_ready()
        reply = _ask(replica, "https://a.com", "OPTIONS", PREFLIGHT)
        assert (reply.status, reply.headers["access-control-allow-origin"], reply.headers["vary"]) == (200, None, None)


def test_list_that_cannot_be_read_stops_the_start(start_replica: StartReplica) -> None:
    failure = start_replica(SCRIPT, environment={"AML_CORS_ORIGINS": "https://a.com, *.b.com"}).failure()
    assert failure["message"].startswith("AML_CORS_ORIGINS: '*.b.com' is not a regular expression: nothing to repeat")


def test_header_of_the_scripts_own_is_not_doubled(start_replica: StartReplica) -> None:
    script = """
    from azureml_inference_server_http.api.aml_request import rawhttp
    from azureml_inference_server_http.api.aml_response import AMLResponse

    def init():
        pass

    @rawhttp
    def run(request):
        return AMLResponse(request.method, 200, {"Access-Control-Allow-Origin": "https://own.com"})
    """
    replica = start_replica(script, environment={"AML_CORS_ORIGINS": "*"}).wait_ready()
    for method in ("GET", "OPTIONS"):
        reply = _ask(replica, "https://a.com", method)
        assert (reply.body.decode(), reply.headers.get_all("access-control-allow-origin")) == (
            method,
            ["https://own.com"],
        )
