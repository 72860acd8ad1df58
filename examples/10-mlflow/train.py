"""Train a small fraud classifier on three features of made-up payments and save it with MLflow: writes model/.

pip install -r requirements.txt && python train.py
"""

import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import infer_signature
from sklearn.linear_model import LogisticRegression

HERE = Path(__file__).parent
FEATURES = ["amount", "hour", "distance_km"]
SCALE = np.array([100.0, 24.0, 50.0])


def main() -> None:
    rng = np.random.default_rng(7)
    payments = pd.DataFrame(rng.uniform(size=(2000, 3)) * SCALE, columns=FEATURES)
    is_fraud = payments["amount"] / 100 + payments["distance_km"] / 50 + rng.normal(size=2000) > 1
    model = LogisticRegression(solver="newton-cholesky").fit(payments, is_fraud.astype(int))
    shutil.rmtree(HERE / "model", ignore_errors=True)
    mlflow.sklearn.save_model(
        model,
        str(HERE / "model"),
        # What a request must look like: others are refused.
        signature=infer_signature(payments, model.predict(payments)),
        # mlflow itself brings a good deal that scoring does not need.
        pip_requirements=str(HERE / "requirements.txt"),
        serialization_format="cloudpickle",
    )
    print(f"model/MLmodel   accuracy {model.score(payments, is_fraud):.2f} on its own {len(payments):,} payments")


if __name__ == "__main__":
    main()
