"""Score payments with the model of their segment: {"segment": "retail", "data": [[six numbers], ...]}."""

import json
import os
import threading
from typing import Any

import joblib
import numpy as np
from azureml_inference_server_http.api.aml_response import AMLResponse

SEGMENTS = ("retail", "corporate", "sme")

models: dict[str, Any] = {}
# Not every model may be called from two threads at once; those of other segments need not wait for it.
locks = {segment: threading.Lock() for segment in SEGMENTS}


def init() -> None:
    # A model registered from a folder keeps that folder's name.
    folder = os.path.join(os.environ["AZUREML_MODEL_DIR"], "model")
    for segment in SEGMENTS:
        models[segment] = joblib.load(os.path.join(folder, f"fraud_model_{segment}.pkl"))


def run(raw_data: str) -> dict[str, Any] | AMLResponse:
    request = json.loads(raw_data)
    segment = str(request.get("segment"))
    if segment not in models:
        reason = {"error": f"unknown segment {segment}: it must be one of {', '.join(SEGMENTS)}"}
        return AMLResponse(reason, 400, json_str=True)
    with locks[segment]:
        probability = models[segment].predict_proba(np.asarray(request["data"]))
    return {"prediction": probability.argmax(axis=1).tolist(), "probability": probability.tolist()}
