"""The bundles in examples/ do what they are there to show. Fast: on one machine, in this interpreter where it will do.

The slow tests run each demo.sh as it stands, with the environments that uv builds for it.
"""

from __future__ import annotations

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
import pytest
import requests

from tests.acceptance.conftest import Machine, boot
from tests.waiting import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
DEMOS = sorted(path.parent.name for path in EXAMPLES.glob("*/demo.sh"))
ROWS = [[42.5, 14, 3.2, 1200, 2, 1], [950.0, 3, 180.0, 12, 9, 0]]


@dataclass(frozen=True)
class Example:
    """A copy of a bundle, and its endpoint on a machine. `score` may be called from any thread."""

    machine: Machine
    folder: Path
    endpoint: str
    key: str

    def score(self, body: Any) -> requests.Response:
        return self.send(json.dumps(body))

    def send(self, text: str, *, stream: bool = False) -> requests.Response:
        sent = {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"}
        return requests.post(self.uri, data=text, headers=sent, stream=stream, timeout=30)

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.machine.port}/endpoints/{self.endpoint}/score"

    def log(self) -> str:
        return self.machine.ok("deployment", "get-logs", "-n", "blue", "-e", self.endpoint, "--lines", "5000").out

    def data(self, collection: str) -> list[Any]:
        names = ("-n", "blue", "-e", self.endpoint)
        return self.machine.ok("deployment", "data", *names, "--collection", collection).json


@pytest.fixture(scope="module")
def shared() -> Iterator[Machine]:
    with boot() as booted:
        yield booted


def copy_and_train(machine: Machine, name: str, *, train: bool = True) -> Path:
    folder = machine.work / name
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("model", "model-*", "__pycache__"))
    if train:
        runpy.run_path(str(folder / "train.py"), run_name="__main__")
    return folder


def deploy(machine: Machine, folder: Path, *files: str) -> Example:
    endpoint = machine.ok("endpoint", "create", "-f", str(folder / "endpoint.yml")).json["name"]
    for file in files or ("deployment.yml",):
        machine.ok("deployment", "create", "-f", str(folder / file), "-o", "none")
    machine.ok("endpoint", "update", "-n", endpoint, "--traffic", "blue=100", "-o", "none")
    key = machine.ok("endpoint", "get-credentials", "-n", endpoint).json["primaryKey"]
    return Example(machine, folder, endpoint, key)


def prepare(machine: Machine, name: str, *files: str, train: bool = True) -> Example:
    return deploy(machine, copy_and_train(machine, name, train=train), *files)


def probabilities(path: Path) -> list[list[float]]:
    """Return what a pickled model itself says of ROWS."""
    return joblib.load(path).predict_proba(np.asarray(ROWS)).tolist()


def score_at_once(example: Example, bodies: list[Any]) -> list[requests.Response]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(example.score, bodies))


def test_segments_are_scored_each_with_its_own_model(shared: Machine) -> None:
    example = prepare(shared, "02-segments")
    segments = ["retail", "corporate", "sme"] * 10
    answers = score_at_once(example, [{"segment": segment, "data": ROWS} for segment in segments])
    expected = {one: probabilities(example.folder / "model" / f"fraud_model_{one}.pkl") for one in set(segments)}
    assert len({str(scored) for scored in expected.values()}) == 3
    assert [answer.json()["probability"] for answer in answers] == [expected[segment] for segment in segments]
    refused = example.score({"segment": "royal", "data": ROWS})
    reason = "unknown segment royal: it must be one of retail, corporate, sme"
    assert (refused.status_code, refused.json()) == (400, {"error": reason})


