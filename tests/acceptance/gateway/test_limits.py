"""What Envoy answers by itself: statuses of Azure, JSON, words without Envoy's own."""

from __future__ import annotations

import http.client
import stat
import threading
from collections.abc import Iterator

import pytest

from mlctl.entities.extensions import LARGEST_BODY_BYTES
from tests.acceptance.gateway.servers import PRIMARY, Answer, BreakingReplica, Front, Replica, make_backend, make_routes
from tests.waiting import wait_until

pytestmark = pytest.mark.envoy


def check_error(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.header("content-type")) == (status, "application/json")
    assert list(answer.json) == ["error"]
    assert answer.json["error"]["code"] == code
    message = answer.json["error"]["message"]
    assert message
    assert not [word for word in ("upstream", "cluster", "envoy", "no healthy") if word in message.lower()]


@pytest.fixture
def breaking(front: Front) -> Iterator[BreakingReplica]:
    replica = BreakingReplica(front.socket("breaking"))
    yield replica
    replica.stop()


def test_more_than_the_cap_in_flight_is_429(front: Front, blue: Replica):
    front.gateway.publish(make_routes(make_backend("blue", [blue.path], cap=2)))
    blue.hold.set()
    held: list[Answer] = []
    threads = [threading.Thread(target=lambda: held.append(front.send())) for _ in range(2)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(blue.received) == 2)
    assert front.gateway.admin.count_active("fraud/blue") == 2
    answer = front.send()
    check_error(answer, 429, "TooManyRequests")
    assert answer.header("retry-after") == "1"
    assert answer.header("ms-azureml-model-error-reason") == "too_many_pending_request"
    blue.hold.clear()
    for thread in threads:
        thread.join(10)
    assert [one.status for one in held] == [200, 200]
    wait_until(lambda: front.gateway.admin.count_active("fraud/blue") == 0)
    assert front.send().status == 200


def test_a_cap_of_one_deployment_does_not_hold_for_another(front: Front, blue: Replica, green: Replica):
    backends = make_backend("blue", [blue.path], cap=1), make_backend("green", [green.path], cap=1)
    front.gateway.publish(make_routes(*backends))
    blue.hold.set()
    held = threading.Thread(target=front.send)
    held.start()
    wait_until(lambda: blue.received)
    assert front.send().status == 429
    assert front.send(headers={"azureml-model-deployment": "green"}).status == 200
    blue.hold.clear()
    held.join(10)


def test_longer_than_the_time_limit_is_408(front: Front, blue: Replica):
    front.gateway.publish(make_routes(make_backend("blue", [blue.path], timeout_ms=100)))
    blue.hold.set()
    check_error(front.send(), 408, "RequestTimeout")
    assert len(blue.received) == 1


def test_each_deployment_has_its_own_time_limit(front: Front, blue: Replica, green: Replica):
    backends = make_backend("blue", [blue.path], timeout_ms=100), make_backend("green", [green.path], timeout_ms=20_000)
    front.gateway.publish(make_routes(*backends, traffic=(("blue", 50), ("green", 50))))
    blue.hold.set()
    seen = {front.send().status for _ in range(20)}
    assert seen == {200, 408}


def test_no_ready_replica_is_503(front: Front, blue: Replica):
    front.gateway.publish(make_routes(make_backend("blue", [])))
    answer = front.send()
    check_error(answer, 503, "ModelNotReady")
    assert answer.header("retry-after") == "1"


def test_a_replica_that_dies_before_it_answers_is_503_and_not_asked_again(front: Front, breaking: BreakingReplica):
    front.gateway.publish(make_routes(make_backend("blue", [breaking.path])))
    check_error(front.send(), 503, "ReplicaLost")
    assert breaking.requests == 1


def test_a_replica_that_is_gone_is_503(front: Front, blue: Replica):
    front.gateway.publish(make_routes(make_backend("blue", [str(front.socket("nobody"))])))
    check_error(front.send(), 503, "ReplicaLost")


