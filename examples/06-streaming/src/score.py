"""Score many payments and send each part of the answer when it is ready: {"data": [[six numbers], ...]}.

The answer is a JSON object per line, for 100 rows each.
"""

import json
import os
from collections.abc import Iterator

import joblib
import numpy as np
from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse

ROWS_PER_LINE = 100


def init() -> None:
    global model
    # A model registered from a folder keeps that folder's name.
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model", "model.pkl"))


@rawhttp
def run(request: AMLRequest) -> AMLResponse:
    if request.method != "POST":
        return AMLResponse({"error": "send a POST"}, 405, {"Allow": "POST"}, json_str=True)
    # All that can be wrong with the request is found here: once the first line is sent, the status is 200 for good.
    try:
        rows = np.asarray(json.loads(request.get_data())["data"], dtype=float).reshape(-1, model.n_features_in_)
    except (KeyError, TypeError, ValueError):
        reason = f'the body must be {{"data": [[...], ...]}}, {model.n_features_in_} numbers a row'
        return AMLResponse({"error": reason}, 400, json_str=True)
    return AMLResponse(score_in_parts(rows), 200, {"Content-Type": "application/x-ndjson"})


def score_in_parts(rows: np.ndarray) -> Iterator[str]:
    """Yield a line for each part of rows, (batch, features) float64."""
    for start in range(0, len(rows), ROWS_PER_LINE):
        probability = model.predict_proba(rows[start : start + ROWS_PER_LINE])
        yield json.dumps({"first_row": start, "probability": probability[:, 1].tolist()}) + "\n"