def test_only_as_many_models_are_kept_as_the_budget_allows(shared: Machine) -> None:
    example = prepare(shared, "03-segments-lru")
    segments = ["retail", "corporate", "sme", "private", "retail"]
    answers = [example.score({"segment": segment, "data": ROWS}) for segment in segments]
    expected = [probabilities(example.folder / "model" / f"{segment}.pkl") for segment in segments]
    assert [answer.json()["probability"] for answer in answers] == expected
    log = example.log()
    assert re.findall(r"loaded (\w+)", log) == segments
    evicted = re.findall(r"evicted (\w+)", log)
    assert evicted[:3] == ["retail", "corporate", "sme"]
    # At once, the models in use stay, and it is still within its budget in the end.
    more = ["private", "sme", "retail", "corporate"] * 10
    answers = score_at_once(example, [{"segment": segment, "data": ROWS} for segment in more])
    assert [answer.json()["probability"] for answer in answers] == [
        probabilities(example.folder / "model" / f"{segment}.pkl") for segment in more
    ]
    kept_kb = [int(kept) for kept in re.findall(r"; (\d+) kB kept", example.log())]
    assert kept_kb[-1] <= 2000


BAD_BODIES = {
    "short row": ('{"data": [[1, 2, 3]]}', "data.0: List should have at least 6 items"),
    "no rows": ('{"data": []}', "data: List should have at least 1 item"),
    "too many rows": (json.dumps({"data": [[0] * 6] * 1001}), "data: List should have at most 1000 items"),
    "text for a number": ('{"data": [[1, 2, 3, 4, 5, "customer 4711"]]}', "data.0.5: Input should be a valid number"),
    "infinite number": ('{"data": [[1, 2, 3, 4, 5, Infinity]]}', "data.0.5: Input should be a finite number"),
    "mistyped key": ('{"dta": []}', "data: Field required"),
    "no object": ("[]", "body: Input should be an object"),
    "no JSON": ("customer 4711", "body: Invalid JSON"),
    "nothing": ("", "body: Invalid JSON"),
}


def test_bad_bodies_are_400_with_reasons_that_do_not_quote_them(shared: Machine) -> None:
    example = prepare(shared, "04-validation")
    assert example.score({"data": ROWS}).json()["probability"] == probabilities(example.folder / "model" / "model.pkl")
    assert example.score({"data": [ROWS[0]] * 1000}).status_code == 200
    for case, (body, reason) in BAD_BODIES.items():
        answer = example.send(body)
        assert answer.status_code == 400, case
        assert any(error.startswith(reason) for error in answer.json()["error"]), answer.text
        assert "4711" not in answer.text
    assert "4711" not in example.log()


def find_text(folder: Path, text: str) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file() and text.encode() in path.read_bytes()]


def test_nothing_of_a_customer_is_in_any_file_but_the_hash(shared: Machine) -> None:
    example = prepare(shared, "05-pii")
    customer, amount = "Jane-Doe-4711-0815", 8172635.25
    body = {"customer_id": customer, "data": [[amount, *ROWS[0][1:]], ROWS[1]]}
    assert [example.score(body).status_code for _ in range(2)] == [200, 200]
    # A script that fails may say why, but does not quote whom.
    assert example.score({**body, "data": [[customer] * 6]}).status_code == 424
    assert example.score({"customer_id": customer}).status_code == 424
    wait_until(lambda: example.log().count("POST /score 424") == 2)
    log = example.log()
    hashes = re.findall(r"customer (\w{12}), batch of 2", log)
    assert len(hashes) == 2
    assert len(set(hashes)) == 1
    assert "ValueError: " in log
    assert [find_text(shared.home, text) for text in (customer, "4711-0815", "8172635")] == [[], [], []]
    # ... where the search finds what is there.
    assert find_text(shared.home, hashes[0])


