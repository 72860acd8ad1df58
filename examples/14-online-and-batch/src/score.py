"""Score payments: {"data": [[six numbers], ...]}, from a client or from a batch job alike."""

import json
import os

import joblib
import numpy as np

FEATURES = 6


def init() -> None:
    global model
    # A model registered from a folder keeps that folder's name.
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model", "model.pkl"))


def run(raw_data: str) -> tuple[str, int] | str:
    rows = np.asarray(json.loads(raw_data)["data"], dtype=float)
    if rows.ndim != 2 or rows.shape[1] != FEATURES or not np.isfinite(rows).all():
        # A client gets this as 400; in a batch job, rows that are refused are among the failed ones.
        return json.dumps({"error": f"each row must be {FEATURES} finite numbers"}), 400
    probability = model.predict_proba(rows)
    return json.dumps({"prediction": probability.argmax(axis=1).tolist(), "probability": probability.tolist()})
