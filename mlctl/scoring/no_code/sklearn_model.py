"""Serves a scikit-learn model, or whatever else has predict(), from one file that joblib or pickle wrote.

Body: `{"features": [[…], …]}`, or the same under `input_data` or `data`; in place of the rows, a table in pandas' split
form. One row: a list of values in the order of training, or an object where the model was trained with names. Answer:
`{"prediction": […]}`, and `"probability"` where the model has predict_proba().
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.scoring.no_code.tables import Rows, describe_rows, find_rows, parse_object, to_plain
from mlctl.scoring.user_code import ScriptRefused


class SklearnModel:
    """A model and what it tells of its input."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._model: Any = None
        self._names: list[str] | None = None

    def init(self) -> None:
        """Load the model; a class that pickle does not find is in no package of the environment."""
        import joblib  # pyright: ignore[reportMissingTypeStubs]  of the model's environment

        self._model = joblib.load(self._path)  # pyright: ignore[reportUnknownMemberType]
        if not hasattr(self._model, "predict"):
            kind = type(self._model).__name__
            raise ScriptRefused(
                f"{self._path.name} holds {_article(kind)} {kind}, which has no predict(): it needs a scoring script,"
                " code_configuration: {code: ./src, scoring_script: score.py}"
            )
        names = getattr(self._model, "feature_names_in_", None)
        # Steps of a pipeline may look columns up by name: those who were trained with names are given names.
        self._names = None if names is None else [str(name) for name in names]

    def run(self, raw_data: str) -> dict[str, Any]:
        """Return prediction, and probability where there is one, for each row."""
        table = self._build(find_rows(parse_object(raw_data)))
        answer = {"prediction": to_plain(self._model.predict(table))}
        if hasattr(self._model, "predict_proba"):
            answer["probability"] = to_plain(self._model.predict_proba(table))
        return answer

    def describe_body(self) -> Mapping[str, Any]:
        """Describe rows of as many values as the model was trained with; of other models, a list of anything."""
        width: int | None = getattr(self._model, "n_features_in_", None)
        if width is None:
            return describe_rows({"type": "array"})
        # A column of a table may hold lists, for a step that takes them; an array may not.
        values: Any = True if self._names else {"type": ["number", "string", "boolean", "null"]}
        row: dict[str, Any] = {"type": "array", "minItems": width, "maxItems": width, "items": values}
        if self._names:
            row = {"if": {"type": "object"}, "then": {"required": self._names}, "else": row}
        return describe_rows({"type": "array", "items": row}, self._names or ())

    def _build(self, rows: Rows) -> Any:
        columns = rows.columns if rows.columns is not None else self._names
        if columns is not None and self._names is not None and importlib.util.find_spec("pandas"):
            import pandas

            frame: Any = pandas.DataFrame(rows.values, columns=columns)
            return frame[self._names]
        values = rows.values
        if rows.columns is not None and self._names is not None:
            order = [rows.columns.index(name) for name in self._names]
            values = [[row[place] for place in order] for row in values]
        import numpy

        array = numpy.asarray(values)
        # Among text numpy makes text of numbers.
        return numpy.asarray(values, dtype=object) if array.dtype.kind == "U" and array.ndim > 1 else array


def _article(word: str) -> str:
    return "an" if word[:1].lower() in "aeiou" else "a"
