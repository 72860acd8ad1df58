"""Models without a scoring script: scikit-learn and ONNX files in real replicas."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.onnx_files import Output, Tensor, write_onnx
from tests.acceptance.scoring.replicas import Replica

X = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0], [3.0, 4.0]]
Y = [0, 0, 1, 1]
Serve = Callable[..., Replica]


@pytest.fixture(name="serve")
def _serve(start_replica: StartReplica, tmp_path: Path) -> Serve:
    """Start a replica for a model's file, which stands where the daemon puts it: below AZUREML_MODEL_DIR."""

    def serve(path: Path, *options: str, schema: str = "auto", loader: str = "", is_ready: bool = True) -> Replica:
        kind = loader or {".onnx": "onnx"}.get(path.suffix, "sklearn")
        folder = tmp_path / f"dir-{path.name}"
        folder.mkdir()
        shutil.copy(path, folder)
        words = ("--no-code", f"{kind}:{path.name}", "--request-schema", schema, *options)
        replica = start_replica(None, *words, environment={"AZUREML_MODEL_DIR": str(folder)})
        return replica.wait_ready() if is_ready else replica

    return serve


def dump(path: Path, model: Any) -> Path:
    joblib.dump(model, path)
    return path


def ask(replica: Replica, **body: Any) -> Any:
    reply = replica.score(json.dumps(body))
    assert reply.status == 200, (reply.body, replica.log())
    return reply.json()


def list_errors(replica: Replica, **body: Any) -> list[tuple[str, str]]:
    reply = replica.score(json.dumps(body))
    assert reply.status == 400, (reply.status, reply.body)
    return [(error["path"], error["message"]) for error in reply.json()["errors"]]


# scikit-learn


@pytest.mark.parametrize("key", ["features", "input_data", "data"])
def test_a_classifier_answers_prediction_and_probability_for_rows(serve: Serve, tmp_path: Path, key: str) -> None:
    model = LogisticRegression().fit(X, Y)
    answer = ask(serve(dump(tmp_path / "model.joblib", model)), **{key: X})
    assert answer == {"prediction": model.predict(X).tolist(), "probability": model.predict_proba(X).tolist()}


def test_a_regressor_has_no_probability_and_plain_pickles_are_read(serve: Serve, tmp_path: Path) -> None:
    model = LinearRegression().fit(X, Y)
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(model))
    assert ask(serve(path), features=X) == {"prediction": model.predict(X).tolist()}


def test_columns_in_split_form_are_put_in_the_order_of_training(serve: Serve, tmp_path: Path) -> None:
    frame = pd.DataFrame(X, columns=["a", "b"])
    model = LogisticRegression().fit(frame, Y)
    replica = serve(dump(tmp_path / "model.pkl", model))
    split = {"columns": ["b", "more", "a"], "data": [[b, 99, a] for a, b in X]}
    assert ask(replica, input_data=split)["prediction"] == model.predict(frame).tolist()
    assert list_errors(replica, input_data={"columns": ["b"], "data": [[1]]}) == [("$.input_data.columns", 'lacks "a"')]
    records = [{"b": b, "a": a} for a, b in X]
    assert ask(replica, features=records)["prediction"] == model.predict(frame).tolist()
    assert list_errors(replica, features=[{"a": 1}]) == [("$.features[0].b", "is missing")]
    assert "feature names" not in replica.log()


def test_a_pipeline_that_looks_columns_up_by_name_is_given_names(serve: Serve, tmp_path: Path) -> None:
    frame = pd.DataFrame({"city": ["a", "b", "a", "b"], "n": [1.0, 2.0, 3.0, 4.0]})
    columns = ColumnTransformer([("city", OneHotEncoder(handle_unknown="ignore"), ["city"])], remainder="passthrough")
    model = make_pipeline(columns, LogisticRegression()).fit(frame, Y)
    replica = serve(dump(tmp_path / "model.pkl", model))
    assert ask(replica, features=[["a", 1], ["b", 4]])["prediction"] == model.predict(frame.iloc[[0, 3]]).tolist()


