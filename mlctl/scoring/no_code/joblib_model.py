"""Serves a scikit-learn model, or whatever else has predict(), from one file that joblib or pickle wrote.

Body: `{"features": [[…], …]}` or `{"input_data": …}` with rows or a table in pandas' split form; one row, one list of
values in the order of training. Answer: `{"prediction": […]}`, and `"probability"` where the model has predict_proba().
"""

from __future__ import annotations

import importlib.util
from typing import Any, cast

from mlctl.scoring.no_code.bodies import check_rows, find_model, is_split, name_type, parse_object
from mlctl.scoring.refusals import BodyRefused, Fault

_ENDINGS = (".joblib", ".pkl", ".pickle")
_KEYS = ("features", "input_data")


class _Model:
    """A loaded model and what it tells of its input."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._has_probabilities = hasattr(model, "predict_proba")
        self._width: int | None = getattr(model, "n_features_in_", None)
        names: Any = getattr(model, "feature_names_in_", None)
        # Steps of a pipeline may look columns up by name: those who were trained with names are given names.
        self._names = None if names is None else [str(name) for name in names]

    def score(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return prediction, and probability where there is one, for each row."""
        table = self._read_table(body)
        answer = {"prediction": self._model.predict(table)}
        if self._has_probabilities:
            answer["probability"] = self._model.predict_proba(table)
        return answer

    def _read_table(self, body: dict[str, Any]) -> Any:
        key = next((key for key in _KEYS if key in body), None)
        if key is None:
            raise BodyRefused([Fault("$", 'must have the key "features" or "input_data"')])
        value, path, columns = body[key], f"$.{key}", self._names
        if is_split(value):
            value, columns, path = value["data"], self._order(value["columns"], path), f"{path}.data"
        self._check(value, path, None if columns is None else len(columns))
        return self._build(value, columns)

    def _order(self, columns: Any, path: str) -> list[str] | None:
        """Check the columns that a client names; the model's own order is restored when the table is built."""
        if self._names is None:
            return None
        given = cast("list[Any]", columns) if isinstance(columns, list) else []
        missing = [name for name in self._names if name not in given]
        if missing or not isinstance(columns, list):
            raise BodyRefused([Fault(f"{path}.columns", f"lacks {', '.join(missing[:20])}")])
        return [str(name) for name in given]

    def _check(self, rows: Any, path: str, columns: int | None) -> None:
        width = columns if columns is not None else self._width
        faults = [*check_rows(rows, path, width)]
        if not faults:
            faults = [
                Fault(f"{path}[{at}][{place}]", f"must be a number or a string, it is {name_type(value)}")
                for at, row in enumerate(rows)
                for place, value in enumerate(row)
                if isinstance(value, list | dict)
            ]
        if faults:
            raise BodyRefused(faults)

    def _build(self, rows: list[Any], columns: list[str] | None) -> Any:
        if columns is not None and self._names is not None and importlib.util.find_spec("pandas"):
            import pandas as pd

            return pd.DataFrame(rows, columns=columns)[self._names]
        import numpy as np

        return np.asarray(rows)


_loaded: _Model | None = None


def init() -> None:
    """Load the model."""
    global _loaded
    import joblib

    model: Any = joblib.load(find_model(_ENDINGS))
    if not hasattr(model, "predict"):
        raise TypeError(f"the model is a {type(model).__name__}, which has no predict(): it needs a scoring script")
    _loaded = _Model(model)


def run(raw_data: str) -> dict[str, Any]:
    """Score the rows of a body."""
    assert _loaded is not None
    return _loaded.score(parse_object(raw_data))
