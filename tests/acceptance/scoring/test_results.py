"""What run() returns and what the client gets. One replica for all: the body says what to do."""

from __future__ import annotations

import pytest

from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.replicas import Replica

SCRIPT = """
import datetime, json, os, sys
import numpy as np

CASES = {
    "text of an object": lambda: json.dumps({"prediction": [1], "probability": [[0.1, 0.9]]}),
    "text of an array": lambda: "[1, 2]",
    "other text": lambda: 'a "b"',
    "refusal": lambda: (json.dumps({"error": "no"}), 400),
    "dict": lambda: {"a": 1},
    "none": lambda: None,
    "number": lambda: 1.5,
    "nan": lambda: [float("nan"), float("inf")],
    "array": lambda: np.arange(6).reshape(2, 3),
    "scalars inside": lambda: {"a": [np.int64(1), {"b": np.float32(0.5)}], "c": np.bool_(True)},
    "scalar keys": lambda: {np.int64(1): "one"},
    "no content": lambda: ({"ignored": 1}, 204),
    "pair of numbers": lambda: (1, 2),
    "set": lambda: {1, 2},
    "date": lambda: datetime.datetime.now(),
    "raise": lambda: 1 / 0,
    "exit": lambda: sys.exit(0),
    "interrupt": lambda: (_ for _ in ()).throw(KeyboardInterrupt),
}

calls = 0

def init():
    global calls
    calls += 1

def run(raw_data: str):
    return {"init was called": calls} if raw_data == "count" else CASES[raw_data]()
"""


@pytest.fixture(scope="module")
def replica(start_shared_replica: StartReplica) -> Replica:
    return start_shared_replica(SCRIPT).wait_ready()


@pytest.fixture(scope="module")
def exact(start_shared_replica: StartReplica) -> Replica:
    return start_shared_replica(SCRIPT, "--azure-exact").wait_ready()


@pytest.mark.parametrize(
    ("case", "body"),
    [
        ("text of an object", b'{"prediction": [1], "probability": [[0.1, 0.9]]}'),
        ("text of an array", b"[1, 2]"),
        ("other text", b'"a \\"b\\""'),
        ("dict", b'{"a": 1}'),
        ("none", b"{}"),
        ("number", b"1.5"),
        ("nan", b"[NaN, Infinity]"),
        ("array", b"[[0, 1, 2], [3, 4, 5]]"),
        ("scalars inside", b'{"a": [1, {"b": 0.5}], "c": true}'),
        ("scalar keys", b'{"1": "one"}'),
        ("pair of numbers", b"[1, 2]"),
    ],
)
def test_result_reaches_client_as_json(replica: Replica, case: str, body: bytes) -> None:
    reply = replica.score(case)
    assert (reply.status, reply.headers["content-type"], reply.body) == (200, "application/json", body)


def test_text_with_status_is_a_refusal(replica: Replica) -> None:
    reply = replica.score("refusal")
    assert (reply.status, reply.json()) == (400, {"error": "no"})
    assert reply.headers["x-ms-run-function-failed"] == "False"


def test_status_without_content_has_no_body(replica: Replica) -> None:
    connection = replica.connect()
    for _ in range(2):  # a body would be taken for the next answer
        connection.request("POST", "/score", "no content")
        response = connection.getresponse()
        assert (response.status, response.read(), response.headers["content-length"]) == (204, b"", None)


@pytest.mark.parametrize("case", ["raise", "exit", "interrupt"])
def test_exception_is_424_and_replica_survives(replica: Replica, case: str) -> None:
    reply = replica.score(case)
    message = "An unexpected error occurred in scoring script. Check the logs for more info."
    assert (reply.status, reply.json()) == (424, {"message": message})
    assert reply.headers["x-ms-run-function-failed"] == "True"
    assert reply.headers["ms-azureml-model-error-statuscode"] == "500"
    assert reply.headers["ms-azureml-model-error-reason"] == "model_error"
    assert reply.headers["x-ms-run-fn-exec-ms"] is None
    assert replica.score("dict").status == 200


def test_traceback_shows_the_scripts_frames_only(replica: Replica) -> None:
    replica.score("raise")
    log = replica.log()
    assert "Encountered Exception: Traceback (most recent call last):\n" in log
    assert 'score.py", line' in log
    assert "ZeroDivisionError: division by zero" in log
    assert "mlctl/scoring" not in log


@pytest.mark.parametrize("case", ["set", "date"])
def test_result_without_json_form_is_internal_error(replica: Replica, case: str) -> None:
    reply = replica.score(case)
    message = "An unexpected internal error occurred. Check the logs for more info."
    assert (reply.status, reply.json()) == (424, {"message": message})
    assert reply.headers["x-ms-run-function-failed"] == "False"
    assert reply.headers["ms-azureml-model-error-statuscode"] == "500"


def test_init_is_called_once(replica: Replica) -> None:
    assert [replica.score("count").json() for _ in range(3)] == [{"init was called": 1}] * 3


@pytest.mark.parametrize(
    ("case", "body"),
    [
        ("text of an array", b'"[1, 2]"'),
        ("refusal", b'["{\\"error\\": \\"no\\"}", 400]'),
        ("none", b"{}"),
    ],
)
def test_exact_mode_encodes_as_azure(exact: Replica, case: str, body: bytes) -> None:
    reply = exact.score(case)
    assert (reply.status, reply.body) == (200, body)


def test_exact_mode_refuses_numpy(exact: Replica) -> None:
    assert exact.score("array").status == 424
