"""Score tables, a file of payments each, and write a file of scores for each, under the same name."""

import os
from pathlib import Path

import joblib
import pandas as pd

FEATURES = ["amount", "hour", "distance_km", "account_age_days", "payments_24h", "card_present"]


def init() -> None:
    global model, output
    # A model registered from a folder keeps that folder's name.
    model = joblib.load(os.path.join(os.environ["AZUREML_MODEL_DIR"], "model", "model.pkl"))
    output = Path(os.environ["AZUREML_BI_OUTPUT_PATH"])


def run(mini_batch: list[str]) -> list[str]:
    return [score(Path(path)) for path in mini_batch]


def score(path: Path) -> str:
    payments = pd.read_csv(path)
    payments["probability"] = model.predict_proba(payments[FEATURES].to_numpy())[:, 1]
    # All workers write here at once, and a mini-batch may run again: the name is the input's own, so that nobody else
    # writes it, and it appears when it is whole.
    target = output / f"{path.stem}.parquet"
    draft = target.with_suffix(f".{os.getpid()}")
    payments.to_parquet(draft, index=False)
    draft.replace(target)
    return target.name
