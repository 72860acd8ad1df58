"""Scripts as users write them: S1 to S8 of the scenarios, and what the log says of them."""

from __future__ import annotations

import hashlib
import importlib.machinery
import json
import re
import runpy
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import cast

import joblib  # pyright: ignore[reportMissingTypeStubs]
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression  # pyright: ignore[reportMissingTypeStubs]

from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.replicas import Replica

ONNX_EXAMPLE = Path(__file__).parents[3] / "examples" / "09-onnx"
ROWS = {"data": [[1, 2, 3, 4, 5, 6], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]]}


def fit_model(seed: int) -> LogisticRegression:
    features = np.random.default_rng(seed).normal(size=(200, 6))
    return LogisticRegression().fit(features, features[:, seed] > 0)


def probabilities(model: LogisticRegression) -> list[list[float]]:
    return model.predict_proba(np.asarray(ROWS["data"])).tolist()


V1_SCRIPT = """
import json
import joblib
import numpy as np
from azureml.core.model import Model

def init():
    global model
    model = joblib.load(Model.get_model_path("fraud-model"))

def run(raw_data):
    features = np.array(json.loads(raw_data)["data"])
    return {"probability": model.predict_proba(features).tolist()}
"""


def test_s1_v1_script_finds_its_model_by_name_without_azures_packages(
    start_replica: StartReplica, tmp_path: Path
) -> None:
    assert importlib.machinery.PathFinder.find_spec("azureml") is None
    folder = tmp_path / "azureml-models" / "fraud-model" / "3"
    folder.mkdir(parents=True)
    joblib.dump(fit_model(0), folder / "fraud.joblib")
    replica = start_replica(V1_SCRIPT, environment={"AZUREML_MODEL_DIR": str(folder)}).wait_ready()
    assert replica.score(json.dumps(ROWS)).json()["probability"] == probabilities(fit_model(0))


def test_s1_v1_script_that_asks_for_another_model_is_told_which_there_are(
    start_replica: StartReplica, tmp_path: Path
) -> None:
    folder = tmp_path / "azureml-models" / "fraud-model" / "3"
    folder.mkdir(parents=True)
    (folder / "fraud.joblib").touch()
    script = V1_SCRIPT.replace('"fraud-model"', '"fraud_model"')
    failure = start_replica(script, environment={"AZUREML_MODEL_DIR": str(folder)}).failure()
    assert failure["phase"] == "init"
    assert "there is no model fraud_model" in failure["message"]
    assert "which holds: fraud-model:3" in failure["message"]


def test_s2_answer_is_not_encoded_twice(start_replica: StartReplica) -> None:
    script = """
        import json
        import numpy as np
        from sklearn.linear_model import LogisticRegression

        def init():
            global model
            features = np.random.default_rng(0).normal(size=(200, 6))
            model = LogisticRegression().fit(features, features[:, 0] > 0)

        def run(raw_data: str) -> str:
            features = np.array(json.loads(raw_data)["data"])
            return json.dumps({
                "prediction": model.predict(features).astype(int).tolist(),
                "probability": model.predict_proba(features).tolist(),
            })
    """
    answer = start_replica(script).wait_ready().score(json.dumps(ROWS)).json()
    assert len(answer["prediction"]) == 2
    assert all(abs(sum(row) - 1) < 1e-9 for row in answer["probability"])


VALIDATING = """
import json
import re
from pydantic import BaseModel, Field, ValidationError, field_validator

class Request(BaseModel):
    data: list[list[float]] = Field(min_length=1, max_length=1000)

    @field_validator("data")
    @classmethod
    def check_columns(cls, rows):
        if any(len(row) != 6 for row in rows):
            raise ValueError("each row needs 6 features")
        return rows

def init():
    pass

def run(raw_data):
    try:
        request = Request.model_validate_json(raw_data)
    except ValidationError as exc:
        return json.dumps({"error": exc.errors()[0]["msg"]}), 400
    return json.dumps({"rows": len(request.data)})
"""


def test_s3_s4_refusals_reach_the_client(start_replica: StartReplica) -> None:
    replica = start_replica(VALIDATING).wait_ready()
    assert replica.score(json.dumps(ROWS)).json() == {"rows": 2}
    bad = [{"data": [[1, 2]]}, {"data": []}, {"data": [[0] * 6] * 1001}]
    replies = [replica.score(json.dumps(body)) for body in bad]
    assert [reply.status for reply in replies] == [400, 400, 400]
    assert replies[0].json() == {"error": "Value error, each row needs 6 features"}


