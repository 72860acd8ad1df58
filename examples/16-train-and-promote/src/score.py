"""Score payments: {"data": [[six numbers], ...]}."""

import json
import os
from typing import Any

import joblib
import numpy as np


def init() -> None:
    global model
    # A model registered from a folder keeps that folder's name.
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model", "model.pkl"))


def run(raw_data: str) -> dict[str, Any]:
    probability = model.predict_proba(np.asarray(json.loads(raw_data)["data"]))
    return {"prediction": probability.argmax(axis=1).tolist(), "probability": probability.tolist()}
