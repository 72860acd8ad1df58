"""Train a forest for each segment on made-up payments, of about 1 MB each: writes model/SEGMENT.pkl."""

from pathlib import Path

import joblib
import numpy as np
from sklearn.ensemble import RandomForestClassifier

SEGMENTS = ("retail", "corporate", "sme", "private")
# amount, hour of day, distance from home, age of the account in days, payments in the last day, card present
SCALE = np.array([100.0, 24.0, 50.0, 3000.0, 5.0, 1.0])


def main() -> None:
    folder = Path(__file__).parent / "model"
    folder.mkdir(exist_ok=True)
    for seed, segment in enumerate(SEGMENTS):
        rng = np.random.default_rng(seed)
        features = rng.uniform(size=(2000, 6)) * SCALE
        is_fraud = features @ (rng.normal(size=6) / SCALE) + 0.3 * rng.normal(size=2000) > 0
        model = RandomForestClassifier(30, random_state=seed).fit(features, is_fraud)
        # Compressed: the file is a good deal smaller than the model is in memory.
        joblib.dump(model, folder / f"{segment}.pkl", compress=3)
        print(f"model/{segment}.pkl")


if __name__ == "__main__":
    main()