def test_rows_that_no_model_of_this_width_takes_are_answered_400_with_their_places(
    serve: Serve, tmp_path: Path
) -> None:
    replica = serve(dump(tmp_path / "model.pkl", LogisticRegression().fit(X, Y)))
    assert list_errors(replica, features=[[1, 2, 3], [1, [2]], 5]) == [
        ("$.features[0]", "must have at most 2 items, it has 3"),
        ("$.features[1][1]", "must be a number, a string, a boolean or null, it is a list"),
        ("$.features[2]", "must be a list, it is a number"),
    ]
    assert list_errors(replica, rows=[[1, 2]]) == [("$", "must have one of the keys features, input_data, data")]


def test_without_a_schema_what_the_model_refuses_is_a_failure_of_run(serve: Serve, tmp_path: Path) -> None:
    replica = serve(dump(tmp_path / "model.pkl", LogisticRegression().fit(X, Y)), schema="off")
    reply = replica.score(json.dumps({"features": [[1, 2, 3]]}))
    assert reply.status == 424
    assert reply.headers["x-ms-run-function-failed"] == "True"


def test_a_model_whose_width_is_unknown_is_given_any_list(serve: Serve, tmp_path: Path) -> None:
    from sklearn.feature_extraction.text import CountVectorizer

    texts = ["good day", "bad day", "good", "bad"]
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0])
    assert ask(serve(dump(tmp_path / "model.pkl", model)), features=["good", "bad"])["prediction"] == [1, 0]


def test_a_file_without_predict_is_told_as_such(serve: Serve, tmp_path: Path) -> None:
    replica = serve(dump(tmp_path / "model.pkl", {"weights": [1, 2]}), is_ready=False)
    failure = replica.failure()
    assert failure["phase"] == "init"
    assert "holds a dict, which has no predict()" in failure["message"]
    assert "scoring_script" in failure["message"]


