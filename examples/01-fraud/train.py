"""Train a fraud classifier on six features of a payment and save it, twice: a first model and a better one.

    python train.py            # writes model-blue/model.pkl and model-green/model.pkl

The payments are drawn here, with a fixed seed: amount, hour of day, distance from home, age of the account, payments in
the last day, and whether the card was present.
"""

from __future__ import annotations

from pathlib import Path

import joblib
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

HERE = Path(__file__).parent
FEATURES = ("amount", "hour", "distance_km", "account_age_days", "payments_24h", "card_present")


def draw_payments(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw payments as (count, 6) float64 and whether each was fraud as (count,) int64."""
    rng = np.random.default_rng(seed)
    amount = rng.lognormal(3.5, 1.2, count)
    hour = rng.integers(0, 24, count).astype(float)
    distance = rng.exponential(20.0, count)
    age = rng.uniform(1, 3000, count)
    payments = rng.poisson(3, count).astype(float)
    card_present = rng.integers(0, 2, count).astype(float)
    risk = 0.004 * amount + 0.02 * distance - 0.0006 * age + 0.25 * payments - 1.2 * card_present - 2.0
    risk += 3.0 * ((hour < 6) & (amount > 60))
    is_fraud = rng.uniform(size=count) < 1 / (1 + np.exp(-risk))
    return np.column_stack([amount, hour, distance, age, payments, card_present]), is_fraud.astype(int)


def main() -> None:
    features, is_fraud = draw_payments(8000, seed=7)
    train_x, test_x, train_y, test_y = train_test_split(features, is_fraud, random_state=7)
    models = {
        "blue": LogisticRegression(solver="newton-cholesky"),
        "green": make_pipeline(StandardScaler(), PolynomialFeatures(2), LogisticRegression(max_iter=2000)),
    }
    for name, model in models.items():
        model.fit(train_x, train_y)
        folder = HERE / f"model-{name}"
        folder.mkdir(exist_ok=True)
        joblib.dump(model, folder / "model.pkl")
        auc = roc_auc_score(test_y, model.predict_proba(test_x)[:, 1])
        print(f"model-{name}/model.pkl   AUC {auc:.3f} on {len(test_y):,} payments")


if __name__ == "__main__":
    main()
