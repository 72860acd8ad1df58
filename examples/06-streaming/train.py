"""Train a small fraud classifier on six features of made-up payments: writes model/model.pkl."""

from pathlib import Path

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression

# amount, hour of day, distance from home, age of the account in days, payments in the last day, card present
SCALE = np.array([100.0, 24.0, 50.0, 3000.0, 5.0, 1.0])


def main() -> None:
    rng = np.random.default_rng(7)
    features = rng.uniform(size=(2000, 6)) * SCALE
    is_fraud = features[:, 0] / 100 + features[:, 2] / 50 - features[:, 5] + rng.normal(size=2000) > 1
    model = LogisticRegression(solver="newton-cholesky").fit(features, is_fraud)
    folder = Path(__file__).parent / "model"
    folder.mkdir(exist_ok=True)
    joblib.dump(model, folder / "model.pkl")
    print(f"model/model.pkl   accuracy {model.score(features, is_fraud):.2f} on its own {len(features):,} payments")


if __name__ == "__main__":
    main()