def test_s5_log_has_the_digest_and_nothing_of_the_body(start_replica: StartReplica) -> None:
    script = """
        import hashlib, json, logging

        def init():
            pass

        def run(raw_data):
            request = json.loads(raw_data)
            digest = hashlib.sha256(request["customer_id"].encode()).hexdigest()[:12]
            logging.info("scored %s, batch of %d", digest, len(request["rows"]))
            print("digest", digest)
            if request["rows"] == [0]:
                raise ValueError(f"cannot score {request['customer_id']} from {raw_data!r}")
            return {"ok": True}
    """
    replica = start_replica(script).wait_ready()
    customer = "customer-4711-Jürgen"
    assert replica.score(json.dumps({"customer_id": customer, "rows": [1, 2]})).status == 200
    assert replica.score(json.dumps({"customer_id": customer, "rows": [0]})).status == 424
    replica.wait_for_log("POST /score 424")
    log = replica.log()
    digest = hashlib.sha256(customer.encode()).hexdigest()[:12]
    assert f" I [{replica.process.pid}] root - scored {digest}, batch of 2\n" in log
    assert f" I [{replica.process.pid}] azmlinfsrv.print - digest {digest}\n" in log
    assert "ValueError: cannot score [...]" in log
    assert "4711" not in log
    assert "rgen" not in log


def test_pydantic_error_does_not_quote_the_body_in_the_log(start_replica: StartReplica) -> None:
    script = VALIDATING.replace("except ValidationError", "except ZeroDivisionError")
    replica = start_replica(script).wait_ready()
    assert replica.score(json.dumps({"data": "secret-account-number 123"})).status == 424
    replica.wait_for_log("ValidationError")
    assert "secret-account" not in replica.log()


S6_SCRIPT = """
import json
import os
import numpy as np
import onnxruntime as ort

def init():
    global session, input_name
    options = ort.SessionOptions()
    options.intra_op_num_threads = 4
    path = os.path.join(os.getenv("AZUREML_MODEL_DIR"), "model.onnx")
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    input_name = session.get_inputs()[0].name

def run(raw_data):
    features = np.array(json.loads(raw_data)["data"]).astype(np.float32)
    labels, scores = session.run(None, {input_name: features})
    threads = session.get_session_options().intra_op_num_threads
    return json.dumps({"prediction": labels.tolist(), "probability": scores.tolist(), "threads": threads})
"""


def test_s6_onnx_session_answers_as_the_model_it_was_made_of(start_replica: StartReplica, tmp_path: Path) -> None:
    shutil.copy(ONNX_EXAMPLE / "model.onnx", tmp_path)
    replica = start_replica(S6_SCRIPT, environment={"AZUREML_MODEL_DIR": str(tmp_path)}).wait_ready()
    model, features, _ = runpy.run_path(str(ONNX_EXAMPLE / "train.py"))["train"]()
    answer = replica.score(json.dumps({"data": features[:100].tolist()})).json()
    assert answer["threads"] == 4
    assert answer["prediction"] == model.predict(features[:100]).tolist()
    assert np.asarray(answer["probability"]) == pytest.approx(model.predict_proba(features[:100]), abs=1e-4)
    assert all(abs(sum(row) - 1) < 1e-6 for row in answer["probability"])


SEGMENTS = ("retail", "corporate", "sme")
S7_SCRIPT = """
import json
import os
import threading
import joblib
import numpy as np

SEGMENTS = ("retail", "corporate", "sme")
busy = set()

def init():
    global models, lock
    lock = threading.Lock()
    folder = os.environ["AZUREML_MODEL_DIR"]
    models = {name: joblib.load(os.path.join(folder, f"fraud_model_{name}.pkl")) for name in SEGMENTS}

def run(raw_data):
    request = json.loads(raw_data)
    segment = request["segment"]
    if segment not in models:
        return json.dumps({"error": f"unknown segment {segment}"}), 400
    with lock:
        assert not busy, "two at once"
        busy.add(threading.get_ident())
        scores = models[segment].predict_proba(np.array(request["data"])).tolist()
        busy.clear()
    return {"probability": scores}
"""


