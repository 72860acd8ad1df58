"""Score payments, and return a row for each: whether it is fraud, and how likely that is."""

import os

import joblib
import pandas as pd

FEATURES = ["amount", "hour", "distance_km", "account_age_days", "payments_24h", "card_present"]


def init() -> None:
    global model
    # A model registered from a folder keeps that folder's name.
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model", "model.pkl"))


def run(mini_batch: pd.DataFrame | list[str]) -> pd.DataFrame:
    # Azure's batch endpoints know no rows: there, the same script gets paths of tables.
    payments = mini_batch if isinstance(mini_batch, pd.DataFrame) else pd.concat(map(pd.read_parquet, mini_batch))
    probability = model.predict_proba(payments[FEATURES].to_numpy())
    return pd.DataFrame({"is_fraud": probability.argmax(axis=1), "probability": probability[:, 1]})