def test_a_package_that_is_missing_is_named(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    # A pickle that names a class of a package that nobody has.
    path.write_bytes(b"\x80\x04\x8c\x08lightgbx\x8c\x05Model\x93)\x81.")
    message = serve(path, is_ready=False).failure()["message"]
    assert "model.pkl needs the package lightgbx" in message
    assert "conda_file" in message


def test_requests_are_joined(serve: Serve, tmp_path: Path, background: ThreadPoolExecutor) -> None:
    model = LogisticRegression().fit(X, Y)
    replica = serve(dump(tmp_path / "model.pkl", model), "--batch-max-rows", "64", "--max-concurrent", "64")
    rows = [[float(n % 7), float(n % 5)] for n in range(200)]
    replies = list(background.map(lambda row: ask(replica, features=[row]), rows))
    assert [reply["prediction"] for reply in replies] == [[label] for label in model.predict(rows).tolist()]
    replica.wait_for_log("Joining waiting requests")
    assert "Micro-batching is off" not in replica.log()


# ONNX


def test_an_onnx_file_answers_its_outputs_by_name(serve: Serve, tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "add.onnx", [Tensor("X", "float", (None, 2))], [Output("Y", "Add", ("X", "X"))])
    replica = serve(path)
    for body in ({"features": X}, {"input_data": X}, {"X": X}, {"data": {"columns": ["a", "b"], "data": X}}):
        assert ask(replica, **body) == {"Y": (np.asarray(X) * 2).tolist()}
    assert "inputs X (float32, N×2); outputs Y" in replica.log()


def test_onnx_bodies_are_checked_against_shape_and_type(serve: Serve, tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "add.onnx", [Tensor("X", "int64", (None, 2))], [Output("Y", "Add", ("X", "X"))])
    replica = serve(path)
    assert ask(replica, features=[[1, 2.0]]) == {"Y": [[2, 4]]}
    assert list_errors(replica, features=[[1, 2.5], [1, 2, 3]]) == [
        ("$.features[0][1]", "must be a whole number or a boolean, it is the number 2.5"),
        ("$.features[1]", "must have at most 2 items, it has 3"),
    ]
    assert list_errors(replica, rows=[[1, 2]]) == [("$.X", "is missing")]


@pytest.mark.parametrize("schema", ["auto", "off"])
def test_an_onnx_model_with_a_column_for_each_input_takes_rows(serve: Serve, tmp_path: Path, schema: str) -> None:
    inputs = [Tensor("amount", "float", (None, 1)), Tensor("age", "float", (None, 1))]
    path = write_onnx(tmp_path / "columns.onnx", inputs, [Output("total", "Add", ("amount", "age"))])
    replica = serve(path, schema=schema)
    assert ask(replica, features=[[1, 2], [3, 4]]) == {"total": [[3.0], [7.0]]}
    split = {"columns": ["age", "amount"], "data": [[2, 1]]}
    assert ask(replica, input_data=split) == {"total": [[3.0]]}
    assert ask(replica, amount=[[1]], age=[[5]]) == {"total": [[6.0]]}
    status = replica.score(json.dumps({"features": [[1, "x"]]})).status
    assert status == (400 if schema == "auto" else 424)


def test_a_zip_map_stays_a_map(serve: Serve, tmp_path: Path) -> None:
    path = write_onnx(
        tmp_path / "zip.onnx", [Tensor("P", "float", (None, 2))], [Output("scores", "ZipMap", ("P",), is_map=True)]
    )
    assert ask(serve(path), features=[[0.25, 0.75]]) == {"scores": [{"0": 0.25, "1": 0.75}]}


def test_text_goes_into_an_onnx_model(serve: Serve, tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "text.onnx", [Tensor("T", "string", (None, 1))], [Output("U", "Identity", ("T",))])
    replica = serve(path)
    assert ask(replica, features=[["ä"], ["b"]]) == {"U": [["ä"], ["b"]]}
    assert list_errors(replica, features=[[1]]) == [("$.features[0][0]", "must be a string, it is a number")]


def test_a_file_that_is_no_onnx_model_fails_to_start(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "broken.onnx"
    path.write_bytes(b"no protobuf at all")
    failure = serve(path, is_ready=False).failure()
    assert failure["phase"] == "init"
    assert "broken.onnx" in failure["message"]


def test_swagger_and_probe_are_answered_for_a_model_without_script(serve: Serve, tmp_path: Path) -> None:
    replica = serve(dump(tmp_path / "model.pkl", LogisticRegression().fit(X, Y)))
    assert replica.health().body == b"Healthy"
    assert read_input(replica, "2") == {
        "type": "object",
        "properties": {
            "features": {"type": "array", "items": {"type": "array", "minItems": 2, "maxItems": 2, "items": {}}}
        },
    }
    assert read_input(replica, "3.1")["if"] == {"required": ["features"]}


def read_input(replica: Replica, version: str) -> Any:
    document = replica.call("GET", f"/swagger.json?version={version}").json()
    return document.get("definitions", document.get("components", {}).get("schemas"))["ServiceInput"]


def test_swagger_tells_the_inputs_of_an_onnx_model(serve: Serve, tmp_path: Path) -> None:
    path = write_onnx(tmp_path / "add.onnx", [Tensor("X", "float", (None, 2))], [Output("Y", "Add", ("X", "X"))])
    replica = serve(path)
    for version in ("2", "3"):
        assert read_input(replica, version) == {
            "type": "object",
            "required": ["X"],
            "properties": {
                "X": {
                    "type": "array",
                    "items": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "number"}},
                }
            },
        }
    assert "There is no scoring script: " in replica.log()
    assert "is served by mlctl's own loader, onnx" in replica.log()
