"""Print the first rows of an output, and how much of it is fraud: python read.py predictions.parquet"""

import sys

import pandas as pd

scores = pd.read_parquet(sys.argv[1])
print(scores.head(3).to_string())
print(f"{len(scores):,} rows, {scores['is_fraud'].sum():,} of them fraud")
