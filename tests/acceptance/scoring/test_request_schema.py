"""Bodies that do not fit a schema are answered 400 with every place, before they wait for run()."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.replicas import Replica, wait_until

SCHEMA = {
    "type": "object",
    "required": ["features"],
    "properties": {
        "features": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}},
        }
    },
}
COUNT = """
import json, pathlib, time

def init():
    global calls
    calls = 0

def run(raw_data):
    global calls
    calls += 1
    body = json.loads(raw_data) if raw_data else None
    if isinstance(body, dict) and body.get("hold"):
        here = pathlib.Path(__file__).parent
        (here / "running").touch()
        while not (here / "go").exists():
            time.sleep(0.005)
    return {"calls": calls}
"""


def serve(start_replica: StartReplica, schema: Any = SCHEMA, *options: str, script: str = COUNT) -> Replica:
    files = {"schema.json": json.dumps(schema)}
    # The replica's working directory is its folder.
    return start_replica(script, "--request-schema", "schema.json", *options, files=files).wait_ready()


def test_a_bad_body_is_answered_with_every_place_and_run_is_not_called(start_replica: StartReplica) -> None:
    replica = serve(start_replica)
    reply = replica.score(json.dumps({"features": [[1, 2], [1, "x"], [1]]}))
    assert reply.status == 400
    assert reply.json()["errors"] == [
        {"path": "$.features[1][1]", "message": "must be a number, it is a string"},
        {"path": "$.features[2]", "message": "must have at least 2 items, it has 1"},
    ]
    assert "$.features[1][1] must be a number" in reply.json()["message"]
    assert reply.headers["x-ms-run-function-failed"] == "False"
    assert reply.headers["x-request-id"]
    assert replica.score(json.dumps({"features": [[1, 2]]})).json() == {"calls": 1}


def test_a_body_that_is_no_json_is_refused_too(start_replica: StartReplica) -> None:
    replica = serve(start_replica)
    for body in ("", "{", "\xff", "[1, 2]"):
        reply = replica.score(body.encode("latin-1"))
        assert reply.status == 400, body
        assert reply.json()["errors"][0]["path"] == "$"


def test_the_query_of_a_get_is_checked_as_the_body_that_it_becomes(start_replica: StartReplica) -> None:
    replica = serve(start_replica, {"properties": {"a": {"type": "integer"}}})
    assert replica.call("GET", "/score?a=1").status == 200
    assert replica.call("GET", "/score?a=x").json()["errors"][0]["path"] == "$.a"


def test_at_most_a_hundred_faults_are_told(start_replica: StartReplica) -> None:
    reply = serve(start_replica).score(json.dumps({"features": [["x", "y"]] * 1000}))
    assert len(reply.json()["errors"]) == 100
    assert "and 99 more at least" in reply.json()["message"]


def test_a_bad_body_takes_nobodys_turn(start_replica: StartReplica, background: ThreadPoolExecutor) -> None:
    replica = serve(start_replica, {"properties": {"hold": {"type": "boolean"}}}, "--max-queue-wait-ms", "0")
    held = background.submit(replica.score, json.dumps({"hold": True}))
    replica.wait_for_file("running")
    assert replica.score(json.dumps({"hold": "x"})).status == 400
    assert replica.score("{}").status == 429
    replica.touch("go")
    assert held.result().status == 200


@pytest.mark.parametrize("is_good", [True, False])
def test_long_bodies_are_checked_while_others_are_answered(
    start_replica: StartReplica, background: ThreadPoolExecutor, is_good: bool
) -> None:
    replica = serve(start_replica, SCHEMA, "--max-concurrent", "8")
    rows: list[Any] = [[1.5, 2.5]] * 200_000 + ([] if is_good else [[1.5, None]])
    long = background.submit(replica.score, json.dumps({"features": rows}))
    answered = threading.Event()
    background.submit(lambda: (replica.health(), answered.set()))
    wait_until(answered.is_set, "a probe's answer")
    reply = long.result()
    assert reply.status == (200 if is_good else 400), reply.body
    if not is_good:
        assert reply.json()["errors"] == [{"path": "$.features[200000][1]", "message": "must be a number, it is null"}]


def test_joined_requests_are_checked_one_by_one(start_replica: StartReplica, background: ThreadPoolExecutor) -> None:
    script = """
    import json
    def init(): pass
    def run(raw_data):
        return {"sums": [sum(row) for row in json.loads(raw_data)["features"]]}
    """
    replica = serve(start_replica, SCHEMA, "--batch-max-rows", "64", "--max-concurrent", "64", script=script)
    bodies: list[Any] = [[[n, 1]] if n % 3 else [[n, "x"]] for n in range(90)]
    replies = list(background.map(lambda rows: replica.score(json.dumps({"features": rows})), bodies))
    assert [reply.status for reply in replies] == [200 if n % 3 else 400 for n in range(90)]
    assert [reply.json()["sums"] for n, reply in enumerate(replies) if n % 3] == [[n + 1] for n in range(90) if n % 3]


def test_nothing_is_checked_where_nothing_is_known(start_replica: StartReplica) -> None:
    replica = start_replica(COUNT, "--request-schema", "auto").wait_ready()
    assert replica.score('{"features": "x"}').status == 200


def test_the_log_has_a_line_for_a_refused_request(start_replica: StartReplica) -> None:
    replica = serve(start_replica)
    replica.score("{}", {"x-request-id": "refused-one"})
    replica.wait_for_log("refused-one")
    assert "POST /score 400" in replica.log()
