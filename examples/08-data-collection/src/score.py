"""Score payments and keep what the model was given and what it said: {"data": [{"amount": ..., ...}, ...]}."""

import json
import os
from typing import Any

import joblib
import pandas as pd
from azureml.ai.monitoring import Collector

FEATURES = ["amount", "hour", "distance_km", "account_age_days", "payments_24h", "card_present"]


def init() -> None:
    global model, inputs, outputs
    # A model registered from a folder keeps that folder's name.
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model", "model.pkl"))
    inputs = Collector(name="model_inputs")
    outputs = Collector(name="model_outputs")


def run(raw_data: str) -> dict[str, Any]:
    payments = pd.DataFrame(json.loads(raw_data)["data"], columns=FEATURES)
    # What joins the model's answer with its input, as their correlationid.
    context = inputs.collect(payments)
    probability = model.predict_proba(payments.to_numpy())[:, 1]
    outputs.collect(pd.DataFrame({"probability": probability}), context)
    return {"probability": probability.tolist()}
