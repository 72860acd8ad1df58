"""Admission, deadlines, health under load, threads: a script that runs until a file appears."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.replicas import Replica, Reply

# `hold x` runs until the file x exists, `spin x` does so without ever letting go of the interpreter.
SCRIPT = """
import os, threading, time

folder = os.path.dirname(__file__)

def init():
    pass

def run(raw_data):
    verb, _, name = raw_data.partition(" ")
    open(os.path.join(folder, "began-" + name), "w").close()
    while verb != "pass" and not os.path.exists(os.path.join(folder, name)):
        if verb == "hold":
            time.sleep(0.002)
    return threading.current_thread() is threading.main_thread()
"""
SLOW_INIT = """
import os, time

def init():
    while not os.path.exists(os.path.join(os.path.dirname(__file__), "go")):
        time.sleep(0.002)

def run(raw_data):
    return raw_data
"""


def _hold(replica: Replica, background: ThreadPoolExecutor, name: str, verb: str = "hold") -> Future[Reply]:
    future = background.submit(replica.score, f"{verb} {name}")
    replica.wait_for_file(f"began-{name}")
    return future


def test_waiting_request_is_429_at_its_deadline_while_run_is_busy(
    start_replica: StartReplica, background: ThreadPoolExecutor
) -> None:
    replica = start_replica(SCRIPT, "--max-queue-wait-ms", "200").wait_ready()
    first = _hold(replica, background, "a", verb="spin")
    started = time.monotonic()
    late = replica.score("pass b")
    took = time.monotonic() - started
    assert not first.done()
    assert (late.status, late.headers["retry-after"]) == (429, "1")
    assert "200 ms" in late.json()["message"]
    assert 0.2 <= took < 1.5
    replica.touch("a")
    assert first.result().status == 200
    assert not (replica.code / "began-b").exists()
    assert replica.score("pass c").status == 200


def test_admitted_requests_wait_as_long_as_it_takes(
    start_replica: StartReplica, background: ThreadPoolExecutor
) -> None:
    replica = start_replica(SCRIPT, "--max-queue-wait-ms", "100", "--max-concurrent", "3").wait_ready()
    first = _hold(replica, background, "a")
    others = [background.submit(replica.score, f"pass {name}", {"x-request-id": name}) for name in "bcde"]
    # Two of the four are admitted; the other two are refused, which says that the time is over for all.
    replica.wait_for_log("429")
    done = [future.result() for future in others if _is_done_soon(future)]
    assert [reply.status for reply in done] == [429, 429]
    replica.touch("a")
    assert sorted(future.result().status for future in others) == [200, 200, 429, 429]
    assert first.result().status == 200


def _is_done_soon(future: Future[Reply]) -> bool:
    try:
        future.result(0.3)
    except TimeoutError:
        return False
    return True


def test_health_is_answered_while_run_is_busy(start_replica: StartReplica, background: ThreadPoolExecutor) -> None:
    replica = start_replica(SCRIPT).wait_ready()
    busy = _hold(replica, background, "a", verb="spin")
    assert replica.health().status == 200
    assert not busy.done()
    replica.touch("a")
    assert busy.result().json() is True


def test_client_that_left_while_waiting_is_skipped(start_replica: StartReplica, background: ThreadPoolExecutor) -> None:
    replica = start_replica(SCRIPT, "--max-queue-wait-ms", "60000").wait_ready()
    first = _hold(replica, background, "a")
    client = replica.open_socket()
    client.sendall(b"POST /score HTTP/1.1\r\nhost: x\r\nx-request-id: gone\r\ncontent-length: 6\r\n\r\npass b")
    assert replica.health().status == 200  # the loop has read the request before this one
    client.close()
    assert replica.health().status == 200
    replica.touch("a")
    assert first.result().status == 200
    replica.wait_for_log("POST /score 499")
    assert not (replica.code / "began-b").exists()


def test_run_threads_run_side_by_side(start_replica: StartReplica, background: ThreadPoolExecutor) -> None:
    replica = start_replica(SCRIPT, "--run-threads", "2", "--max-concurrent", "2").wait_ready()
    both = [_hold(replica, background, name) for name in "ab"]
    for name in "ba":
        replica.touch(name)
    assert sorted(future.result().json() for future in both) == [False, True]


def test_requests_wait_for_init_and_are_answered_then(
    start_replica: StartReplica, background: ThreadPoolExecutor
) -> None:
    replica = start_replica(SLOW_INIT, "--max-queue-wait-ms", "50")
    early = [background.submit(replica.score, str(number)) for number in range(4)]
    starting = replica.health()
    assert (starting.status, starting.headers["content-type"]) == (503, "application/json")
    assert "starting" in starting.json()["message"]
    assert not any(_is_done_soon(future) for future in early[:1])  # three waits later nobody was refused
    replica.touch("go")
    assert {future.result().body for future in early} == {b'"0"', b'"1"', b'"2"', b'"3"'}
    assert replica.health().status == 200


def test_alarm_of_the_script_outside_run_does_not_end_the_replica(start_replica: StartReplica) -> None:
    script = """
        import signal

        def init():
            signal.signal(signal.SIGALRM, lambda *_: 1 / 0)

        def run(raw_data):
            signal.setitimer(signal.ITIMER_REAL, 0.01)
            return 1
    """
    replica = start_replica(script).wait_ready()
    assert replica.score("x").status == 200
    replica.wait_for_log("A signal handler of the script raised outside run()")
    assert replica.score("x").status == 200
