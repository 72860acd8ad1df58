"""Scripts as users write them: S2 to S5 and S7 of the scenarios, and what the log says of them."""

from __future__ import annotations

import hashlib
import json
import re

from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.replicas import Replica

ROWS = {"data": [[1, 2, 3, 4, 5, 6], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]]}


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


def test_s7_models_are_picked_by_segment(start_replica: StartReplica) -> None:
    script = """
        import json, os, pickle, threading

        def init():
            global models, lock
            lock = threading.Lock()
            folder = os.environ["AZUREML_MODEL_DIR"]
            names = ("retail", "corporate", "sme")
            models = {name: open(os.path.join(folder, f"fraud_model_{name}.pkl")).read() for name in names}

        def run(raw_data):
            segment = json.loads(raw_data)["segment"]
            with lock:
                if segment not in models:
                    return {"error": f"unknown segment {segment}"}, 400
                return {"model": models[segment]}
    """
    files = {f"model/fraud_model_{name}.pkl": name.upper() for name in ("retail", "corporate", "sme")}
    replica = start_replica(script, files=files).wait_ready()
    assert replica.score('{"segment": "sme"}').json() == {"model": "SME"}
    reply = replica.score('{"segment": "x"}')
    assert (reply.status, reply.json()) == (400, {"error": "unknown segment x"})


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
