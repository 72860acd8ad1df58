"""Batch jobs of models without a scoring script: files as Azure scores them for MLflow, tables, online deployments."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import joblib
import pandas
import pytest
from sklearn.linear_model import LogisticRegression

from tests.acceptance.conftest import Machine
from tests.acceptance.scoring.onnx_files import Output, Tensor, write_onnx

ROWS = pandas.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 5.0, 4.0]})
LABELS = [0, 0, 1, 1]


@pytest.fixture
def batch(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with a batch endpoint, a model and three tables, one of them without rows."""
    monkeypatch.chdir(machine.work)
    joblib.dump(LogisticRegression().fit(ROWS, LABELS), machine.work / "fraud.pkl")
    folder = machine.work / "tables"
    folder.mkdir()
    ROWS[:3].to_csv(folder / "a.csv", index=False)
    ROWS[:0].to_csv(folder / "b.csv", index=False)
    ROWS[3:].to_parquet(folder / "c.parquet")
    machine.ok("batch", "create", "-n", "fraud-batch")
    return machine


def create(machine: Machine, **extra: Any) -> None:
    document = {"name": "plain", "endpoint_name": "fraud-batch", "model": {"path": "./fraud.pkl"}, **extra}
    (machine.work / "plain.yml").write_text(json.dumps(document))
    machine.ok("batch-deployment", "create", "-f", "plain.yml", "--set-default")


def invoke(machine: Machine, *words: str) -> list[str]:
    job = machine.ok("batch", "invoke", "-n", "fraud-batch", *words, "--stream").json["name"]
    return (machine.home / "jobs" / job / "score" / "predictions.csv").read_text().splitlines()


def test_files_become_row_number_prediction_and_file_name(batch: Machine) -> None:
    create(batch)
    shown = batch.ok("batch-deployment", "show", "-n", "plain", "-e", "fraud-batch").json
    assert "code_configuration" not in shown
    assert invoke(batch, "--input", "tables", "-m", "2") == [
        *("0,0,a.csv", "1,0,a.csv", "2,1,a.csv"),
        "0,1,c.parquet",
    ]


def test_a_file_that_cannot_be_scored_fails_alone_and_is_named(batch: Machine) -> None:
    create(batch)
    for name, content in (
        ("d.txt", b"hello"),
        ("e.csv", b"a,x\n1,2\n"),
        ("f.csv", b""),
        ("g.csv", b"a,b\n1,caf\xe9\n"),
        ("h.parquet", b"PAR1 and no more"),
    ):
        (batch.work / "tables" / name).write_bytes(content)
    lines = invoke(batch, "--input", "tables", "--job-name", "mixed")
    assert [line.rsplit(",", 1)[1] for line in lines] == ["a.csv", "a.csv", "a.csv", "c.parquet"]
    failed = [
        json.loads(line) for line in (batch.home / "jobs" / "mixed" / "failed_items.jsonl").read_text().splitlines()
    ]
    assert [Path(item["item"]).name for item in failed] == ["d.txt", "e.csv", "f.csv", "g.csv", "h.parquet"]
    assert all(f"Error processing input file {item['item']}" in item["error"] for item in failed)
    assert "File type '.txt' is not supported" in failed[0]["error"]
    shown = batch.ok("job", "show", "mixed").json["properties"]
    assert (shown["mlctl.items_succeeded"], shown["mlctl.items_failed"]) == ("3", "5")


def test_rows_of_a_table_are_scored_in_mini_batches(batch: Machine) -> None:
    create(batch)
    ROWS.to_csv(batch.work / "all.csv", index=False)
    words = ("--input", "all.csv", "--rows", "-m", "3", "--header", "--with-input")
    lines = invoke(batch, *words)
    assert lines[0] == "a,b,prediction,probability"
    assert [line.split(",")[2] for line in lines[1:]] == ["0", "0", "1", "1"]


def test_an_onnx_model_is_scored_too(batch: Machine) -> None:
    write_onnx(batch.work / "double.onnx", [Tensor("X", "float", (None, 2))], [Output("Y", "Add", ("X", "X"))])
    create(batch, model={"path": "./double.onnx"})
    ROWS[:1].to_csv(batch.work / "one.csv", index=False)
    assert invoke(batch, "--input", "one.csv") == ['0,"[0.0, 2.0]",one.csv']


def test_an_online_deployment_without_a_script_scores_a_table(batch: Machine) -> None:
    batch.create_endpoint()
    document = {"name": "red", "endpoint_name": "fraud-endpoint", "model": {"path": "./fraud.pkl"}}
    (batch.work / "red.yml").write_text(json.dumps({**document, "instance_type": "Standard_DS3_v2"}))
    batch.ok("deployment", "create", "-f", "red.yml")
    ROWS.to_csv(batch.work / "all.csv", index=False)
    words = ("--from-deployment", "fraud-endpoint/red", "--input", "all.csv", "--output-format", "jsonl", "--stream")
    job = batch.ok("batch", "invoke", *words).json["name"]
    output = batch.home / "jobs" / job / "score" / "predictions.jsonl"
    assert [json.loads(line)["prediction"] for line in output.read_text().splitlines()] == LABELS


def test_a_model_that_cannot_be_loaded_fails_the_job_with_the_reason(batch: Machine) -> None:
    joblib.dump({"no": "model"}, batch.work / "fraud.pkl")
    create(batch)
    failed = batch.run("batch", "invoke", "-n", "fraud-batch", "--input", "tables", "--stream")
    assert failed.code == 1
    assert "fraud.pkl holds a dict, which has no predict()" in failed.err


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_mlflow_models_score_tables_and_images(batch: Machine) -> None:
    """Builds two environments over the network: one to make the models, one for the deployments."""
    from tests.acceptance.scoring.mlflow_models import REQUIREMENTS, make_models, make_python

    made = make_models(make_python(batch.work / "maker"), batch.work / "models")
    conda = {"dependencies": [{"pip": [*REQUIREMENTS, "cloudpickle", "pyarrow", "pillow"]}]}
    environment = {"name": "for-mlflow", "image": "python:3.11", "conda_file": conda}
    frame = pandas.DataFrame({"amount": [1, 300], "age": [20, 50]})
    tables = batch.work / "money"
    tables.mkdir()
    frame.to_csv(tables / "a.csv", index=False)
    frame[1:].to_parquet(tables / "b.parquet")
    (tables / "c.csv").write_text("amount\n7\n")
    for name, expected in (
        ("table", ["0,0,a.csv", "1,1,a.csv", "0,1,b.parquet"]),
        ("records", ["0,False,2.0,a.csv", "1,True,600.0,a.csv", "0,True,600.0,b.parquet"]),
    ):
        create(batch, model={"path": str(made / name), "type": "mlflow_model"}, environment=environment)
        assert invoke(batch, "--input", str(tables), "--job-name", f"of-{name}") == expected
        failed = json.loads((batch.home / "jobs" / f"of-{name}" / "failed_items.jsonl").read_text())
        assert (Path(failed["item"]).name, "age" in failed["error"]) == ("c.csv", True)
    images = batch.work / "images"
    images.mkdir()
    (images / "dot.png").write_bytes(
        bytes.fromhex(
            "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de0000000c49444154789c63606060000000040001f61738550000000049454e44ae426082"
        )
    )
    create(batch, model={"path": str(made / "unsigned"), "type": "mlflow_model"}, environment=environment)
    (line,) = invoke(batch, "--input", str(images))
    assert (line[:2], line[-8:], "uint8" in line) == ("0,", ",dot.png", True)
