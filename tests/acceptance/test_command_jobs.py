"""Command jobs: a training step of a pipeline, run here as `az ml job create` runs it there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import Machine
from tests.waiting import wait_until

TRAIN = """
import argparse, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--data"); parser.add_argument("--rate", type=float); parser.add_argument("--out")
args = parser.parse_args()
print("rows:", len(pathlib.Path(args.data).read_text().split()), "rate:", args.rate, "level:", os.environ["LEVEL"])
pathlib.Path(args.out, "model.txt").write_text("trained")
"""
JOB = """
$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
command: python train.py --data ${{inputs.data}} --rate ${{inputs.rate}} --out ${{outputs.model}}
code: ./src
inputs:
  data: {type: uri_file, path: ./rows 1.csv}
  rate: 0.5
outputs:
  model: {type: uri_folder}
environment_variables: {LEVEL: "3"}
"""


def _write(machine: Machine, text: str = JOB) -> str:
    (machine.work / "src").mkdir(exist_ok=True)
    (machine.work / "src" / "train.py").write_text(TRAIN)
    (machine.work / "rows 1.csv").write_text("1\n2\n3\n")
    path = machine.work / "train.yml"
    path.write_text(text)
    return str(path)


def test_a_command_runs_here_and_streams_its_log(machine: Machine, tmp_path: Path) -> None:
    ran = machine.ok("job", "create", "-f", _write(machine), "--stream", "--name", "train-1")
    assert "rows: 3 rate: 0.5 level: 3\n" in ran.out
    shown = machine.ok("job", "show", "-n", "train-1").json
    assert (shown["status"], shown["type"]) == ("Completed", "command")
    machine.ok("job", "download", "-n", "train-1", "--all", "-p", str(tmp_path))
    assert (tmp_path / "named-outputs/model/model.txt").read_text() == "trained"
    assert "rows: 3" in (tmp_path / "artifacts/user_logs/std_log.txt").read_text()


def test_a_command_that_fails_fails_the_command_line(machine: Machine) -> None:
    text = JOB.replace("python train.py", "echo before; python nothing.py")
    ran = machine.run("job", "create", "-f", _write(machine, text), "--stream")
    assert ran.code == 1
    assert "before" in ran.out
    assert "the command ended with exit code 2" in ran.err


def test_a_command_can_be_canceled_with_all_it_started(machine: Machine) -> None:
    text = "command: sleep 300 & sleep 301\n"
    name = machine.ok("job", "create", "-f", _write(machine, text), "--query", "name", "-o", "tsv").out.strip()
    wait_until(lambda: machine.ok("job", "show", name).json["status"] == "Running")
    machine.ok("job", "cancel", "-n", name)
    assert machine.ok("job", "show", name).json["status"] == "Canceled"


def test_a_command_has_a_limit(machine: Machine) -> None:
    text = "command: sleep 300\nlimits: {timeout: 1}\n"
    ran = machine.run("job", "create", "-f", _write(machine, text), "--stream")
    assert (ran.code, "took longer than 1 s" in ran.err) == (1, True)


def test_a_wrong_file_is_refused_where_it_is_wrong(machine: Machine) -> None:
    text = JOB.replace("${{inputs.rate}}", "${{inputs.rte}}").replace("code: ./src", "cod: ./src")
    ran = machine.run("job", "create", "-f", _write(machine, text))
    assert ran.code == 1
    assert "${{inputs.rte}} names no input" in ran.err
    assert "train.yml:4:1" in ran.err
    assert machine.ok("job", "list").json == []


# Stands in for MLflow, of which the tests' environment need not have a version: it writes what MLflow's file store
# does, where the variables that MLflow reads say.
TRACKED = """
import os, pathlib, urllib.parse
assert os.environ["MLFLOW_ALLOW_FILE_STORE"] == "true"
store = pathlib.Path(urllib.parse.urlparse(os.environ["MLFLOW_TRACKING_URI"]).path)
metrics = store / "0" / "run" / "metrics"
metrics.mkdir(parents=True)
(metrics / "auc").write_text("1700000000000 0.91 0\\n1700000000001 0.93 1\\n")
"""


def test_metrics_that_a_command_logs_are_shown(machine: Machine) -> None:
    _write(machine, "command: python train.py\ncode: ./src\n")
    (machine.work / "src" / "train.py").write_text(TRACKED)
    shown = machine.ok("job", "create", "-f", str(machine.work / "train.yml"), "--stream").out
    document = json.loads(shown[shown.index("{") :])
    assert document["properties"]["mlctl.metrics.auc"] == "0.93"


def test_mlflow_itself_logs_into_the_jobs_folder(machine: Machine) -> None:
    pytest.importorskip("mlflow", reason="mlflow is not installed here")
    _write(machine, "command: python train.py\ncode: ./src\n")
    text = "import mlflow\nmlflow.log_metric('auc', 0.91)\nmlflow.log_metric('auc', 0.93)\n"
    (machine.work / "src" / "train.py").write_text(text)
    machine.ok("job", "create", "-f", str(machine.work / "train.yml"), "--stream", "-n", "j")
    assert machine.ok("job", "show", "j").json["properties"]["mlctl.metrics.auc"] == "0.93"


def test_a_model_is_registered_from_a_jobs_output(machine: Machine, tmp_path: Path) -> None:
    machine.ok("job", "create", "-f", _write(machine), "--stream", "--name", "train-1")
    made = machine.ok("model", "create", "-n", "fraud", "-p", "azureml://jobs/train-1/outputs/model").json
    assert made["version"] == "1"
    machine.ok("model", "download", "-n", "fraud", "-v", "1", "-p", str(tmp_path))
    assert (tmp_path / "fraud/model/model.txt").read_text() == "trained"
    path = "azureml://jobs/train-1/outputs/model/paths/model.txt"
    assert machine.ok("data", "create", "-n", "d", "-t", "uri_file", "-p", path).json["path"].endswith("/model.txt")
    missing = machine.run("model", "create", "-n", "fraud", "-p", "azureml://jobs/train-1/outputs/modl")
    assert (missing.code, "it has: model" in missing.err) == (3, True)


def test_what_a_command_writes_into_outputs_is_an_artifact(machine: Machine) -> None:
    text = "command: mkdir outputs && echo 1 > outputs/m.txt\n"
    machine.ok("job", "create", "-f", _write(machine, text), "--stream", "--name", "j")
    path = "azureml://jobs/j/outputs/artifacts/paths/outputs/m.txt"
    assert machine.ok("model", "create", "-n", "m", "-p", path).json["name"] == "m"
