"""Train a fraud classifier, and write it with its AUC on payments that it has not seen: model.pkl, metrics.json."""

import argparse
import json
from pathlib import Path

import joblib
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier

KINDS = {"stump": DecisionTreeClassifier(max_depth=1), "logistic": LogisticRegression(solver="newton-cholesky")}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--payments", type=Path, required=True)
    parser.add_argument("--kind", choices=KINDS, required=True)
    parser.add_argument("--model", type=Path, required=True, help="folder to write to")
    chosen = parser.parse_args()
    payments = pd.read_csv(chosen.payments)
    features, is_fraud = payments.drop(columns="is_fraud").to_numpy(), payments["is_fraud"]
    # The same payments are held back each time, so that models can be compared.
    train_x, test_x, train_y, test_y = train_test_split(features, is_fraud, random_state=7)
    model = KINDS[chosen.kind].fit(train_x, train_y)
    auc = roc_auc_score(test_y, model.predict_proba(test_x)[:, 1])
    joblib.dump(model, chosen.model / "model.pkl")
    (chosen.model / "metrics.json").write_text(json.dumps({"auc": round(auc, 4)}))
    print(f"{chosen.kind}: AUC {auc:.4f} on {len(test_y):,} of {len(payments):,} payments")


if __name__ == "__main__":
    main()
