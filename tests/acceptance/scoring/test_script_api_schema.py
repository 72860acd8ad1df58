"""`/swagger.json`, and requests with an @input_schema that are joined."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.replicas import Replica, Reply, wait_until

# As Azure's server 1.5.1 writes them, with inference-schema 1.8.
DOCUMENTS = json.loads(Path(__file__).with_name("swagger_documents.json").read_text())
SERVICE = {"SERVICE_NAME": "fraud", "SERVICE_VERSION": "7", "SERVICE_PATH_PREFIX": "/api/v1/"}
PLAIN = "def init(): pass\ndef run(raw_data): return raw_data"
SCRIPT = """
import numpy as np
from inference_schema.schema_decorators import input_schema, output_schema
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType

def init():
    pass

@input_schema("data", NumpyParameterType(np.array([[1.5, 2.5]])))
@input_schema("factor", StandardPythonParameterType(2.0))
@output_schema(StandardPythonParameterType({"prediction": [1.5]}))
def run(data, factor=2.0):
    print("call with", len(data), "rows")
    return {"prediction": (data.sum(axis=1) * factor).tolist()}
"""
MIXED = SCRIPT.replace("StandardPythonParameterType(2.0)", 'StandardPythonParameterType([1, "x"])').replace(
    '@input_schema("data", NumpyParameterType(np.array([[1.5, 2.5]])))\n', ""
)


def _describe(replica: Replica, version: str) -> Reply:
    return replica.call("GET", f"/swagger.json?version={version}")


@pytest.fixture(scope="module")
def described(start_shared_replica: StartReplica) -> Replica:
    return start_shared_replica(SCRIPT, environment=SERVICE).wait_ready()


@pytest.fixture(scope="module")
def plain(start_shared_replica: StartReplica) -> Replica:
    return start_shared_replica(PLAIN).wait_ready()


@pytest.mark.parametrize(("asked", "version"), [("2", "2"), ("2.0", "2"), ("3", "3"), ("3.0", "3"), ("3.1", "3.1")])
def test_document_is_azures(described: Replica, plain: Replica, asked: str, version: str) -> None:
    for replica, name in ((described, "decorated"), (plain, "undecorated")):
        reply = _describe(replica, asked)
        assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
        assert reply.headers["x-ms-run-function-failed"] == "False"
        assert reply.json() == DOCUMENTS[name][version]


def test_version_2_is_meant_where_none_is_asked_for(described: Replica) -> None:
    assert described.call("GET", "/swagger.json").json() == DOCUMENTS["decorated"]["2"]
    assert described.call("HEAD", "/swagger.json").body == b""


@pytest.mark.parametrize("version", ["9", "", "3.2", "x"])
def test_unknown_version_is_404(plain: Replica, version: str) -> None:
    reply = _describe(plain, version)
    message = f"Swagger version [{version}] is not valid. Supported versions: [2, 3, 3.1]."
    assert (reply.status, reply.json()) == (404, {"message": message})


def test_schema_that_version_2_cannot_express_is_404_there(start_replica: StartReplica) -> None:
    replica = start_replica(MIXED).wait_ready()
    reply = _describe(replica, "2")
    message = "Swagger version [2] is not supported for the scoring script. Supported swagger versions: [3, 3.1]."
    assert (reply.status, reply.json()) == (404, {"message": message})
    assert _describe(replica, "3").json()["components"]["schemas"]["ServiceInput"]["example"]["factor"] == [1, "x"]


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"swagger.json": '{"mine": 1}'}, {"2": 1}),
        ({"swagger.json": '{"mine": 1}', "swagger2.json": '{"mine": 2}'}, {"2": 1}),
        ({"swagger2.json": '{"mine": 2}', "swagger3.json": '{"mine": 3}'}, {"2": 2, "3": 3}),
        ({"swagger3.1.json": '{"mine": 4}', "swagger.json": "{}"}, {"3.1": 4}),
    ],
)
def test_own_file_goes_before_what_is_generated(
    start_replica: StartReplica, files: Mapping[str, str], expected: Mapping[str, int]
) -> None:
    replica = start_replica(PLAIN, files={f"code/{name}": text for name, text in files.items()}).wait_ready()
    for version in ("2", "3", "3.1"):
        own = {"mine": expected[version]} if version in expected else DOCUMENTS["undecorated"][version]
        assert _describe(replica, version).json() == own


def test_own_file_makes_up_for_what_a_version_cannot_express(start_replica: StartReplica) -> None:
    replica = start_replica(MIXED, files={"code/swagger2.json": '{"mine": 2}'}).wait_ready()
    assert _describe(replica, "2").json() == {"mine": 2}
    assert _describe(replica, "9").json()["message"].endswith("Supported versions: [2, 3, 3.1].")


def test_own_file_that_init_writes_counts(start_replica: StartReplica) -> None:
    script = """
    import os

    def init():
        with open(os.path.join(os.path.dirname(__file__), "swagger.json"), "w") as file:
            file.write('{"mine": 1}')

    def run(raw_data):
        return raw_data
    """
    assert _describe(start_replica(script).wait_ready(), "2").json() == {"mine": 1}


def test_own_file_that_is_broken_is_left_out_and_said(start_replica: StartReplica) -> None:
    replica = start_replica(PLAIN, files={"code/swagger.json": "{nonsense"}).wait_ready()
    assert _describe(replica, "2").json() == DOCUMENTS["undecorated"]["2"]
    replica.wait_for_log("swagger.json is left out: Expecting property name")


PANDAS = """
import json, os, time
import pandas as pd
from inference_schema.schema_decorators import input_schema
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType

