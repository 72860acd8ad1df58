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
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
import pytest
import requests

from mlctl.ops.validation import validate
from tests.acceptance.conftest import Machine, boot
from tests.waiting import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
DEMOS = sorted(path.parent.name for path in EXAMPLES.glob("*/demo.sh"))
PAYMENTS = runpy.run_path(str(EXAMPLES / "payments.py"))
FEATURES = list(PAYMENTS["FEATURES"])
# As a user has it who followed the README.
PATH = f"{Path(sys.executable).parent}:/usr/bin:/bin"
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
    shutil.copytree(EXAMPLES / name, folder, ignore=shutil.ignore_patterns("model", "model-*", "data", "__pycache__"))
    if not train:
        return folder
    if (folder / "train.py").exists():
        runpy.run_path(str(folder / "train.py"), run_name="__main__")
    else:
        PAYMENTS["train"](folder / "model")
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


def draw(folder: Path, name: str, count: int, *, without_amount: Sequence[int] = ()) -> pd.DataFrame:
    """Write a table of payments into a bundle's data, and return it."""
    payments = PAYMENTS["draw"](count).drop(columns="is_fraud")
    payments.loc[list(without_amount), "amount"] = None
    PAYMENTS["write"](payments, folder / "data" / name)
    return payments


def fraud_of(folder: Path, payments: pd.DataFrame) -> list[float]:
    """Return how likely each payment is fraud, by a bundle's model itself."""
    return joblib.load(folder / "model" / "model.pkl").predict_proba(payments[FEATURES].to_numpy())[:, 1].tolist()


def deploy_batch(machine: Machine, folder: Path) -> str:
    machine.ok("compute", "create", "-f", str(folder / "compute.yml"), "-o", "none")
    endpoint = machine.ok("batch", "create", "-f", str(folder / "endpoint.yml")).json["name"]
    machine.ok("batch-deployment", "create", "-f", str(folder / "deployment.yml"), "--set-default", "-o", "none")
    return endpoint


def test_a_table_is_scored_with_its_input_beside_the_results(shared: Machine) -> None:
    folder = copy_and_train(shared, "11-nightly-table")
    payments = draw(folder, "november.parquet", 5000)
    shared.ok("data", "create", "-f", str(folder / "transactions.yml"), "-o", "none")
    endpoint, scores = deploy_batch(shared, folder), shared.work / "nightly-scores"
    asked = ("--input", "azureml:transactions-nov:1", "--mini-batch-size", "100", "--instance-count", "5")
    ran = shared.ok("batch", "invoke", "--name", endpoint, *asked, "--output-path", str(scores), "--stream")
    assert ran.json["status"] == "Completed"
    found = pd.read_parquet(scores / "predictions.parquet")
    assert found[FEATURES].to_numpy().tolist() == payments.to_numpy().tolist()
    assert found["probability"].tolist() == pytest.approx(fraud_of(folder, payments), rel=1e-9)
    assert found["is_fraud"].tolist() == [int(fraud > 0.5) for fraud in found["probability"]]
    assert shared.ok("validate", str(folder / "nightly.yml")).json[0]["kind"] == "schedule"


def test_a_script_writes_a_file_for_each_input(shared: Machine) -> None:
    folder = copy_and_train(shared, "13-own-output")
    tables = {f"week-{week}": draw(folder, f"week-{week}.csv", 100 * week) for week in (1, 2, 3)}
    scores = shared.work / "own-scores"
    asked = ("-n", deploy_batch(shared, folder), "--input", str(folder / "data"), "--output-path", str(scores))
    shared.ok("batch", "invoke", *asked, "--stream")
    assert sorted(path.name for path in scores.iterdir()) == [f"{name}.parquet" for name in tables]
    for name, payments in tables.items():
        found = pd.read_parquet(scores / f"{name}.parquet")["probability"].tolist()
        assert found == pytest.approx(fraud_of(folder, payments), rel=1e-9)


