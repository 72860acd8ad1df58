"""Which requests reach a replica, and what is left of them when they do."""

import threading

import pytest

from tests.acceptance.gateway.servers import PRIMARY, Front, Replica, make_backend, make_routes
from tests.waiting import wait_until

pytestmark = pytest.mark.envoy

HEADERS_OF_ENVOY = (
    *("upstream-rq-timeout-ms", "upstream-rq-per-try-timeout-ms", "retry-on", "max-retries", "expected-rq-timeout-ms"),
    *("original-path", "original-host", "internal", "external-address", "decorator-operation", "attempt-count"),
    *("force-trace", "peer-metadata", "original-dst-host", "is-timeout-retry", "ip-tags", "made-up"),
)


@pytest.mark.parametrize(
    ("sent", "received"),
    [
        ("/endpoints/fraud/score", "/score"),
        ("/endpoints/fraud/score?a=1&b=%20c", "/score?a=1&b=%20c"),
        ("/endpoints/fraud/swagger.json", "/swagger.json"),
        ("/endpoints/fraud/v2/models/m/infer", "/v2/models/m/infer"),
        ("/endpoints/FRAUD/score", "/score"),
        ("/Endpoints/Fraud/Score", "/Score"),
        ("/endpoints/fraud", "/"),
        ("/endpoints/fraud/", "/"),
        ("//endpoints//fraud//score", "/score"),
        ("/endpoints/other/../fraud/./score", "/score"),
    ],
)
def test_the_path_below_an_endpoint_reaches_its_replica(front: Front, blue: Replica, sent: str, received: str):
    assert front.send(sent).status == 200
    assert [request.path for request in blue.received] == [received]


@pytest.mark.parametrize("host", ["fraud.localhost", "FRAUD.localhost", "fraud.localhost:{port}"])
def test_the_host_form_reaches_the_same_replica(front: Front, blue: Replica, host: str):
    assert front.send("/score?a=1", host=host.format(port=front.port)).status == 200
    assert front.send("/swagger.json", method="GET", host=host.format(port=front.port)).status == 200
    assert [request.path for request in blue.received] == ["/score?a=1", "/swagger.json"]


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/score", "/endpoints", "/endpoints/fraudulent/score", "/endpoints/fra/score", "/other/fraud/score"),
        *("/endpoints/fraud/../score", "/x/endpoints/fraud/score"),
    ],
)
def test_nothing_but_an_endpoints_own_path_reaches_its_replica(front: Front, blue: Replica, path: str):
    assert front.send(path).status == 401
    assert blue.received == []


@pytest.mark.parametrize("path", ["/endpoints/fraud/a%2Fb", "/endpoints/fraud%2fscore", "/endpoints/fraud/a%5Cb"])
def test_escaped_slashes_are_refused(front: Front, blue: Replica, path: str):
    answer = front.send(path)
    assert (answer.status, answer.json["error"]["code"]) == (400, "BadRequest")
    assert blue.received == []


def test_no_header_of_envoy_reaches_the_replica_or_the_client(front: Front, blue: Replica):
    answer = front.send(headers={f"X-Envoy-{name}": "1" for name in HEADERS_OF_ENVOY})
    assert answer.status == 200
    assert [name for name in blue.received[0].headers if name.startswith("x-envoy")] == []
    assert [name for name, _ in answer.headers if name.startswith("x-envoy") or name == "server"] == ["server"]
    assert answer.header("server") == "uvicorn"


def test_a_client_cannot_shorten_the_time_limit(front: Front, blue: Replica):
    blue.hold.set()
    wish = {"x-envoy-upstream-rq-timeout-ms": "1", "x-envoy-upstream-rq-per-try-timeout-ms": "1"}
    answers: list[int] = []
    asking = threading.Thread(target=lambda: answers.append(front.send(headers=wish).status))
    asking.start()
    wait_until(lambda: blue.received)
    asking.join(0.2)
    assert answers == []
    blue.hold.clear()
    asking.join(10)
    assert answers == [200]


def test_a_client_cannot_ask_for_retries_of_a_run(front: Front, blue: Replica):
    blue.status = 503
    assert front.send(headers={"x-envoy-retry-on": "5xx", "x-envoy-max-retries": "3"}).status == 503
    assert len(blue.received) == 1


def test_a_clients_request_id_is_replaced(front: Front, blue: Replica):
    front.send(headers={"x-request-id": "mine", "x-ms-client-request-id": "mine"})
    assert len(blue.received[0].headers["x-request-id"]) == 36
    assert blue.received[0].headers["x-ms-client-request-id"] == "mine"


def test_endpoints_that_begin_alike_are_told_apart(front: Front, blue: Replica, green: Replica):
    one, two = make_backend("blue", [blue.path]), make_backend("green", [green.path])
    front.gateway.publish({**make_routes(one, endpoint="fraud"), **make_routes(two, endpoint="fraud-2")})
    assert front.send("/endpoints/fraud/score").json == {"from": "blue"}
    assert front.send("/endpoints/fraud-2/score").json == {"from": "green"}
    assert front.send("/score", host="fraud-2.localhost").json == {"from": "green"}


@pytest.mark.parametrize("body", [b"", b"{}", b"x" * (20 << 20)])
def test_bodies_arrive_whole_also_when_mirrored(front: Front, blue: Replica, green: Replica, body: bytes):
    one, two = make_backend("blue", [blue.path]), make_backend("green", [green.path])
    front.gateway.publish(make_routes(one, two, mirror=("green", 50)))
    assert front.send(body=body, key=PRIMARY).status == 200
    assert blue.received[0].size_bytes == len(body)