def test_an_answer_that_is_no_http_is_503(front: Front):
    replica = BreakingReplica(front.socket("garbage"), b"garbage\r\n\r\n")
    front.gateway.publish(make_routes(make_backend("blue", [replica.path])))
    check_error(front.send(), 503, "ReplicaLost")
    replica.stop()


@pytest.mark.parametrize("status", [201, 204, 400, 401, 403, 404, 408, 413, 424, 429, 500, 502, 503, 504])
def test_statuses_of_the_replica_pass_untouched(front: Front, blue: Replica, status: int):
    blue.status = status
    answer = front.send()
    assert (answer.status, answer.header("x-replica"), answer.header("retry-after")) == (status, "1", None)
    assert len(blue.received) == 1


def declare(front: Front, size_bytes: int, key: str = PRIMARY) -> Answer:
    """Say how long a body will be, without sending it."""
    return front.send(headers={"Content-Length": str(size_bytes)}, body=b"", key=key)


def test_a_body_that_is_declared_too_large_is_413_before_it_is_sent(front: Front, blue: Replica):
    check_error(declare(front, LARGEST_BODY_BYTES + 1), 413, "PayloadTooLarge")
    assert declare(front, LARGEST_BODY_BYTES + 1, key="wrong").status == 401
    assert blue.received == []


def test_a_chunked_body_is_streamed_and_not_held_back(front: Front, blue: Replica):
    chunk = b"x" * (1 << 20)
    connection = http.client.HTTPConnection("127.0.0.1", front.port, timeout=20)
    headers = {"Authorization": f"Bearer {PRIMARY}", "Transfer-Encoding": "chunked"}
    connection.request("POST", "/endpoints/fraud/score", (chunk for _ in range(12)), headers, encode_chunked=True)
    assert connection.getresponse().status == 200
    connection.close()
    assert blue.received[0].size_bytes == 12 << 20


HEAD = f"POST /endpoints/fraud/score HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {PRIMARY}\r\ncontent-length: 0\r\n"


@pytest.mark.parametrize(
    ("request_text", "status", "code"),
    [
        (HEAD + "".join(f"h{index}: 1\r\n" for index in range(110)) + "\r\n", 431, "HeadersTooLarge"),
        (HEAD + f"big: {'x' * 70_000}\r\n\r\n", 431, "HeadersTooLarge"),
        (HEAD + "connection: upgrade\r\nupgrade: websocket\r\n\r\n", 400, "BadRequest"),
        ("garbage\r\n\r\n", 400, "BadRequest"),
        ("POST / HTTP/1.1\r\n\r\n", 400, "BadRequest"),
        (
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
            "BadRequest",
        ),
        ("POST / HTTP/1.0\r\n\r\n", 426, "UpgradeRequired"),
    ],
)
def test_broken_and_oversized_requests_are_refused_in_json(
    front: Front, blue: Replica, request_text: str, status: int, code: str
):
    answer = front.send_raw(request_text.encode())
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert f'{{"error":{{"code":"{code}","message":"' in answer
    assert blue.received == []


def test_nothing_of_the_gateway_can_be_read_by_others(front: Front, blue: Replica):
    assert stat.S_IMODE((front.folder / "run" / "envoy.sock").stat().st_mode) == 0o600
    paths = list((front.folder / "xds").rglob("*"))
    assert len([path for path in paths if path.name == "resources.json"]) == 6
    assert {stat.S_IMODE(path.stat().st_mode) for path in paths if path.is_file()} == {0o600}
    assert {stat.S_IMODE(path.stat().st_mode) for path in [front.folder / "xds", *paths] if path.is_dir()} == {0o700}


def test_envoy_starts_and_serves_without_a_warning(fresh: Front):
    fresh.gateway.publish(make_routes(make_backend("blue", [])))
    assert fresh.send().status == 503
    assert fresh.log == ""
