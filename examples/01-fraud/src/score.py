"""Score payments: {"data": [[six numbers], ...]}, and maybe a "customer_id", which is only ever logged as a hash."""

import hashlib
import json
import logging
import os

import joblib
import numpy as np
from pydantic import BaseModel, Field, ValidationError

FEATURES = 6
MAX_ROWS = 1000


class Request(BaseModel):
    data: list[list[float]] = Field(min_length=1, max_length=MAX_ROWS)
    customer_id: str | None = None


def init():
    global model
    folder = os.environ["AZUREML_MODEL_DIR"]
    # A model registered from a folder keeps that folder's name.
    name = next(entry for entry in sorted(os.listdir(folder)) if entry.startswith("model"))
    model = joblib.load(os.path.join(folder, name, "model.pkl"))
    logging.info("model loaded")


def run(raw_data):
    try:
        request = Request.model_validate_json(raw_data)
    except ValidationError as error:
        reasons = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors(include_input=False)]
        return json.dumps({"error": "; ".join(reasons[:5])}), 400
    if any(len(row) != FEATURES for row in request.data):
        return json.dumps({"error": f"each row of data must hold {FEATURES} numbers"}), 400
    if request.customer_id:
        digest = hashlib.sha256(request.customer_id.encode()).hexdigest()[:12]
        logging.info("scoring for customer %s, %d rows", digest, len(request.data))
    probability = model.predict_proba(np.asarray(request.data))
    return json.dumps({"prediction": probability.argmax(axis=1).tolist(), "probability": probability.tolist()})