def test_a_streamed_answer_arrives_in_lines_and_a_client_may_leave_it(shared: Machine) -> None:
    example = prepare(shared, "06-streaming")
    with example.send(json.dumps({"data": ROWS * 10_000}), stream=True) as answer:
        assert (answer.status_code, answer.headers["transfer-encoding"]) == (200, "chunked")
        assert answer.headers["content-type"] == "application/x-ndjson"
        lines = [json.loads(line) for line in answer.iter_lines(chunk_size=None)]
    assert [line["first_row"] for line in lines] == list(range(0, 20_000, 100))
    fraud = [row[1] for row in probabilities(example.folder / "model" / "model.pkl")]
    assert lines[-1]["probability"] == pytest.approx(fraud * 50)
    with example.send(json.dumps({"data": ROWS * 10_000}), stream=True) as answer:
        assert next(answer.iter_lines(chunk_size=None))
    assert example.score({"data": ROWS}).status_code == 200
    assert "Traceback" not in example.log()
    refused = example.score({"data": [[1, 2]]})
    assert refused.status_code == 400
    assert refused.json() == {"error": 'the body must be {"data": [[...], ...]}, 6 numbers a row'}


def test_joined_requests_are_answered_as_single_ones(shared: Machine) -> None:
    example = prepare(shared, "07-micro-batching", "blue.yml", "green.yml")
    for deployment in ("blue", "green"):
        ended = subprocess.run(
            [sys.executable, "client.py", deployment],
            env={"URI": example.uri, "KEY": example.key},
            cwd=example.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert f"{deployment}: 3,200 of 3,200 answers right" in ended.stdout
    shared.ok("endpoint", "delete", "-n", example.endpoint, "--yes")


def test_inputs_and_outputs_are_kept_and_belong_together(shared: Machine) -> None:
    folder = copy_and_train(shared, "08-data-collection")
    # Without it, mlctl's stand-in collects; the slow test of the demo has the package itself.
    conda = folder / "conda.yml"
    conda.write_text(conda.read_text().replace("      - azureml-ai-monitoring\n", ""))
    example = deploy(shared, folder)
    body = json.loads((folder / "request.json").read_text())
    scored = example.score(body).json()["probability"]
    wait_until(lambda: example.data("model_outputs") and example.data("response"))
    inputs, outputs = example.data("model_inputs")[0], example.data("model_outputs")[0]
    assert inputs["data"] == body["data"]
    assert [row["probability"] for row in outputs["data"]] == pytest.approx(scored)
    assert inputs["correlationid"] == outputs["correlationid"]
    assert example.data("request")[0]["data"] == body


def test_the_onnx_model_says_what_the_model_it_was_made_of_says(shared: Machine) -> None:
    example = prepare(shared, "09-onnx", train=False)
    model, features, classes = runpy.run_path(str(example.folder / "train.py"))["train"]()
    assert model.score(features, classes) > 0.7
    answer = example.score({"data": features[:50].tolist()}).json()
    assert answer["prediction"] == model.predict(features[:50]).tolist()
    assert np.asarray(answer["probability"]) == pytest.approx(model.predict_proba(features[:50]), abs=1e-4)


def test_every_example_is_told_of_and_has_a_demo() -> None:
    folders = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir() and re.match(r"\d\d-", path.name))
    assert folders == DEMOS
    text = (EXAMPLES / "README.md").read_text()
    assert re.findall(r"^\| `(\d\d-[\w-]+)`", text, re.MULTILINE) == folders


# The last line that each demo prints, or one that tells.
ENDINGS = {
    "02-segments": "unknown segment royal",
    "03-segments-lru": "evicted retail",
    "04-validation": "body: Invalid JSON",
    "05-pii": "the id is in none",
    "06-streaming": "20,000 rows scored",
    "07-micro-batching": "green: 3,200 of 3,200 answers right",
    "08-data-collection": "modelDataCollector/data-collection/blue/model_outputs/",
    "09-onnx": '{"prediction": [0, 1]',
    "10-mlflow": "The body does not fit what the model takes",
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name in DEMOS if name != "01-fraud"])
def test_a_demo_ends_well_and_leaves_nothing(machine: Machine, name: str) -> None:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    ended = subprocess.run(
        ["bash", str(EXAMPLES / name / "demo.sh")],
        # uv's cache and pip's settings are the user's.
        env={**os.environ, "PATH": path, "TMPDIR": str(machine.work)},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ENDINGS[name] in ended.stdout + ended.stderr
    assert list(machine.work.glob("mlctl-demo.*")) == []
