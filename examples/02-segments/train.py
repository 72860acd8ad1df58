"""Train a fraud classifier for each segment on made-up payments: writes model/fraud_model_SEGMENT.pkl."""

from pathlib import Path

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression

SEGMENTS = ("retail", "corporate", "sme")
# amount, hour of day, distance from home, age of the account in days, payments in the last day, card present
SCALE = np.array([100.0, 24.0, 50.0, 3000.0, 5.0, 1.0])


def main() -> None:
    folder = Path(__file__).parent / "model"
    folder.mkdir(exist_ok=True)
    for seed, segment in enumerate(SEGMENTS):
        rng = np.random.default_rng(seed)
        features = rng.uniform(size=(2000, 6)) * SCALE
        is_fraud = features @ (rng.normal(size=6) / SCALE) > 0
        model = LogisticRegression(solver="newton-cholesky").fit(features, is_fraud)
        joblib.dump(model, folder / f"fraud_model_{segment}.pkl")
        print(f"model/fraud_model_{segment}.pkl")


if __name__ == "__main__":
    main()
