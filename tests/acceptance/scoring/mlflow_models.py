"""Real MLflow models, made by a real MLflow in an environment of its own: mlctl itself does not depend on it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from mlctl.errors import EnvironmentFailed
from mlctl.runtimes.environments import Recipe, ensure_environment

REQUIREMENTS = ("mlflow-skinny>=3.1", "pandas", "numpy", "scikit-learn", "skops")
_MAKE = '''
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.models import ModelSignature, infer_signature
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema, TensorSpec
from sklearn.linear_model import LogisticRegression

REQUIREMENTS = sys.argv[2:]
target = Path(sys.argv[1])
target.mkdir(exist_ok=True)


def save(name, model, signature):
    mlflow.pyfunc.save_model(
        str(target / name), python_model=model, signature=signature, pip_requirements=REQUIREMENTS
    )


class Tell(mlflow.pyfunc.PythonModel):
    """Answers with what it was given."""

    def predict(self, context, model_input, params=None):
        if isinstance(model_input, dict):
            return [[name, str(one.dtype), list(one.shape)] for name, one in sorted(model_input.items())]
        if isinstance(model_input, pd.DataFrame):
            parts = model_input.columns, model_input.dtypes, model_input.index
            names, types, index = (list(map(str, part)) for part in parts)
            return [["frame", names, types, index, params or {}]]
        return [[type(model_input).__name__, str(model_input.dtype), list(model_input.shape), params or {}]]


class Records(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return pd.DataFrame({"label": model_input["amount"] > 10, "twice": model_input["amount"] * 2})


frame = pd.DataFrame({"amount": [1.5, 2.0, 300.0, 4.25], "age": [20, 30, 40, 50]})
model = LogisticRegression(max_iter=1000).fit(frame, [0, 0, 1, 0])
mlflow.sklearn.save_model(
    model, str(target / "table"), signature=infer_signature(frame, model.predict(frame)),
    pip_requirements=REQUIREMENTS, serialization_format="cloudpickle",
)
columns = Schema([ColSpec("double", "amount"), ColSpec("long", "age"), ColSpec("string", "city", required=False)])
temperature = ParamSchema([ParamSpec("temperature", "double", 0.5)])
save("tell-table", Tell(), ModelSignature(inputs=columns, params=temperature))
save("records", Records(), ModelSignature(inputs=columns))
save("array", Tell(), ModelSignature(inputs=Schema([TensorSpec(np.dtype("float32"), (-1, 2))])))
named = Schema([TensorSpec(np.dtype("float32"), (-1, 2), "a"), TensorSpec(np.dtype("int64"), (-1,), "b")])
save("named", Tell(), ModelSignature(inputs=named))
save("unsigned", Tell(), None)
'''


def make_python(home: Path) -> Path:
    """Return the interpreter of an environment that has MLflow, built by mlctl; skips where no index is reachable."""
    recipe = Recipe(requirements=(*REQUIREMENTS, "cloudpickle"))
    home.mkdir(parents=True, exist_ok=True)
    try:
        return ensure_environment(home, recipe, os.environ, on_wait=lambda what: None).python
    except EnvironmentFailed as error:
        pytest.skip(f"MLflow cannot be installed here: {error.message}")


def make_models(python: Path, folder: Path) -> Path:
    ran = subprocess.run(
        [str(python), "-W", "ignore", "-c", _MAKE, str(folder), *REQUIREMENTS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return folder
