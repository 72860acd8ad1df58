"""MLflow models in real replicas: the bodies of contract 5.1, row by row. Needs an index to install MLflow from."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtimes.environments import start_words
from tests.acceptance.scoring.mlflow_models import make_models, make_python
from tests.acceptance.scoring.replicas import Replica, start_process, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SPLIT = {"columns": ["amount", "age"], "index": [7, 8], "data": [[1, 20], [300.5, 50]]}
Serve = Callable[..., Replica]


@pytest.fixture(name="models", scope="module")
def _models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("mlflow")
    python = make_python(folder)
    return python, make_models(python, folder / "models")


@pytest.fixture(name="serve", scope="module")
def _serve(models: tuple[Path, Path]) -> Iterator[Serve]:
    """Start a replica for one of the models, once for each schema setting."""
    python, folder = models
    started: dict[tuple[str, ...], Replica] = {}

    def serve(name: str, schema: str = "auto", *options: str) -> Replica:
        key = (name, schema, *options)
        if key not in started:
            words = ("--no-code", f"mlflow:{name}", "--request-schema", schema, *options)
            # Not pytest's folder: a socket's path has 107 bytes at most.
            here = Path(tempfile.mkdtemp(prefix="mlctl-"))
            started[key] = start_process(
                here,
                None,
                *words,
                files={},
                environment={"AZUREML_MODEL_DIR": str(folder)},
                start=start_words(python),
            )
            started[key].wait_ready()
        return started[key]

    yield serve
    for replica in started.values():
        replica.close()
        shutil.rmtree(replica.folder)


def ask(replica: Replica, **body: Any) -> Any:
    reply = replica.score(json.dumps(body))
    assert reply.status == 200, (reply.body, replica.log())
    return reply.json()


def test_a_table_in_split_form_is_answered_with_a_bare_list(serve: Serve) -> None:
    assert ask(serve("table"), input_data=SPLIT) == [0, 1]


def test_the_columns_have_the_signatures_types_and_the_rows_the_clients_index(serve: Serve) -> None:
    (told,) = ask(serve("tell-table"), input_data=SPLIT)
    assert told == ["frame", ["amount", "age"], ["float64", "int64"], ["7", "8"], {"temperature": 0.5}]


def test_the_index_may_be_left_out_where_a_signature_converts(serve: Serve) -> None:
    without = {key: value for key, value in SPLIT.items() if key != "index"}
    assert ask(serve("table"), input_data=without) == [0, 1]


def test_params_reach_the_model(serve: Serve) -> None:
    (told,) = ask(serve("tell-table"), input_data=SPLIT, params={"temperature": 0.9})
    assert told[-1] == {"temperature": 0.9}


def test_a_data_frame_is_answered_as_records(serve: Serve) -> None:
    assert ask(serve("records"), input_data=SPLIT) == [
        {"label": False, "twice": 2.0},
        {"label": True, "twice": 601.0},
    ]


def test_a_list_is_an_array_and_an_object_named_arrays(serve: Serve) -> None:
    assert ask(serve("array"), input_data=[[1, 2], [3, 4]]) == [["ndarray", "float32", [2, 2], {}]]
    named = ask(serve("named"), input_data={"a": [[1, 2]], "b": [3]})
    assert named == [["a", "float32", [1, 2]], ["b", "int64", [1]]]


def test_without_a_signature_the_form_of_the_body_decides(serve: Serve) -> None:
    replica = serve("unsigned")
    assert ask(replica, input_data=SPLIT)[0][0] == "frame"
    assert ask(replica, input_data=[[1, 2]])[0][0] == "ndarray"
    named = {key: value for key, value in SPLIT.items() if key != "index"}
    assert [name for name, *_ in ask(replica, input_data=named)] == ["columns", "data"]
    assert ask(replica, input_data=json.dumps([[1, 2]]))[0][0] == "ndarray"


@pytest.mark.parametrize(
    "body",
    [
        {"input_data": {**SPLIT, "data": [[1, "old"]], "index": [0]}},
        {"input_data": {**SPLIT, "columns": ["amount", "years"]}},
        {"input_data": [[1, 20]]},
        {"input_data": [{"amount": 1, "age": 20}]},
    ],
)
def test_what_the_signature_refuses_is_a_failure_of_run_and_before_that_400(serve: Serve, body: Any) -> None:
    assert serve("table").score(json.dumps(body)).status == 400
    reply = serve("table", "off").score(json.dumps(body))
    assert reply.status == 424
    assert reply.headers["x-ms-run-function-failed"] == "True"


@pytest.mark.parametrize("key", ["dataframe_split", "dataframe_records", "inputs", "instances"])
def test_the_keys_of_mlflows_own_server_are_not_taken(serve: Serve, key: str) -> None:
    reply = serve("table").score(json.dumps({key: SPLIT}))
    assert reply.status == 400
    assert reply.json()["message"] == "A value is not provided for the 'input_data' parameter."


def test_bodies_that_are_not_announced_as_json_are_answered_415(serve: Serve) -> None:
    reply = serve("table").score("amount,age\n1,2", {"Content-Type": "text/csv"})
    assert reply.status == 415


def test_every_place_that_is_wrong_is_told(serve: Serve) -> None:
    reply = serve("table").score(json.dumps({"input_data": {**SPLIT, "data": [["x", 1], [2, [3]]]}}))
    assert [error["path"] for error in reply.json()["errors"]] == ["$.input_data.data[0][0]", "$.input_data.data[1][1]"]


@pytest.mark.parametrize("cell", [1, 1.5, "1.5", True])
def test_the_schema_lets_through_what_the_model_takes(serve: Serve, cell: Any) -> None:
    body = {"input_data": {**SPLIT, "data": [[cell, 20]], "index": [0]}}
    assert serve("table", "off").score(json.dumps(body)).status == 200
    assert serve("table").score(json.dumps(body)).status == 200


def test_swagger_is_answered(serve: Serve) -> None:
    told = serve("table").call("GET", "/swagger.json").json()["definitions"]["ServiceInput"]
    assert told["properties"]["input_data"]["required"] == ["columns", "data"]
    assert told["properties"]["params"] == {"type": "object"}


def test_inputs_and_outputs_are_collected_where_the_deployment_collects(serve: Serve, tmp_path: Path) -> None:
    rates = {"model_inputs": {"enabled": True}, "model_outputs": {"enabled": True}}
    settings = {"collections": rates, "folder": str(tmp_path / "data"), "source": "/x", "instanceId": "blue-1"}
    (tmp_path / "collection.json").write_text(json.dumps(settings))
    replica = serve("table", "auto", "--collection", str(tmp_path / "collection.json"))
    assert ask(replica, input_data=SPLIT) == [0, 1]

    def read(name: str) -> list[Any]:
        files = (tmp_path / "data" / name).rglob("*.jsonl")
        return [json.loads(line) for file in files for line in file.read_text().splitlines()]

    wait_until(lambda: read("model_inputs") and read("model_outputs"), "what is collected")
    (inputs,), (outputs,) = read("model_inputs"), read("model_outputs")
    assert inputs["data"] == [{"amount": 1.0, "age": 20}, {"amount": 300.5, "age": 50}]
    assert [[*row.values()] for row in outputs["data"]] == [[0], [1]]
    assert inputs["correlationid"] == outputs["correlationid"]
