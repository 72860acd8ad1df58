"""The payments that most examples score, made up with a fixed seed, and a small model that tells which are fraud.

python ../payments.py train                              # writes model/model.pkl
python ../payments.py train --forest                     # fifty trees: a call takes milliseconds for any rows
python ../payments.py draw data/november.parquet 20000   # writes a table, as Parquet or CSV
"""

from __future__ import annotations

import argparse
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

# Each with the largest value that is drawn.
FEATURES = {
    "amount": 100.0,
    "hour": 24.0,
    "distance_km": 50.0,
    "account_age_days": 3000.0,
    "payments_24h": 5.0,
    "card_present": 1.0,
}


def draw(count: int, *, seed: int = 7) -> pd.DataFrame:
    """Draw payments: FEATURES as columns, and whether each was fraud as `is_fraud`, the last one."""
    rng = np.random.default_rng(seed)
    payments = pd.DataFrame(rng.uniform(size=(count, len(FEATURES))) * list(FEATURES.values()), columns=list(FEATURES))
    risk = payments["amount"] / 100 + payments["distance_km"] / 50 - payments["card_present"]
    return payments.assign(is_fraud=(risk + rng.normal(size=count) > 1).astype(int))


def train(folder: Path, *, is_forest: bool = False) -> None:
    """Train on 2,000 payments and write model.pkl."""
    payments = draw(2000)
    features, is_fraud = payments[list(FEATURES)].to_numpy(), payments["is_fraud"]
    kind = (
        RandomForestClassifier(50, max_depth=8, random_state=7)
        if is_forest
        else LogisticRegression(solver="newton-cholesky")
    )
    model = kind.fit(features, is_fraud)
    folder.mkdir(exist_ok=True)
    joblib.dump(model, folder / "model.pkl")
    print(f"{folder.name}/model.pkl   accuracy {model.score(features, is_fraud):.2f} on its own 2,000 payments")


def write(payments: pd.DataFrame, table: Path) -> None:
    """Write a table in the format that its name says."""
    table.parent.mkdir(exist_ok=True)
    if table.suffix == ".parquet":
        payments.to_parquet(table, index=False)
    else:
        payments.to_csv(table, index=False)
    print(f"{table}   {len(payments):,} payments")


def main() -> None:
    parser = argparse.ArgumentParser(description="Make what the examples need.")
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train", help="write model/model.pkl")
    training.add_argument("--forest", action="store_true", help="a random forest, which is slower by far")
    drawing = commands.add_parser("draw", help="write a table of payments")
    drawing.add_argument("table", type=Path, help="NAME.parquet or NAME.csv")
    drawing.add_argument("count", type=int)
    drawing.add_argument("--seed", type=int, default=11)
    drawing.add_argument("--labels", action="store_true", help="with the column is_fraud, to learn from")
    drawing.add_argument(
        "--without-amount", type=int, nargs="*", default=[], metavar="ROW", help="rows that are broken"
    )
    chosen = parser.parse_args()
    if chosen.command == "train":
        train(Path("model"), is_forest=chosen.forest)
        return
    payments = draw(chosen.count, seed=chosen.seed)
    payments.loc[chosen.without_amount, "amount"] = None
    write(payments if chosen.labels else payments.drop(columns="is_fraud"), chosen.table)


if __name__ == "__main__":
    main()
