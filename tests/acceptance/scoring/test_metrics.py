"""`GET /metrics` of a real replica: what happened is what it tells."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from mlctl.runtimes.metrics import Series, parse_metrics
from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.replicas import Replica, wait_until

SLEEPER = """
    import json, time

    def init(): pass

    def run(raw_data):
        body = json.loads(raw_data)
        if body.get("raise"):
            raise ValueError("asked to")
        time.sleep(body.get("sleep_s", 0))
        return body
"""
JOINED = """
    import json

    def init(): pass

    def run(raw_data):
        return {"prediction": [row[0] for row in json.loads(raw_data)["data"]]}
"""


def read(replica: Replica) -> dict[Series, float]:
    reply = replica.call("GET", "/metrics")
    assert reply.status == 200
    return dict(parse_metrics(reply.body.decode()).values)


def step(values: dict[Series, float], name: str, what: str) -> float:
    return values[Series(f"mlctl_scoring_step_seconds_{what}", (("step", name),))]


def requests(values: dict[Series, float], status: int) -> float:
    return values.get(Series("mlctl_scoring_requests_total", (("status", str(status)),)), 0)


def test_steps_and_statuses_are_counted(start_replica: StartReplica) -> None:
    replica = start_replica(SLEEPER).wait_ready()
    for _ in range(3):
        assert replica.score(json.dumps({"sleep_s": 0.05})).status == 200
    assert replica.score(json.dumps({"raise": True})).status == 424
    assert replica.score(b"\xff").status == 400
    assert replica.call("GET", "/nowhere").status == 404
    values = read(replica)
    assert [requests(values, status) for status in (200, 424, 400, 404)] == [3, 1, 1, 1]
    assert [step(values, name, "count") for name in ("decode", "run", "encode")] == [4, 4, 3]
    assert 0.15 <= step(values, "run", "sum") < 5
    assert step(values, "encode", "sum") < 0.05
    assert values[Series("mlctl_scoring_in_flight")] == 0


def test_waiting_for_ones_turn_is_the_queue_not_the_run(start_replica: StartReplica, background: ThreadPoolExecutor):
    replica = start_replica(SLEEPER, "--max-concurrent", "4").wait_ready()
    body = json.dumps({"sleep_s": 0.1})
    replies = list(background.map(lambda _: replica.score(body), range(4)))
    assert [reply.status for reply in replies] == [200] * 4
    values = read(replica)
    assert step(values, "queue", "sum") > 0.4  # 0.1 + 0.2 + 0.3
    assert step(values, "run", "sum") < step(values, "queue", "sum")


def test_what_is_in_flight_is_told_while_it_is(start_replica: StartReplica, background: ThreadPoolExecutor) -> None:
    script = SLEEPER.replace('time.sleep(body.get("sleep_s", 0))', 'open("go").read() if hold() else None')
    script += """
    from pathlib import Path

    def hold():
        while not Path("go").exists():
            time.sleep(0.005)
"""
    replica = start_replica(script, "--max-concurrent", "1", "--max-queue-wait-ms", "60000").wait_ready()
    replies = [background.submit(replica.score, "{}") for _ in range(3)]
    wait_until(lambda: read(replica)[Series("mlctl_scoring_in_flight")] == 3, "three requests in flight")
    (replica.folder / "go").touch()
    assert [reply.result().status for reply in replies] == [200] * 3
    assert read(replica)[Series("mlctl_scoring_in_flight")] == 0


def test_metrics_are_told_while_init_runs(start_replica: StartReplica) -> None:
    script = """
        import time
        from pathlib import Path

        def init():
            while not Path("go").exists():
                time.sleep(0.005)

        def run(raw_data):
            return 1
    """
    replica = start_replica(script)
    assert read(replica)[Series("mlctl_scoring_in_flight")] == 0
    (replica.folder / "go").touch()
    replica.wait_ready()


@pytest.mark.parametrize("header", ["http", "https", ""])
def test_who_comes_through_a_gateway_finds_nothing(start_replica: StartReplica, header: str) -> None:
    replica = start_replica(SLEEPER).wait_ready()
    assert replica.call("GET", "/metrics", headers={"X-Forwarded-Proto": header}).status == 404
    assert replica.call("POST", "/metrics").status == 405


def test_looking_is_neither_counted_nor_logged(start_replica: StartReplica) -> None:
    replica = start_replica(SLEEPER).wait_ready()
    for _ in range(3):
        read(replica)
    replica.score("{}")
    replica.wait_for_log("POST /score 200")
    assert "/metrics" not in replica.log()
    values = read(replica)
    assert sum(value for series, value in values.items() if series.name == "mlctl_scoring_requests_total") == 1


def test_joined_requests_have_the_times_of_their_call(start_replica: StartReplica, background: ThreadPoolExecutor):
    options = ("--max-concurrent", "64", "--batch-max-rows", "64", "--batch-input-key", "data")
    replica = start_replica(JOINED, *options).wait_ready()
    sent = 0

    def has_joined() -> bool:
        nonlocal sent
        bodies = [json.dumps({"data": [[number, 1.5], [number, 2.5]]}) for number in range(16)]
        replies = list(background.map(replica.score, bodies))
        sent += len(replies)
        assert [reply.json()["prediction"] for reply in replies] == [[number, number] for number in range(16)]
        values = read(replica)
        calls = values[Series("mlctl_scoring_call_requests_count")]
        return values[Series("mlctl_scoring_call_requests_sum")] > calls

    wait_until(has_joined, "a call of run() for several requests")
    values = read(replica)
    assert values[Series("mlctl_scoring_call_requests_sum")] == sent
    assert 0 < values[Series("mlctl_scoring_rows_total")] <= 2 * sent
    assert [step(values, name, "count") for name in ("queue", "decode", "run", "encode")] == [sent] * 4
    assert step(values, "decode", "sum") < 1


def test_without_joining_there_is_nothing_about_calls(start_replica: StartReplica) -> None:
    replica = start_replica(SLEEPER).wait_ready()
    names = {series.name for series in read(replica)}
    assert not [name for name in names if "call_" in name or "collector" in name]