@pytest.mark.parametrize("run_threads", ["1", "4"])
def test_s7_models_are_picked_by_segment_under_a_lock(
    start_replica: StartReplica, tmp_path: Path, run_threads: str
) -> None:
    models = {name: fit_model(seed) for seed, name in enumerate(SEGMENTS)}
    for name, model in models.items():
        joblib.dump(model, tmp_path / f"fraud_model_{name}.pkl")
    options = ("--run-threads", run_threads, "--max-concurrent", "50")
    replica = start_replica(S7_SCRIPT, *options, environment={"AZUREML_MODEL_DIR": str(tmp_path)}).wait_ready()
    asked = SEGMENTS * 10
    with ThreadPoolExecutor(8) as pool:
        bodies = [json.dumps({**ROWS, "segment": segment}) for segment in asked]
        replies = list(pool.map(replica.score, bodies))
    assert [reply.json() for reply in replies] == [{"probability": probabilities(models[name])} for name in asked]
    reply = replica.score('{"segment": "royal"}')
    assert (reply.status, reply.json()) == (400, {"error": "unknown segment royal"})


class Downstream(ThreadingHTTPServer):
    """A service that a script asks; counts the connections that it is asked on, and can be told to fail."""

    connections = 0
    asked = 0
    status = 200
    daemon_threads = True

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answering(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    _lock = threading.Lock()

    @property
    def _downstream(self) -> Downstream:
        return cast("Downstream", self.server)

    def setup(self) -> None:
        super().setup()
        with self._lock:
            self._downstream.connections += 1

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        with self._lock:
            self._downstream.asked += 1
        self.send_response(self._downstream.status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def downstream() -> Iterator[Downstream]:
    with Downstream(("127.0.0.1", 0), _Answering) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


S8_SCRIPT = """
import os
import requests
from requests.adapters import HTTPAdapter

def init():
    global session, address
    address = os.environ["FEATURE_STORE_URL"]
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=4, pool_block=True))

def run(raw_data):
    answer = session.post(address, data=raw_data, timeout=10)
    answer.raise_for_status()
    return {"features": answer.json()["data"]}
"""


@pytest.mark.parametrize(("run_threads", "most"), [("1", 1), ("4", 4)])
def test_s8_connections_opened_in_init_are_used_again_and_again(
    start_replica: StartReplica, downstream: Downstream, run_threads: str, most: int
) -> None:
    options = ("--run-threads", run_threads, "--max-concurrent", "50")
    environment = {"FEATURE_STORE_URL": downstream.address}
    replica = start_replica(S8_SCRIPT, *options, environment=environment).wait_ready()
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(replica.score, [json.dumps({"data": number}) for number in range(100)]))
    assert [reply.json() for reply in replies] == [{"features": number} for number in range(100)]
    assert downstream.asked == 100
    assert 1 <= downstream.connections <= most


def test_s8_downstream_that_fails_fails_requests_until_it_is_back(
    start_replica: StartReplica, downstream: Downstream
) -> None:
    replica = start_replica(S8_SCRIPT, environment={"FEATURE_STORE_URL": downstream.address}).wait_ready()
    body = json.dumps({"data": 1})
    downstream.status = 503
    assert replica.score(body).status == 424
    downstream.status = 200
    assert replica.score(body).status == 200
    replica.wait_for_log("HTTPError: 503")


def _serve_one(start_replica: StartReplica) -> Replica:
    return start_replica(
        "def init(): print('a', end=' ')\ndef run(data):\n    print('b\\nc')\n    return 1"
    ).wait_ready()


def test_each_request_has_one_line_in_azures_format(start_replica: StartReplica) -> None:
    replica = _serve_one(start_replica)
    replica.call("GET", "/score?account=12345678", headers={"x-request-id": "id-1", "Authorization": "Bearer k"})
    replica.wait_for_log("id-1")
    log = replica.log()
    line = next(line for line in log.splitlines() if "id-1" in line)
    at, _, message = line.partition(f" I [{replica.process.pid}] azmlinfsrv - ")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}", at)
    assert re.fullmatch(r"GET /score 200 \d+\.\d{3}ms 1 id-1", message)
    assert "12345678" not in log
    assert "Bearer" not in log
    assert "GET / " not in log


def test_each_printed_line_is_a_log_line(start_replica: StartReplica) -> None:
    replica = _serve_one(start_replica)
    replica.score("x")
    printed = [line.split(" - ")[1] for line in replica.log().splitlines() if "azmlinfsrv.print" in line]
    assert printed == ["a b", "c"]
