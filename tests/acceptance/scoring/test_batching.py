"""Micro-batching in a real replica: requests that wait behind a running one are scored by one call of run()."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.replicas import Replica, Reply, wait_until

# Holds at the body "hold" until the file `go` appears; notes how many rows each call had.
SCRIPT = """
import json, os, time

folder = os.path.dirname(__file__)

def init():
    pass

def run(raw_data):
    if raw_data == "hold":
        open(os.path.join(folder, "began"), "w").close()
        while not os.path.exists(os.path.join(folder, "go")):
            time.sleep(0.002)
        return "held"
    rows = json.loads(raw_data)["features"]
    print("call with", len(rows), "rows")
    if any(row[0] == "bad" for row in rows):
        raise ValueError("bad row")
    return json.dumps({"prediction": [row[0] for row in rows], "classes": ["legit", "fraud"]})
"""
OPTIONS = ("--batch-max-rows", "64", "--max-concurrent", "64")


def _ask_together(replica: Replica, background: ThreadPoolExecutor, bodies: list[str]) -> list[Reply]:
    """Ask while run() is busy with another request, so that all of them wait."""
    for name in ("go", "began"):
        (replica.code / name).unlink(missing_ok=True)
    held = background.submit(replica.score, "hold")
    replica.wait_for_file("began")
    asked = [background.submit(replica.score, body) for body in bodies]
    # Answered by the same loop: when it is through these, it has read the requests before them, or nearly.
    wait_until(lambda: len(replica.connections) > len(bodies), "connections")
    replica.health()
    replica.touch("go")
    assert held.result().body == b'"held"'
    return [future.result() for future in asked]


def _body(number: int) -> str:
    return json.dumps({"features": [[number, 1.5], [number + 0.5, 2]]})


def test_waiting_requests_are_joined_and_each_gets_its_own_rows(
    start_replica: StartReplica, background: ThreadPoolExecutor
) -> None:
    replica = start_replica(SCRIPT, *OPTIONS).wait_ready()
    for turn in range(25):
        numbers = [turn * 100 + number for number in range(8)]
        replies = _ask_together(replica, background, [_body(number) for number in numbers])
        for number, reply in zip(numbers, replies, strict=True):
            assert reply.status == 200
            assert (
                reply.body == json.dumps({"prediction": [number, number + 0.5], "classes": ["legit", "fraud"]}).encode()
            )
            assert reply.headers["content-type"] == "application/json"
    replica.wait_for_log("call with 16 rows")
    replica.wait_for_log(" 2 rows\n")
    assert "Micro-batching is off" not in replica.log()


def test_only_the_guilty_request_of_a_batch_fails(start_replica: StartReplica, background: ThreadPoolExecutor) -> None:
    replica = start_replica(SCRIPT, *OPTIONS).wait_ready()
    bodies = [json.dumps({"features": [[name, 1]]}) for name in ("a", "bad", "c")]
    for _ in range(5):
        replies = _ask_together(replica, background, bodies)
        assert [reply.status for reply in replies] == [200, 424, 200]
        assert [reply.json()["prediction"] for reply in replies if reply.status == 200] == [["a"], ["c"]]
    assert "Micro-batching is off" not in replica.log()


def test_several_threads_join_as_well(start_replica: StartReplica, background: ThreadPoolExecutor) -> None:
    replica = start_replica(SCRIPT, *OPTIONS, "--run-threads", "2").wait_ready()
    for _ in range(30):
        replies = list(background.map(replica.score, map(_body, range(12))))
        assert [reply.json()["prediction"][0] for reply in replies] == list(range(12))


def test_script_that_cannot_be_joined_is_served_unbatched_and_told_once(
    start_replica: StartReplica, background: ThreadPoolExecutor
) -> None:
    script = SCRIPT.replace('return json.dumps({"prediction"', 'return json.dumps({"count": len(rows), "prediction"')
    replica = start_replica(script, *OPTIONS).wait_ready()
    for _ in range(3):
        replies = _ask_together(replica, background, [_body(number) for number in range(4)])
        assert [reply.json()["count"] for reply in replies] == [2] * 4
    replica.wait_for_log("Micro-batching is off")
    assert replica.log().count("Micro-batching is off") == 1


def test_replica_for_one_request_at_a_time_joins_nothing_and_says_so(
    start_replica: StartReplica, background: ThreadPoolExecutor
) -> None:
    options = ("--batch-max-rows", "64", "--max-concurrent", "1", "--max-queue-wait-ms", "15000")
    replica = start_replica(SCRIPT, *options).wait_ready()
    replica.wait_for_log("Micro-batching joins nothing: max_concurrent_requests_per_instance is 1, set it to 2 or more")
    _ask_together(replica, background, [_body(number) for number in range(8)])
    assert "call with 16 rows" not in replica.log()
