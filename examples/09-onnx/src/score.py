"""Score payments with ONNX Runtime: {"data": [[six numbers], ...]}. scikit-learn is not needed here."""

import json
import os
from typing import Any

import numpy as np
import onnxruntime


def init() -> None:
    global session, input_name
    options = onnxruntime.SessionOptions()
    # As many threads as the replica has cores to itself: with more they wait for each other.
    options.intra_op_num_threads = int(os.environ.get("ORT_THREADS", "1"))
    # A model registered from one file lies in the folder itself.
    path = os.path.join(os.environ["AZUREML_MODEL_DIR"], "model.onnx")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    input_name = session.get_inputs()[0].name


def run(raw_data: str) -> dict[str, Any]:
    # The graph takes float32 and nothing else; JSON's numbers come as float64.
    rows = np.asarray(json.loads(raw_data)["data"], dtype=np.float32)
    prediction, probability = session.run(None, {input_name: rows})
    return {"prediction": prediction.tolist(), "probability": probability.tolist()}
