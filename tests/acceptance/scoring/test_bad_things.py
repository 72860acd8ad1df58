"""What bad scripts, bad results, bad requests and bad clients get; each time the next request is answered."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.raw_clients import connect, memory_kib, read_reply, receive_all, send_raw
from tests.acceptance.scoring.replicas import Replica, wait_until

MIB = 1024 * 1024
RUN = "\ndef run(raw_data): return 1\n"
INIT = "\ndef init(): pass\n"
FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."
REFUSED = "An unexpected internal error occurred. Check the logs for more info."


@dataclass(frozen=True)
class BadStart:
    """A script that does not start: in which phase, and what the user is told."""

    script: str
    phase: str
    message: str


BAD_STARTS = {
    "package that is not there": BadStart("import nowhere" + INIT + RUN, "import", "ModuleNotFoundError: No module"),
    "syntax error": BadStart("def init(:" + RUN, "import", "SyntaxError:"),
    "wrong indentation": BadStart("x = 1\n  y = 2" + INIT + RUN, "import", "IndentationError: unexpected indent"),
    "null byte": BadStart("x = '\0'" + INIT + RUN, "import", "SyntaxError: source code"),
    "exit while it is imported": BadStart("raise SystemExit(0)" + INIT + RUN, "import", "SystemExit: 0"),
    "no init": BadStart(RUN, "import", "does not have a init() function defined."),
    "no run": BadStart(INIT, "import", "does not have a run() function defined."),
    "init that is no function": BadStart("init = 1" + RUN, "import", "does not have a init() function defined."),
    "init that wants an argument": BadStart("def init(folder): pass" + RUN, "init", "TypeError: init() missing"),
    "run without a parameter": BadStart(
        INIT + "def run(): pass", "import", "run() needs to accept an argument for input data."
    ),
    "run that takes headers only": BadStart(
        INIT + "def run(request_headers): pass",
        "import",
        'run() needs to accept an argument other than "request_headers".',
    ),
    "run that takes anything": BadStart(
        INIT + "def run(*args, **more): pass",
        "import",
        "run() cannot accept positional-only arguments, *args, or **kwargs.",
    ),
    "init that raises": BadStart("def init(): raise ValueError('no such model')" + RUN, "init", "ValueError: no such"),
    "init that exits": BadStart("import sys\ndef init(): sys.exit(5)" + RUN, "init", "SystemExit: 5"),
    "init that recurses": BadStart("def init(): init()" + RUN, "init", "RecursionError: maximum recursion depth"),
    "init that asks for too much": BadStart(
        "import resource\ndef init():\n    resource.setrlimit(resource.RLIMIT_AS, (2**31, 2**31))\n    bytearray(2**40)"
        + RUN,
        "init",
        "MemoryError",
    ),
    "error whose text is broken": BadStart(
        "class Bad(Exception):\n    def __str__(self): 1 / 0\ndef init(): raise Bad" + RUN, "init", "Bad: <no message"
    ),
}


@pytest.mark.parametrize("case", BAD_STARTS)
def test_script_that_cannot_start_says_why(start_replica: StartReplica, case: str) -> None:
    bad = BAD_STARTS[case]
    replica = start_replica(bad.script)
    failure = replica.failure()
    assert failure["phase"] == bad.phase
    assert bad.message in failure["message"]
    assert bad.message in replica.log()
    assert "mlctl/scoring" not in replica.log()


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGABRT])
def test_init_that_crashes_shows_where(start_replica: StartReplica, number: signal.Signals) -> None:
    replica = start_replica(f"import os\ndef init(): os.kill(os.getpid(), {number:d})" + RUN)
    assert replica.exit_code() == -number
    assert "Fatal Python error" in replica.log()
    assert 'score.py", line 2 in init' in replica.log()


def test_init_that_hangs_is_503_to_probes_and_ends_when_told(start_replica: StartReplica) -> None:
    replica = start_replica("import threading\ndef init(): threading.Event().wait()" + RUN)
    replica.wait_for_log("Invoking user's init function")
    reply = replica.health()
    assert (reply.status, reply.json()["message"][:23]) == (503, "The replica is starting")
    replica.terminate()
    assert replica.exit_code() == 0


RUNS = """
import asyncio, datetime, gc, json, logging, os, random, signal, socket, sys, threading, time, warnings
import numpy as np

class Unprintable(Exception):
    def __str__(self): raise RuntimeError("not even this")