folder = os.path.dirname(__file__)

def init():
    pass

@input_schema("data", PandasParameterType(pd.DataFrame({"amount": [1.5], "kind": ["web"]})))
@input_schema("mode", StandardPythonParameterType("x"))
def run(data, mode="none"):
    if mode == "hold":
        open(os.path.join(folder, "began"), "w").close()
        while not os.path.exists(os.path.join(folder, "go")):
            time.sleep(0.002)
    print("call with", len(data), "rows")
    assert str(data["amount"].dtype) == "float64"
    return {"double": (data["amount"] * 2).tolist(), "kind": data["kind"].tolist(), "mode": mode}
"""
JOINING = ("--batch-max-rows", "64", "--max-concurrent", "64", "--batch-input-key", "data")
HOLD = json.dumps({"data": [{"amount": 0.5, "kind": "hold"}], "mode": "hold"})


@pytest.fixture(scope="module")
def joining(start_shared_replica: StartReplica) -> Replica:
    return start_shared_replica(PANDAS, *JOINING).wait_ready()


def _ask_together(replica: Replica, background: ThreadPoolExecutor, asks: list[Callable[[], Reply]]) -> list[Reply]:
    """Ask while run() is busy with another request, so that all of them wait."""
    for name in ("go", "began"):
        (replica.code / name).unlink(missing_ok=True)
    held = background.submit(replica.score, HOLD)
    replica.wait_for_file("began")
    before = len(replica.connections)
    asked = [background.submit(ask) for ask in asks]
    wait_until(lambda: len(replica.connections) >= before + len(asks), "connections")
    replica.health()
    replica.touch("go")
    assert held.result().status == 200
    return [future.result() for future in asked]


def _body(number: int, **more: Any) -> str:
    rows = [{"amount": number + 0.5, "kind": f"k{number}"}, {"amount": -number + 0.5, "kind": "web"}]
    return json.dumps({"data": rows, **more})


def _answer(number: int, mode: str) -> dict[str, Any]:
    return {"double": [number * 2 + 1, -number * 2 + 1], "kind": [f"k{number}", "web"], "mode": mode}


def test_values_of_one_parameter_are_joined_and_each_request_gets_its_own_rows(
    joining: Replica, background: ThreadPoolExecutor
) -> None:
    for turn in range(25):
        numbers = [turn * 10 + number for number in range(6)]
        asks = [lambda number=number: joining.score(_body(number, mode="abc"[number % 3])) for number in numbers]
        for number, reply in zip(numbers, _ask_together(joining, background, asks), strict=True):
            assert reply.json() == _answer(number, "abc"[number % 3])
    joining.wait_for_log("call with 4 rows")
    assert "Micro-batching is off" not in joining.log()


def test_only_the_request_that_cannot_be_converted_fails(joining: Replica, background: ThreadPoolExecutor) -> None:
    bad = json.dumps({"data": [{"amount": "much", "kind": "web"}] * 2})
    for _ in range(5):
        asks = [lambda body=body: joining.score(body) for body in (_body(1), bad, _body(2))]
        replies = _ask_together(joining, background, asks)
        assert [reply.status for reply in replies] == [200, 424, 200]
        assert [reply.json() for reply in replies[::2]] == [_answer(1, "none"), _answer(2, "none")]
    assert "Micro-batching is off" not in joining.log()


def test_refusals_and_queries_among_joined_requests_switch_nothing_off(
    joining: Replica, background: ThreadPoolExecutor
) -> None:
    query = "/score?data=%5B%7B%22amount%22:1.5,%22kind%22:%22web%22%7D%5D"
    asks = [
        *[lambda number=number: joining.score(_body(number)) for number in range(3)],
        *[lambda: joining.call("GET", query)] * 3,
        *[lambda: joining.score(_body(1), {"Content-Type": "text/plain"})] * 2,
    ]
    for _ in range(8):
        replies = _ask_together(joining, background, asks)
        assert [reply.status for reply in replies] == [200] * 6 + [415] * 2
        assert replies[3].json() == {"double": [3.0], "kind": ["web"], "mode": "none"}
    assert "Micro-batching is off" not in joining.log()


def test_key_that_is_no_parameter_is_said(start_replica: StartReplica) -> None:
    replica = start_replica(SCRIPT, *JOINING[:-2]).wait_ready()
    replica.wait_for_log('Micro-batching joins nothing: run() has no parameter "features"')
    replica.wait_for_log("set mlctl.micro_batching.input_key to the one that takes the rows: data, factor")


def test_threads_convert_side_by_side(start_replica: StartReplica, background: ThreadPoolExecutor) -> None:
    replica = start_replica(SCRIPT, *JOINING, "--run-threads", "2").wait_ready()
    for _ in range(15):
        bodies = [json.dumps({"data": [[number, 1], [1, number]], "factor": 1.5}) for number in range(8)]
        replies = list(background.map(replica.score, bodies))
        assert [reply.json() for reply in replies] == [
            {"prediction": [1.5 * (number + 1)] * 2} for number in range(8)
        ], replica.log()
