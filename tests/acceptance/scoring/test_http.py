"""Routes, methods, ids, limits, bodies: a script that returns what it got."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.replicas import Replica

SCRIPT = """
def init():
    pass

def run(raw_data, request_headers):
    if raw_data.startswith("x" * 1000):
        return {"length": len(raw_data)}
    return {"data": raw_data, "headers": request_headers}
"""
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def replica(start_shared_replica: StartReplica) -> Replica:
    return start_shared_replica(SCRIPT).wait_ready()


def test_health_is_a_page_that_says_healthy(replica: Replica) -> None:
    reply = replica.health()
    assert (reply.status, reply.body) == (200, b"Healthy")
    assert reply.headers["content-type"].startswith("text/html")


def test_head_of_health_has_no_body(replica: Replica) -> None:
    connection = replica.connect()
    for _ in range(2):
        connection.request("HEAD", "/")
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"")


@pytest.mark.parametrize("path", ["/nope", "/score/", "/score/x", "/nope?key=1"])
def test_unknown_path_is_404(replica: Replica, path: str) -> None:
    reply = replica.call("POST", path, "x")
    assert reply.status == 404
    assert reply.json()["message"].startswith("The requested URL was not found on the server.")
    assert "x-ms-server-version" not in reply.headers
    assert "x-request-id" not in reply.headers


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/score", "GET, POST, OPTIONS"),
        ("HEAD", "/score", "GET, POST, OPTIONS"),
        ("POST", "/", "GET, HEAD, OPTIONS"),
    ],
)
def test_other_methods_are_405(replica: Replica, method: str, path: str, allowed: str) -> None:
    reply = replica.call(method, path)
    assert (reply.status, reply.headers["allow"]) == (405, allowed)


def test_options_of_score_is_empty(replica: Replica) -> None:
    reply = replica.call("OPTIONS", "/score")
    assert (reply.status, reply.body, reply.headers["x-ms-run-function-failed"]) == (200, b"", "False")
    assert reply.headers["x-ms-run-fn-exec-ms"] is None


def test_get_passes_the_query_as_json(replica: Replica) -> None:
    reply = replica.call("GET", "/score?a=1&b=x&c=[1,2]&d=1&d=2&e=")
    assert reply.json()["data"] == '{"a": 1, "b": "x", "c": [1, 2], "d": [1, 2], "e": ""}'


def test_success_carries_azures_headers(replica: Replica) -> None:
    headers = replica.score("x", {"x-request-id": "abc"}).headers
    assert headers["x-request-id"] == headers["x-ms-request-id"] == "abc"
    assert headers["x-ms-client-request-id"] is None
    assert re.fullmatch(r"\d+\.\d{3}", headers["x-ms-run-fn-exec-ms"])
    assert headers["x-ms-run-function-failed"] == "False"
    assert headers["azureml-model-deployment"] == "blue"
    assert re.fullmatch(r"mlctl/\d+", headers["x-ms-server-version"])
    assert headers["server"] is None
    assert headers["date"] is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x-request-id", "x-request-id must not exceed 100 characters"),
        ("x-ms-request-id", "x-ms-request-id and x-ms-client-request-id must not exceed 100 characters"),
    ],
)
def test_long_id_is_431(replica: Replica, name: str, message: str) -> None:
    reply = replica.score("x", {name: "i" * 101})
    assert (reply.status, reply.json()) == (431, {"message": message})


@pytest.mark.parametrize("content_type", ["application/json", "text/plain", "application/x-www-form-urlencoded"])
def test_body_reaches_run_as_text_whatever_its_type(replica: Replica, content_type: str) -> None:
    assert replica.score('{"ä": 1}'.encode(), {"Content-Type": content_type}).json()["data"] == '{"ä": 1}'


def test_headers_reach_run_with_flasks_names(replica: Replica) -> None:
    headers = replica.score("x", {"X-Custom-Thing": "1"}).json()["headers"]
    assert headers["X-Custom-Thing"] == "1"
    assert headers["Content-Type"] == "application/json"


def test_empty_body_is_empty_text(replica: Replica) -> None:
    assert replica.score("").json()["data"] == ""


def test_body_that_is_not_utf8_is_400(replica: Replica) -> None:
    reply = replica.score(b"\xff\xfe")
    assert reply.status == 400
    assert reply.json()["message"].startswith("Input cannot be decoded as UTF-8: ")


def test_chunked_body_is_joined(replica: Replica) -> None:
    assert replica.score(iter([b"ab", b"cd", b"e"]), encode_chunked=True).json()["data"] == "abcde"


def test_large_body_is_read_whole(replica: Replica) -> None:
    assert replica.score(b"x" * (20 * MIB)).json() == {"length": 20 * MIB}


def test_announced_body_over_100_mib_is_413_at_once(replica: Replica) -> None:
    connection = replica.connect()
    connection.putrequest("POST", "/score")
    connection.putheader("Content-Length", str(100 * MIB + 1))
    connection.endheaders()
    assert connection.getresponse().status == 413


def test_chunked_body_over_100_mib_is_413(replica: Replica) -> None:
    def parts() -> Iterator[bytes]:
        part = b"x" * MIB
        for _ in range(101):
            yield part

    assert replica.score(parts(), encode_chunked=True).status == 413


def test_one_connection_serves_many_requests(replica: Replica) -> None:
    connection = replica.connect()
    for number in range(5):
        connection.request("POST", "/score", str(number))
        assert f'"data": "{number}"' in connection.getresponse().read().decode()


def test_pipelined_requests_are_answered_in_order(replica: Replica) -> None:
    client = replica.open_socket()
    one = b"POST /score HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\n%d"
    client.sendall(b"".join(one % number for number in range(3)))
    received = b""
    while received.count(b'"data"') < 3:
        received += client.recv(65536)
    assert re.findall(rb'"data": "(\d)"', received) == [b"0", b"1", b"2"]


def test_connection_close_is_honoured(replica: Replica) -> None:
    client = replica.open_socket()
    client.sendall(b"POST /score HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 1\r\n\r\n1")
    received = b""
    while part := client.recv(65536):
        received += part
    assert b"connection: close\r\n" in received


def test_expect_continue_is_answered_before_the_body(replica: Replica) -> None:
    client = replica.open_socket()
    client.sendall(b"POST /score HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 1\r\n\r\n")
    assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sendall(b"1")
    assert client.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")


def test_client_that_leaves_mid_body_is_dropped_quietly(replica: Replica) -> None:
    client = replica.open_socket()
    client.sendall(b"POST /score HTTP/1.1\r\nhost: x\r\nx-request-id: left-early\r\ncontent-length: 10\r\n\r\n123")
    client.close()
    replica.wait_for_log("left-early")
    line = next(line for line in replica.log().splitlines() if "left-early" in line)
    assert " POST /score 499 " in line
    assert "Exception" not in replica.log()


def test_header_folded_over_lines_cannot_split_the_answer(replica: Replica) -> None:
    client = replica.open_socket()
    client.sendall(b"POST /score HTTP/1.1\r\nhost: x\r\nx-request-id: a\r\n evil: b\r\ncontent-length: 1\r\n\r\n1")
    assert b"\r\n evil" not in client.recv(65536)
