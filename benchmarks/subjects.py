"""What is served: a script that does nothing, and the fraud example. Each is given to mlctl and to its peer alike."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from benchmarks.local_mlctl import LocalMlctl
from benchmarks.outcome import BenchmarkFailed

EXAMPLE = Path(__file__).parents[1] / "examples" / "01-fraud"
TRAINING_TIMEOUT_S = 120
NOOP = """
def init():
    pass


def run(raw_data):
    return {"answer": 42}
"""
WIDE = """
import json

import numpy as np
from sklearn.linear_model import LogisticRegression


def init():
    global model
    features = np.random.default_rng(7).normal(size=(500, 30))
    model = LogisticRegression().fit(features, features[:, 0] > 0)


def run(raw_data):
    features = np.asarray(json.loads(raw_data)["data"])
    return json.dumps({"probability": model.predict_proba(features).tolist()})
"""
# Above wrk's connections, so that nobody waits for admission; the default would answer 429.
REQUEST_SETTINGS = {"max_concurrent_requests_per_instance": 64, "request_timeout_ms": 60000}


@dataclass(frozen=True)
class Work:
    """A script, what AZUREML_MODEL_DIR is for it, and what is sent to it."""

    script: Path
    model_dir: Path
    body: bytes


@dataclass(frozen=True)
class Subject:
    """Something that is being served by mlctl. model_dir: what AZUREML_MODEL_DIR is for the peer."""

    endpoint: str
    script: Path
    model_dir: Path
    body: bytes


def deploy_noop(mlctl: LocalMlctl) -> Subject:
    """Serve a script whose run() returns a constant dict."""
    script = mlctl.work / "src" / "score.py"
    script.parent.mkdir()
    script.write_text(NOOP)
    document = {
        "name": "blue",
        "endpoint_name": "noop-endpoint",
        "code_configuration": {"code": "./src", "scoring_script": script.name},
        "environment": {"image": "python:3.11"},
        "instance_type": "Standard_DS2_v2",
        "instance_count": 1,
    }
    _deploy(mlctl, document, mlctl.work)
    return Subject("noop-endpoint", script, script.parent, b'{"data": [[1.0, 2.0]]}')


def deploy_fraud(mlctl: LocalMlctl) -> Subject:
    """Serve the fraud example's blue deployment, trained anew in a copy of the example."""
    folder = mlctl.work / "fraud"
    work = train_fraud(folder)
    document: dict[str, Any] = yaml.safe_load((folder / "blue.yml").read_text())
    model, version = document["model"].removeprefix("azureml:").split(":")
    mlctl.run("model", "create", "-n", model, "-v", version, "-p", str(folder / "model-blue"), "-o", "none")
    mlctl.run("environment", "create", "-f", str(folder / "environment.yml"), "-o", "none")
    _deploy(mlctl, document, folder)
    return Subject(document["endpoint_name"], work.script, work.model_dir, work.body)


def train_fraud(folder: Path) -> Work:
    """Copy the fraud example and train its blue model."""
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("model-*", "__pycache__"))
    trained = subprocess.run(
        [sys.executable, "train.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=TRAINING_TIMEOUT_S,
        check=False,
    )
    if trained.returncode != 0:
        raise BenchmarkFailed(f"train.py failed (are the examples' packages there? make setup): {trained.stderr}")
    # The peer is to find model-blue only, in a folder as mlctl shows it to a replica.
    model_dir = folder / "models"
    shutil.copytree(folder / "model-blue", model_dir / "model-blue")
    return Work(folder / "src" / "score.py", model_dir, (folder / "request.json").read_bytes().strip())


def write_noop(folder: Path) -> Work:
    """Write the script that does nothing."""
    return _write_work(folder, NOOP, b'{"data": [[1.0, 2.0]]}')


def write_wide(folder: Path) -> Work:
    """Write a script and a body with 1,000 rows of 30 numbers."""
    rows = [[(row * 31 + column * 17) % 1000 / 7 for column in range(30)] for row in range(1000)]
    return _write_work(folder, WIDE, json.dumps({"data": rows}).encode())


def _write_work(folder: Path, text: str, body: bytes) -> Work:
    folder.mkdir()
    script = folder / "score.py"
    script.write_text(text)
    return Work(script, folder, body)


def _deploy(mlctl: LocalMlctl, document: dict[str, Any], folder: Path) -> None:
    path = folder / "benchmark.yml"
    path.write_text(json.dumps({**document, "request_settings": REQUEST_SETTINGS}))
    mlctl.run("endpoint", "create", "-n", document["endpoint_name"], "-o", "none")
    mlctl.run("deployment", "create", "-f", str(path), "--all-traffic", "-o", "none")