@pytest.mark.slow
def test_a_bundle_says_the_same_online_and_in_batch(shared: Machine) -> None:
    example = prepare(shared, "14-online-and-batch")
    payments = draw(example.folder, "november.csv", 300, without_amount=[123])
    scores = shared.work / "both-scores"
    asked = ("--input", str(example.folder / "data/november.csv"), "-m", "50", "--output-path", str(scores))
    ran = shared.ok(
        *("batch", "invoke", "--from-deployment", f"{example.endpoint}/blue", *asked),
        *("--output-format", "jsonl", "--with-input", "--stream"),
    )
    assert 'row 123: ValueError: run() answered 400: {"error": "each row must be 6 finite numbers"}' in ran.err
    found = [json.loads(line) for line in (scores / "predictions.jsonl").read_text().splitlines()]
    expected = fraud_of(example.folder, payments.drop(index=123))
    assert [row["probability"][1] for row in found] == pytest.approx(expected, rel=1e-9)
    environ = {"URI": example.uri, "KEY": example.key}
    words = [sys.executable, "compare.py", str(scores / "predictions.jsonl")]
    compared = subprocess.run(words, env=environ, cwd=example.folder, capture_output=True, text=True, check=False)
    assert (compared.returncode, compared.stdout[:17]) == (0, "299 of 299 rows: "), compared.stderr
    shared.ok("endpoint", "delete", "-n", example.endpoint, "--yes")


@pytest.mark.slow
def test_a_build_fails_when_rows_cannot_be_scored(shared: Machine) -> None:
    folder = copy_and_train(shared, "15-ci-gate")
    deploy_batch(shared, folder)

    def build(number: int, *without_amount: int) -> tuple[int, str]:
        draw(folder, "table.csv", 3000, without_amount=without_amount)
        ended = subprocess.run(
            ["bash", "ci.sh", "data/table.csv", str(shared.work / f"build-{number}")],
            env={**os.environ, "PATH": PATH, "BUILD_ID": str(number)},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return ended.returncode, ended.stdout + ended.stderr

    code, text = build(1)
    assert (code, "could not be scored" in text) == (0, False), text
    code, text = build(2, 17, 2900)
    assert code == 1
    rows = [json.loads(line)["row"] for line in text.splitlines() if line.startswith('{"mini_batch"')]
    assert rows == [17, 2900]


@pytest.mark.parametrize(
    ("challenger", "champion", "code"),
    [("0.71", "0.7", 0), ("0.7051", "0.7", 0), ("0.7049", "0.7", 1), ("0.5", "0.7", 1)],
)
def test_a_gate_lets_nothing_but_a_better_model_pass(challenger: str, champion: str, code: int) -> None:
    words = [sys.executable, str(EXAMPLES / "16-train-and-promote/gate.py"), challenger, champion]
    assert subprocess.run(words, capture_output=True, check=False).returncode == code


def test_every_example_is_told_of_and_has_a_demo() -> None:
    folders = sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir() and re.match(r"\d\d-", path.name))
    assert folders == DEMOS
    text = (EXAMPLES / "README.md").read_text()
    assert re.findall(r"^\| `(\d\d-[\w-]+)`", text, re.MULTILINE) == folders


# What mlctl adds to Azure's documents beside properties.
OWN = {"11-nightly-table/nightly.yml": ["Azure refuses: create_job.endpoint: batch endpoints cannot be scheduled"]}
DOCUMENTS = sorted(path for path in EXAMPLES.glob("*/*.yml") if path.name != "conda.yml")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_document_is_one_that_azure_takes(path: Path) -> None:
    (report,) = validate([path], for_azure=True)
    assert report.kind is not None
    expected = OWN.get(f"{path.parent.name}/{path.name}", [])
    assert [problem.message for problem in report.problems] == expected


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
    "11-nightly-table": "RunId: nightly-scores-",
    "12-images": "1000.png: OSError",
    "13-own-output": "4 files in · 4 scored · 0 failed",
    "14-online-and-batch": "1,999 of 1,999 rows: the endpoint says what the job says",
    "15-ci-gate": "exit code 1",
    "16-train-and-promote": "model-2 serves",
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", [name for name in DEMOS if name != "01-fraud"])
def test_a_demo_ends_well_and_leaves_nothing(machine: Machine, name: str) -> None:
    ended = subprocess.run(
        ["bash", str(EXAMPLES / name / "demo.sh")],
        # uv's cache and pip's settings are the user's.
        env={**os.environ, "PATH": PATH, "TMPDIR": str(machine.work)},
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ENDINGS[name] in ended.stdout + ended.stderr
    assert list(machine.work.glob("mlctl-demo.*")) == []
