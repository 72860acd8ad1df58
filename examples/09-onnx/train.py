"""Train a small fraud classifier and write it as ONNX: model.onnx, which lies here, so that this need not be run.

    pip install scikit-learn skl2onnx && python train.py

Its probabilities are a tensor of (batch, classes) float32: without zipmap=False they would be a list of dictionaries.
"""

from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

# amount, hour of day, distance from home, age of the account in days, payments in the last day, card present
SCALE = np.array([100.0, 24.0, 50.0, 3000.0, 5.0, 1.0])


def train() -> tuple[Pipeline, np.ndarray, np.ndarray]:
    """Return the model, and what it learned from: features (batch, 6) float32, classes (batch,) int64."""
    rng = np.random.default_rng(7)
    features = (rng.uniform(size=(2000, 6)) * SCALE).astype(np.float32)
    is_fraud = features[:, 0] / 100 + features[:, 2] / 50 - features[:, 5] + rng.normal(size=2000) > 1
    classes = is_fraud.astype(int)
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(features, classes), features, classes


def main() -> None:
    from skl2onnx import to_onnx

    model, features, classes = train()
    graph = to_onnx(model, features[:1], options={"zipmap": False})
    (Path(__file__).parent / "model.onnx").write_bytes(graph.SerializeToString())
    print(f"model.onnx   accuracy {model.score(features, classes):.2f} on its own {len(features):,} payments")


if __name__ == "__main__":
    main()
