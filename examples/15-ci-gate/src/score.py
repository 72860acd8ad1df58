"""Score payments; one that is no payment is an error, and fails alone: the rows beside it are scored."""

import os

import joblib
import pandas as pd

FEATURES = ["amount", "hour", "distance_km", "account_age_days", "payments_24h", "card_present"]


def init() -> None:
    global model
    # A model registered from a folder keeps that folder's name.
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model", "model.pkl"))


def run(mini_batch: pd.DataFrame | list[str]) -> list[float]:
    # Azure's batch endpoints know no rows: there, the same script gets paths of tables.
    payments = mini_batch if isinstance(mini_batch, pd.DataFrame) else pd.concat(map(pd.read_csv, mini_batch))
    empty = payments[FEATURES].isna().any()
    if empty.any():
        raise ValueError(f"no {', '.join(empty.index[empty])}")
    return model.predict_proba(payments[FEATURES].to_numpy())[:, 1].tolist()
