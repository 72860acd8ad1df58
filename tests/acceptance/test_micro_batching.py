"""Micro-batching as a deployment asks for it: by properties, and by nothing in the script."""

from __future__ import annotations

import threading
from typing import Any

from tests.acceptance.conftest import Machine
from tests.waiting import wait_until

# Says how many rows it was called with; the first rows of 0 keep it busy for a moment.
SCRIPT = """
import json, time
def init(): pass
def run(raw_data):
    rows = json.loads(raw_data)["data"]
    print("called with", len(rows), "rows")
    if rows[0][0] == 0:
        time.sleep(0.3)
    return json.dumps({"prediction": [row[0] * 2 for row in rows]})
"""
PROPERTIES = {
    "mlctl.micro_batching.max_rows": "64",
    "mlctl.micro_batching.max_wait_ms": "5",
    "mlctl.micro_batching.input_key": "data",
}


def _score_together(machine: Machine, rows: list[int]) -> dict[int, Any]:
    key, answers = machine.key(), dict[int, Any]()

    def score(row: int) -> None:
        answers[row] = machine.score({"data": [[row]]}, key=key).json()

    threads = [threading.Thread(target=score, args=(row,)) for row in rows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_requests_that_wait_are_joined_and_answered_apart(machine: Machine) -> None:
    machine.create_endpoint()
    machine.write_script(SCRIPT)
    machine.deploy("blue", "--all-traffic", properties=PROPERTIES)

    def is_joined() -> bool:
        answers = _score_together(machine, [0, 1, 2, 3, 4])
        assert answers == {row: {"prediction": [row * 2]} for row in range(5)}
        log = machine.ok("deployment", "get-logs", "-n", "blue", "-e", "fraud-endpoint").out
        return any(f"called with {count} rows" in log for count in range(2, 6))

    wait_until(is_joined)


def test_one_request_at_a_time_is_warned_of_and_a_wrong_number_refused(machine: Machine) -> None:
    machine.create_endpoint()
    machine.write_script(SCRIPT)
    warned = machine.ok(
        *("deployment", "create", "-f", machine.write_deployment(concurrency=1, properties=PROPERTIES), "-o", "none")
    )
    assert "mlctl.micro_batching.max_rows has no effect" in warned.err
    assert "max_concurrent_requests_per_instance is 1" in warned.err
    wrong = {**PROPERTIES, "mlctl.micro_batching.max_rows": "some"}
    refused = machine.run("deployment", "update", "-f", machine.write_deployment(properties=wrong))
    assert refused.code == 1
    assert 'properties.mlctl.micro_batching.max_rows: "some" is not a whole number (2 to 10,000)' in refused.err