class Hostile:
    def __getattr__(self, name): raise SystemExit(name)

def throw(exc): raise exc

def recurse(): return recurse()

def deep(depth):
    value = []
    for _ in range(depth): value = [value]
    return value

def circle():
    value = []
    value.append(value)
    return value

def fork():
    child = os.fork()
    if child == 0: os._exit(0)
    os.waitpid(child, 0)
    return "forked"

def thread_that_raises():
    thread = threading.Thread(target=lambda: 1 / 0)
    thread.start()
    thread.join()
    return "joined"

def alarm():
    signal.signal(signal.SIGALRM, lambda *_: 1 / 0)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    time.sleep(5)

async def nap():
    await asyncio.sleep(0)
    return "slept"

def init(): pass

def run(raw_data):
    return eval(raw_data[1:]) if raw_data.startswith("=") else json.loads(raw_data)
"""


@dataclass(frozen=True)
class BadRun:
    """What run() does, and the answer: its status, and its body or the start of it."""

    expression: str
    status: int
    body: bytes
    is_failure: bool = False


def _raises(expression: str) -> BadRun:
    return BadRun(expression, 424, json.dumps({"message": FAILED}).encode(), is_failure=True)


def _cannot_be_encoded(expression: str) -> BadRun:
    return BadRun(expression, 424, json.dumps({"message": REFUSED}).encode())


BAD_RUNS = {
    "exception": _raises("1 / 0"),
    "exception without a text": _raises("throw(Unprintable())"),
    "exception in a chain": _raises("throw(ValueError('a')) if throw is None else throw(KeyError(10**5000))"),
    "timeout of its own": _raises("throw(TimeoutError('mine'))"),
    "exit": _raises("sys.exit(1)"),
    "interrupt": _raises("throw(KeyboardInterrupt())"),
    "end of a generator": _raises("throw(GeneratorExit())"),
    "end of an iteration": _raises("throw(StopIteration())"),
    "endless recursion": _raises("recurse()"),
    "more memory than there is": _raises("bytearray(2**62)"),
    "signal handler that raises": _raises("alarm()"),
    "set": _cannot_be_encoded("{1, 2}"),
    "bytes": _cannot_be_encoded("b'abc'"),
    "date": _cannot_be_encoded("datetime.datetime.now()"),
    "object": _cannot_be_encoded("object()"),
    "hostile object": _cannot_be_encoded("Hostile()"),
    "generator": _cannot_be_encoded("(number for number in range(3))"),
    "coroutine": _cannot_be_encoded("nap()"),
    "list in itself": _cannot_be_encoded("circle()"),
    "100,000 lists in each other": _cannot_be_encoded("deep(100_000)"),
    "key that is a pair": _cannot_be_encoded("{(1, 2): 3}"),
    "number with too many digits": _cannot_be_encoded("[10**5000]"),
    "half of a character in JSON": _cannot_be_encoded("'{\\ud800}'"),
    "half of a character": BadRun("'\\ud800'", 200, b'"\\ud800"'),
    "not a number": BadRun("[float('nan'), float('-inf')]", 200, b"[NaN, -Infinity]"),
    "array with nothing in it": BadRun("np.zeros((0, 3))", 200, b"[]"),
    "status that is none": BadRun("('x', 99)", 200, b'["x", 99]'),
    "50 MB": BadRun("'x' * 50_000_000", 200, b'"xxx'),
    "closed output": BadRun("sys.stdout.close()", 200, b"{}"),
    "many lines": BadRun("[print('line') for _ in range(20_000)] and None", 200, b"{}"),
    "other folder": BadRun("os.chdir('/')", 200, b"{}"),
    "no garbage collection": BadRun("gc.disable()", 200, b"{}"),
    "no waiting on sockets": BadRun("socket.setdefaulttimeout(0.0001)", 200, b"{}"),
    "warnings as errors": BadRun("warnings.simplefilter('error')", 200, b"{}"),
    "logging switched off": BadRun("logging.disable(logging.CRITICAL)", 200, b"{}"),
    "logging switched on again": BadRun("logging.disable(logging.NOTSET)", 200, b"{}"),
    "thread that raises": BadRun("thread_that_raises()", 200, b'"joined"'),
    "fork": BadRun("fork()", 200, b'"forked"'),
    "event loop of its own": BadRun("asyncio.run(nap())", 200, b'"slept"'),
    "stop signals ignored": BadRun("signal.signal(signal.SIGTERM, signal.SIG_IGN) and None", 200, b"{}"),
    "seeded randomness": BadRun("random.seed(1)", 200, b"{}"),
}


@pytest.fixture(scope="module")
def replica(start_shared_replica: StartReplica) -> Replica:
    return start_shared_replica(RUNS).wait_ready()


def serves(replica: Replica) -> bool:
    """Say whether the next request is answered, on a connection of its own."""
    reply = replica.score("[1]")
    replica.connections.pop().close()
    return (reply.status, reply.body) == (200, b"[1]")


@pytest.mark.parametrize("case", BAD_RUNS)
def test_bad_run_fails_alone(replica: Replica, case: str) -> None:
    bad = BAD_RUNS[case]
    reply = replica.score(f"={bad.expression}")
    assert (reply.status, reply.body[: len(bad.body)]) == (bad.status, bad.body)
    assert reply.headers["x-ms-run-function-failed"] == str(bad.is_failure)
    assert serves(replica)


@pytest.mark.parametrize(
    ("script", "code", "hint"),
    [
        ("os._exit(9)", 9, ""),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV, "Fatal Python error: Segmentation fault"),
        ("ctypes.string_at(8)", -signal.SIGSEGV, 'score.py", line 4 in run'),
        ("os.abort()", -signal.SIGABRT, "Fatal Python error: Aborted"),
    ],
)
def test_crash_drops_the_connection_and_shows_where(
    start_replica: StartReplica, script: str, code: int, hint: str
) -> None:
    replica = start_replica(f"import ctypes, os, signal\ndef init(): pass\ndef run(data):\n    {script}\n").wait_ready()
    assert send_raw(replica, post(b"x")) is None
    assert replica.exit_code() == code
    assert hint in replica.log()


def test_memory_that_runs_out_fails_a_request_not_the_replica(start_replica: StartReplica) -> None:
    script = """
        import resource

        def init():
            resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))

        def run(raw_data):
            grown = []
            while raw_data == "grow":
                grown.append(bytearray(2**24))
            return [1]
    """
    replica = start_replica(script).wait_ready()
    for _ in range(2):
        reply = replica.score("grow")
        assert (reply.status, reply.json()) == (424, {"message": FAILED})
        assert replica.score("").json() == [1]
    replica.wait_for_log("MemoryError")
    assert memory_kib(replica) < 300 * 1024


def test_run_that_hangs_leaves_probes_and_the_end_to_others(
    start_replica: StartReplica, background: ThreadPoolExecutor
) -> None:
    script = """
        import os, threading

        def init(): pass

        def run(raw_data):
            if raw_data == "hang":
                open(os.path.join(os.path.dirname(__file__), "began"), "w").close()
                threading.Event().wait()
            return 1
    """
    replica = start_replica(script, "--max-queue-wait-ms", "50").wait_ready()
    client = replica.open_socket()
    client.sendall(post(b"hang"))
    replica.wait_for_file("began")
    assert replica.health().status == 200
    assert replica.score("x").status == 429
    assert replica.score("x").headers["retry-after"] == "1"


def test_run_that_hangs_beyond_its_limit_fails_alone(start_replica: StartReplica) -> None:
    script = """
        import threading

        def init(): pass

        def run(raw_data):
            while raw_data == "spin": pass
            if raw_data == "hang": threading.Event().wait()
            return [1]
    """
    replica = start_replica(script, environment={"SCORING_TIMEOUT_MS": "200"}).wait_ready()
    for how in ("hang", "spin"):
        reply = replica.score(how)
        assert (reply.status, reply.json()) == (424, {"message": "Scoring timeout after 200 ms"})
        assert reply.headers["x-ms-run-function-failed"] == "True"
        assert serves(replica)


def post(body: bytes, *headers: bytes) -> bytes:
    lines = [b"POST /score HTTP/1.1", b"host: x", *headers]
    if not headers:
        lines.append(b"content-length: %d" % len(body))
    return b"\r\n".join([*lines, b"", body])


def _chunked(chunks: bytes) -> bytes:
    return post(chunks, b"transfer-encoding: chunked")


@dataclass(frozen=True)
class BadRequest:
    """Bytes, and the status that they are answered; None: nothing, the connection is closed."""

    data: bytes
    status: int | None


BAD_REQUESTS = {
    "empty body": BadRequest(post(b""), 424),
    "no JSON": BadRequest(post(b"{nope"), 424),
    "not UTF-8": BadRequest(post(b"\xff\xfe["), 400),
    "UTF-8 cut short": BadRequest(post(b'["\xc3'), 400),
    "100,000 lists in each other": BadRequest(post(b"[" * 100_000 + b"]" * 100_000), 424),
    "number of 100,000 digits": BadRequest(post(b"[" + b"9" * 100_000 + b"]"), 424),
    "half of a character": BadRequest(post(b'["\\ud800"]'), 200),
    "null bytes": BadRequest(post(b"\0\0\0"), 424),
    "length with many zeros": BadRequest(post(b"[1]", b"content-length: " + b"0" * 5000 + b"3"), 200),
    "negative length": BadRequest(post(b"[1]", b"content-length: -1"), 400),
    "length with a sign": BadRequest(post(b"[1]", b"content-length: +3"), 400),
    "length that is no number": BadRequest(post(b"[1]", b"content-length: three"), 400),
    "length beyond all measure": BadRequest(post(b"[1]", b"content-length: " + b"9" * 40), 400),
    "two lengths": BadRequest(post(b"[1]", b"content-length: 3", b"content-length: 4"), 400),
    "length and chunks": BadRequest(
        post(b"3\r\n[1]\r\n0\r\n\r\n", b"content-length: 3", b"transfer-encoding: chunked"), 400
    ),
    "chunks and length": BadRequest(
        post(b"3\r\n[1]\r\n0\r\n\r\n", b"transfer-encoding: chunked", b"content-length: 3"), 400
    ),
    "chunks said twice": BadRequest(post(b"0\r\n\r\n", b"transfer-encoding: chunked, identity"), 400),
    "chunk of no size": BadRequest(_chunked(b"zz\r\n[1]\r\n0\r\n\r\n"), 400),
    "chunk beyond all measure": BadRequest(_chunked(b"f" * 20 + b"\r\n[1]\r\n0\r\n\r\n"), 400),
    "chunk longer than it says": BadRequest(_chunked(b"1\r\n[1]\r\n0\r\n\r\n"), 400),
    "more than 100 MiB announced": BadRequest(post(b"", b"content-length: %d" % (100 * MIB + 1)), 413),
    "more than 100 MiB in a chunk": BadRequest(_chunked(b"%x\r\n" % (200 * MIB) + b"x" * (101 * MIB)), 413),
    "line of 10 MB": BadRequest(b"GET /" + b"a" * 10_000_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431),
    "line of 100 KB": BadRequest(b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431),
    "header of 10 MB": BadRequest(post(b"[1]", b"a: " + b"b" * 10_000_000, b"content-length: 3"), 431),
    "100,000 headers": BadRequest(post(b"[1]", *[b"a%d: b" % n for n in range(100_000)], b"content-length: 3"), 431),
    "header without a name": BadRequest(post(b"[1]", b": x", b"content-length: 3"), 400),
    "header with a space before the colon": BadRequest(post(b"[1]", b"content-length : 3"), 400),
    "header with a null byte": BadRequest(post(b"[1]", b"a: \0", b"content-length: 3"), 400),
    "unknown method": BadRequest(b"BREW /score HTTP/1.1\r\n\r\n", 400),
    "method in lower case": BadRequest(b"get / HTTP/1.1\r\n\r\n", 400),
    "tunnel": BadRequest(b"CONNECT example:443 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    "HTTP/2": BadRequest(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/9": BadRequest(b"GET / HTTP/9.9\r\n\r\n", 400),
    "HTTP/0.9": BadRequest(b"GET /\r\n\r\n", 200),
    "TLS": BadRequest(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x11" * 500, 400),
    "path that is not ASCII": BadRequest(b"GET /\xff\xfe HTTP/1.1\r\n\r\n", 400),
    "path with a line in it": BadRequest(b"GET /%0aPOST%20/score%20200 HTTP/1.1\r\n\r\n", 404),
    "other protocol asked for": BadRequest(
        post(b"[1]", b"connection: upgrade", b"upgrade: websocket", b"content-length: 3"), 200
    ),
}


@pytest.mark.parametrize("case", BAD_REQUESTS)
def test_bad_request_is_refused_alone(replica: Replica, case: str) -> None:
    bad = BAD_REQUESTS[case]
    reply = send_raw(replica, bad.data)
    assert (reply and reply.status) == bad.status
    assert reply is None or reply.status == 200 or reply.json()["message"]
    assert serves(replica)


def test_refusals_of_the_server_say_why_in_json(replica: Replica) -> None:
    reply = send_raw(replica, b"nonsense\r\n\r\n")
    assert reply is not None
    assert (reply.headers["content-type"], reply.headers["connection"]) == ("application/json", "close")
    assert reply.json() == {"message": "The request is not valid HTTP."}


def test_body_after_a_wish_for_http2_is_read(replica: Replica) -> None:
    wish = (b"connection: Upgrade, HTTP2-Settings", b"upgrade: h2c", b"http2-settings: AAMAAABkAAQAAP__")
    replies = [
        send_raw(replica, post(b"[1]", *wish, b"content-length: 3")),
        send_raw(replica, post(b"3\r\n[1]\r\n0\r\n\r\n", *wish, b"transfer-encoding: chunked")),
    ]
    assert [reply and reply.body for reply in replies] == [b"[1]", b"[1]"]


def test_body_after_a_wish_for_http2_is_read_by_workers_that_share_a_socket(start_replica: StartReplica) -> None:
    replica = start_replica("def init(): pass\ndef run(raw_data): return raw_data", "--workers", "2").wait_ready()
    reply = send_raw(replica, post(b"[1]", b"connection: Upgrade", b"upgrade: h2c", b"content-length: 3"))
    assert reply is not None
    assert (reply.status, reply.body) == (200, b"[1]")
    assert send_raw(replica, post(b"[2]", b"content-length: 3")) is not None
    replica.terminate()
    assert replica.exit_code() == 0


def test_many_wishes_for_another_protocol_in_a_row_are_passed_over(replica: Replica) -> None:
    wish = b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: a\r\n\r\n"
    with connect(replica.socket_path) as client, client.makefile("rb") as file:
        client.sendall(wish * 3000)
        assert {read_reply(file).status for _ in range(3000)} == {200}


def test_bad_chunk_in_a_second_request_is_not_taken_for_the_answer_to_the_first(
    start_replica: StartReplica,
) -> None:
    script = """
        import os, time

        def init(): pass

        def run(raw_data):
            while raw_data == "wait" and not os.path.exists(os.path.join(os.path.dirname(__file__), "go")):
                time.sleep(0.002)
            return 1
    """
    replica = start_replica(script).wait_ready()
    with connect(replica.socket_path) as client:
        client.sendall(post(b"wait") + _chunked(b"zz\r\n"))
        assert receive_all(client) == b""
    replica.touch("go")
    assert replica.score("x").status == 200


def test_chunks_of_one_byte_are_joined(replica: Replica) -> None:
    body = json.dumps(list(range(2000))).encode()
    with connect(replica.socket_path) as client, client.makefile("rb") as file:
        client.sendall(post(b"", b"transfer-encoding: chunked"))
        for byte in body:
            client.sendall(b"1\r\n%c\r\n" % byte)
        client.sendall(b"0\r\n\r\n")
        assert read_reply(file).body == body


def test_100_mib_are_taken_and_given_back(start_replica: StartReplica) -> None:
    replica = start_replica("def init(): pass\ndef run(raw_data): return len(raw_data)").wait_ready()
    before_kib = memory_kib(replica)
    for _ in range(3):
        assert replica.score(b"x" * (100 * MIB)).json() == 100 * MIB
    wait_until(lambda: memory_kib(replica) < before_kib + 120 * 1024, "memory given back")
    assert memory_kib(replica, "VmHWM") < before_kib + 500 * 1024


def test_run_that_fails_on_100_mib_is_logged_without_them(start_replica: StartReplica) -> None:
    script = "def init(): pass\ndef run(raw_data): raise ValueError(raw_data[:1000])"
    replica = start_replica(script).wait_ready()
    before_kib = memory_kib(replica)
    body = b'["\\u0041", ' + b"1, " * (33 * MIB) + b"1]"
    assert replica.score(body).status == 424
    replica.wait_for_log("ValueError")
    assert "1, 1" not in replica.log()
    assert memory_kib(replica, "VmHWM") < before_kib + 600 * 1024


def test_what_follows_a_body_shorter_than_announced_is_no_request_of_its_own(replica: Replica) -> None:
    data = post(b"[1]", b"content-length: 30") + b"GET /nope HTTP/1.1\r\nhost: x\r\n\r\n"
    reply = send_raw(replica, data)
    assert reply is not None
    assert reply.status == 424  # 30 bytes of body that are no JSON
    assert serves(replica)


def test_what_follows_a_body_longer_than_announced_is_refused(replica: Replica) -> None:
    with connect(replica.socket_path) as client:
        client.sendall(post(b"[1][2][3]", b"content-length: 3"))
        received = receive_all(client)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert received.count(b"HTTP/1.1 ") == 1  # ... and then the connection is closed
    assert serves(replica)


def test_request_before_a_bad_one_is_answered(replica: Replica) -> None:
    with connect(replica.socket_path) as client:
        client.sendall(post(b"[1]") + b"nonsense\r\n\r\n")
        received = receive_all(client)
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert received.endswith(b"[1]")


@pytest.mark.parametrize(
    "start", [b"GET / HTTP/1.1\r\n", b"GET /", post(b"[1]", b"content-length: 3") + b"GET / HTTP/1.1\r\n"]
)
def test_headers_without_end_are_cut_off(replica: Replica, start: bytes) -> None:
    before_kib = memory_kib(replica, "VmHWM")
    with connect(replica.socket_path) as client:
        client.sendall(start)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for number in range(200_000):
                client.sendall(b"x-header-%d: %b\r\n" % (number, b"x" * 900))
            pytest.fail("200 MB of headers were taken")
    assert memory_kib(replica, "VmHWM") < before_kib + 10 * 1024
    assert serves(replica)


def test_a_thousand_clients_that_dawdle_are_in_nobodys_way(replica: Replica) -> None:
    before_kib = memory_kib(replica)
    with contextlib.ExitStack() as stack:
        for number in range(1000):
            client = stack.enter_context(connect(replica.socket_path))
            client.sendall((b"", b"P", b"POST /score HTTP/1.1\r\nho", post(b"[", b"content-length: 3"))[number % 4])
        for _ in range(20):
            assert serves(replica)
        assert memory_kib(replica) < before_kib + 50 * 1024


@pytest.mark.slow
@pytest.mark.parametrize("sent", [b"POST /score HTTP/1.1\r\n", b"\r\n"])
def test_head_that_takes_longer_than_30_s_is_408(replica: Replica, sent: bytes) -> None:
    with connect(replica.socket_path, 60) as client, client.makefile("rb") as file:
        client.sendall(sent)
        reply = read_reply(file)
    assert (reply.status, reply.json()) == (408, {"message": "The request took too long to arrive."})
    assert serves(replica)


def test_client_that_never_reads_does_not_fill_the_memory(start_replica: StartReplica) -> None:
    script = "def init(): pass\ndef run(raw_data): return 'x' * (10_000_000 if raw_data == 'large' else 1)"
    replica = start_replica(script, "--max-concurrent", "100").wait_ready()
    before_kib = memory_kib(replica)
    with connect(replica.socket_path) as client:
        client.sendall(post(b"large") * 40)
        replica.wait_for_log("POST /score 200")
        # Each of these would let one more of the large answers be made.
        for _ in range(40):
            assert replica.score("small").body == b'"x"'
        assert memory_kib(replica) < before_kib + 100 * 1024
        # They are all answered once it reads.
        with client.makefile("rb") as file:
            assert [len(read_reply(file).body) for _ in range(40)] == [10_000_002] * 40


def test_clients_that_leave_while_they_are_served_are_in_nobodys_way(
    start_replica: StartReplica,
) -> None:
    script = """
        import os, time

        def init(): pass

        def run(raw_data):
            with open(os.path.join(os.path.dirname(__file__), "ran"), "a") as file:
                file.write("x")
            time.sleep(0.05)
            return [1]
    """
    replica = start_replica(script, "--max-concurrent", "200").wait_ready()
    for _ in range(100):
        with connect(replica.socket_path) as client:
            client.sendall(post(b"leaving"))
    assert replica.score("x").json() == [1]
    # run() is not called for those who had gone before their turn.
    assert len((replica.code / "ran").read_text()) < 20
    assert "Traceback" not in replica.log()


@pytest.fixture
def reset_client(replica: Replica) -> Iterator[Callable[[bytes], None]]:
    def reset(data: bytes) -> None:
        with connect(replica.socket_path) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)

    yield reset
    assert serves(replica)


@pytest.mark.parametrize("count", [1, 50])
def test_clients_that_hang_up_on_requests_in_a_row_leave_no_traceback(
    replica: Replica, reset_client: Callable[[bytes], None], count: int
) -> None:
    written = len(replica.log())
    for _ in range(50):
        reset_client(post(b"[1]") * count)
    assert serves(replica)
    assert "Traceback" not in replica.log()[written:]
