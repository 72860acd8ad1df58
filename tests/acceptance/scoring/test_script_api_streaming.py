"""Answers that are made piece by piece: `AMLResponse(generator, 200)`."""

from __future__ import annotations

import http.client
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.replicas import Replica

# The body of the request names a generator. Those that hold go on when the file `go` is there.
SCRIPT = """
import os, time
from azureml_inference_server_http.api.aml_request import rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse

folder = os.path.dirname(__file__)

def touch(name):
    open(os.path.join(folder, name), "w").close()

def hold():
    while not os.path.exists(os.path.join(folder, "go")):
        time.sleep(0.002)

def short():
    yield "ä"
    yield ""
    yield b"b"
    yield b""

def slow():
    yield "first;"
    touch("began")
    hold()
    yield "second"

def broken():
    yield "first;"
    raise ValueError("half way")

def exits():
    yield "first;"
    raise SystemExit(0)

def endless():
    made = 0
    try:
        while True:
            with open(os.path.join(folder, "made"), "w") as file:
                file.write(str(made))
            made += 1
            yield b"x" * 65536
            touch("flowing")
    finally:
        touch("closed")

def unbegun():
    raise ValueError("before the first piece")
    yield

def quiet():
    try:
        yield "first;"
        touch("began")
        hold()
        yield "second"
        yield "third"
        touch("went-on")
    finally:
        touch("closed")

def init():
    pass

@rawhttp
def run(request):
    name, _, length = request.get_data().decode().partition(" ")
    if name == "list":
        return AMLResponse(["a", b"b"], 200)
    if name == "nothing":
        return AMLResponse(iter(()), 200)
    headers = {"Content-Type": "text/event-stream", **({"Content-Length": length} if length else {})}
    return AMLResponse(globals()[name](), 200, headers)
"""


@pytest.fixture(scope="module")
def replica(start_shared_replica: StartReplica) -> Replica:
    return start_shared_replica(SCRIPT, "--max-queue-wait-ms", "15000").wait_ready()


@pytest.fixture
def own(start_replica: StartReplica) -> Replica:
    return start_replica(SCRIPT, "--max-queue-wait-ms", "15000").wait_ready()


def _begin(replica: Replica, name: str) -> http.client.HTTPResponse:
    connection = replica.connect()
    connection.request("POST", "/score", name)
    return connection.getresponse()


def test_pieces_arrive_chunked_and_empty_ones_do_not_end_it(replica: Replica) -> None:
    replies = [replica.score("short") for _ in range(50)]
    assert {(reply.status, reply.body) for reply in replies} == {(200, "äb".encode())}
    reply = replies[0]
    assert (reply.headers["transfer-encoding"], reply.headers["content-length"]) == ("chunked", None)
    assert reply.headers["content-type"] == "text/event-stream"
    assert reply.headers["x-ms-run-function-failed"] == "False"
    assert reply.headers["x-request-id"]
    replica.wait_for_log("POST /score 200 ")
    assert "ms N/A " in replica.log()


@pytest.mark.parametrize(("name", "body"), [("list", b"ab"), ("nothing", b"")])
def test_list_of_pieces_and_a_stream_of_none(replica: Replica, name: str, body: bytes) -> None:
    connection = replica.connect()
    for _ in range(2):
        connection.request("POST", "/score", name)
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, body)


def test_piece_is_there_before_the_next_one_is_made(own: Replica) -> None:
    response = _begin(own, "slow")
    assert response.read(6) == b"first;"
    # Measured is the call of run(), which was over at once.
    assert float(response.headers["x-ms-run-fn-exec-ms"]) < 1000
    assert own.health().status == 200
    own.touch("go")
    assert response.read() == b"second"


def test_others_wait_for_the_script_meanwhile(own: Replica, background: ThreadPoolExecutor) -> None:
    response = _begin(own, "slow")
    assert response.read(6) == b"first;"
    waiting = background.submit(own.score, "short")
    own.wait_for_file("began")
    assert not waiting.done()
    own.touch("go")
    assert response.read() == b"second"
    assert waiting.result().body == "äb".encode()


@pytest.mark.parametrize(("name", "error"), [("broken", "ValueError: half way"), ("exits", "SystemExit")])
def test_exception_half_way_cuts_the_body_and_the_status_stays(replica: Replica, name: str, error: str) -> None:
    response = _begin(replica, name)
    assert response.status == 200
    with pytest.raises(http.client.IncompleteRead) as caught:
        response.read()
    assert caught.value.partial in (b"first;", b"")  # http.client drops what came before
    replica.wait_for_log(error)
    assert replica.score("short").status == 200


def test_stream_that_fails_before_its_first_piece_is_a_failure_of_run(replica: Replica) -> None:
    reply = replica.score("unbegun")
    assert (reply.status, reply.headers["x-ms-run-function-failed"]) == (424, "True")
    replica.wait_for_log("ValueError: before the first piece")
    assert replica.score("short").status == 200


def test_announced_length_is_kept(replica: Replica) -> None:
    reply = replica.score("short 3")
    assert (reply.headers["content-length"], reply.headers["transfer-encoding"], reply.body) == (
        "3",
        None,
        "äb".encode(),
    )


def test_stream_that_is_shorter_than_announced_ends_the_connection(replica: Replica) -> None:
    with pytest.raises(http.client.IncompleteRead):
        _begin(replica, "short 5").read()
    assert replica.score("short").status == 200


def test_stream_that_is_longer_than_announced_is_cut(replica: Replica) -> None:
    connection = replica.connect()
    for _ in range(2):
        connection.request("POST", "/score", "short 2")
        assert connection.getresponse().read() == "ä".encode()


def test_client_of_an_older_http_reads_until_the_end_of_the_connection(replica: Replica) -> None:
    with replica.open_socket() as connection:
        connection.sendall(b"POST /score HTTP/1.0\r\nContent-Length: 5\r\n\r\nshort")
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == "äb".encode()
    assert b"transfer-encoding" not in head.lower()


def test_head_makes_no_pieces(replica: Replica) -> None:
    connection = replica.connect()
    for _ in range(2):
        connection.request("HEAD", "/score", "short")
        response = connection.getresponse()
        assert (response.status, response.read()) == (200, b"")


def test_client_that_leaves_ends_the_generator(own: Replica) -> None:
    connection = own.open_socket()
    connection.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nendless")
    assert connection.recv(100)
    connection.close()
    own.wait_for_file("closed")
    assert own.score("short").body == "äb".encode()


def test_client_that_leaves_between_two_pieces_is_noticed_at_the_next(own: Replica) -> None:
    connection = own.open_socket()
    connection.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nquiet")
    assert connection.recv(100)
    own.wait_for_file("began")
    connection.close()
    assert own.health().status == 200  # the loop has seen it by now
    own.touch("go")
    own.wait_for_file("closed")
    assert own.score("short").status == 200
    assert not (own.code / "went-on").exists()


def test_client_that_does_not_read_holds_the_generator_up(own: Replica) -> None:
    connection = own.open_socket()
    connection.sendall(b"POST /score HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\nendless")
    own.wait_for_file("flowing")
    assert own.health().status == 200
    connection.close()
    own.wait_for_file("closed")
    assert int((own.code / "made").read_text()) < 200  # 13 MB


def test_stream_is_finished_when_the_replica_is_stopped(own: Replica) -> None:
    response = _begin(own, "slow")
    assert response.read(6) == b"first;"
    own.terminate()
    own.touch("go")
    assert response.read() == b"second"
    assert own.exit_code() == 0
