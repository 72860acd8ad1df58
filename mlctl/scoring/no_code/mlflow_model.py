"""Serves an MLflow model with the python_function flavour, as Azure's own script does. Source: scoring contract 5.1.

Body: `{"input_data": …, "params": {…}}`. input_data: a table in pandas' split form, rows as lists, named tensors, or
text for a model whose signature takes text. Answer: the bare list of predictions, records for a DataFrame.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from mlctl.scoring.no_code.bodies import check_rows, is_split, name_type, parse_object
from mlctl.scoring.refusals import BodyRefused, Fault

_WHOLE = ("integer", "long")
_NUMBERS = ("float", "double")
# What mlflow says when a body does not fit the signature; anything else is a failure of the model.
_REFUSALS = ("BAD_REQUEST", "INVALID_PARAMETER_VALUE")


class _Model:
    """A loaded model and its signature's input."""

    def __init__(self, model: Any) -> None:
        self._model = model
        schema: Any = model.metadata.get_input_schema()
        is_table = schema is not None and not schema.is_tensor_spec()
        # (name or None, type, is required); None: no table, or nothing is known.
        self._columns: list[tuple[str | None, str, bool]] | None = (
            [(one.name, str(getattr(one.type, "name", "")), bool(getattr(one, "required", True))) for one in schema]
            if is_table
            else None
        )

    def score(self, body: dict[str, Any]) -> Any:
        """Return the predictions in their plain form."""
        if "input_data" not in body:
            raise BodyRefused([Fault("$.input_data", "is missing")])
        params = body.get("params")
        if params is not None and not isinstance(params, Mapping):
            raise BodyRefused([Fault("$.params", f"must be an object, it is {name_type(params)}")])
        data = self._read(body["input_data"])
        try:
            result = self._model.predict(data, params=params) if params else self._model.predict(data)
        except Exception as error:
            if getattr(error, "error_code", None) in _REFUSALS:
                raise BodyRefused([Fault("$.input_data", str(error))]) from error
            raise
        return _to_plain(result)

    def _read(self, value: Any) -> Any:
        if is_split(value):
            return self._read_split(cast("dict[str, Any]", value))
        if isinstance(value, str) or _is_text(value):
            return value
        if isinstance(value, Mapping):
            import numpy as np

            return {str(name): np.asarray(item) for name, item in cast("Mapping[Any, Any]", value).items()}
        if self._columns is not None and all(name for name, _, _ in self._columns):
            return self._make_table(value, [str(name) for name, _, _ in self._columns], None, "$.input_data")
        faults = [] if isinstance(value, list) else [Fault("$.input_data", f"must be a list, it is {name_type(value)}")]
        if faults:
            raise BodyRefused(faults)
        import numpy as np

        return np.asarray(value)

    def _read_split(self, value: dict[str, Any]) -> Any:
        columns = value["columns"]
        if not isinstance(columns, list):
            raise BodyRefused([Fault("$.input_data.columns", f"must be a list, it is {name_type(columns)}")])
        names = [str(name) for name in cast("list[Any]", columns)]
        missing = [name for name, _, is_required in self._columns or () if is_required and name and name not in names]
        if missing:
            raise BodyRefused([Fault("$.input_data.columns", f"lacks {', '.join(missing)}")])
        return self._make_table(value["data"], names, value.get("index"), "$.input_data.data")

    def _make_table(self, rows: Any, names: Sequence[str], index: Any, path: str) -> Any:
        faults = [*check_rows(rows, path, len(names))] or [*self._check_types(rows, names, path)]
        if faults:
            raise BodyRefused(faults)
        import pandas as pd

        frame = pd.DataFrame(rows, columns=list(names), index=index)
        # JSON writes 1 for 1.0; mlflow takes no int64 where its signature says double.
        kinds = {name: kind for name, kind, _ in self._columns or () if name in names}
        return frame.astype({name: "float64" for name, kind in kinds.items() if kind in _NUMBERS and name})

    def _check_types(self, rows: list[list[Any]], names: Sequence[str], path: str) -> Iterator[Fault]:
        kinds = {name: kind for name, kind, _ in self._columns or ()}
        for place, name in enumerate(names):
            kind = kinds.get(name, "")
            for number, row in enumerate(rows):
                if wanted := _miss(row[place], kind):
                    shown = row[place] if isinstance(row[place], float) else name_type(row[place])
                    yield Fault(f"{path}[{number}][{place}]", f"({name}) must be {wanted}, it is {shown}")


def _miss(value: Any, kind: str) -> str:
    """Return what a column of this type takes when `value` is not that; null is left to mlflow."""
    if value is None:
        return ""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind in _WHOLE:
        return "" if is_number and float(value).is_integer() else "a whole number"
    if kind in _NUMBERS:
        return "" if is_number else "a number"
    if kind == "boolean":
        return "" if isinstance(value, bool) else "a boolean"
    return "" if kind != "string" or isinstance(value, str) else "a string"


def _is_text(value: Any) -> bool:
    items: Any = cast("Any", value).values() if isinstance(value, Mapping) else value
    return bool(items) and isinstance(items, list | type({}.values())) and all(isinstance(item, str) for item in items)


def _to_plain(result: Any) -> Any:
    """Turn what mlflow's flavours return into lists and objects; numpy's part is done by the encoder."""
    import numpy as np
    import pandas as pd

    if isinstance(result, pd.DataFrame):
        return result.to_dict(orient="records")
    if isinstance(result, pd.Series | np.ndarray):
        return result.tolist()
    return result


_loaded: _Model | None = None


def find_folder() -> Path:
    """Return the model's folder: the one that MLFLOW_MODEL_FOLDER names, else the one that holds the file MLmodel."""
    root = Path(os.environ.get("AZUREML_MODEL_DIR") or ".")
    if named := os.environ.get("MLFLOW_MODEL_FOLDER"):
        return root / named
    found = sorted(root.rglob("MLmodel"), key=lambda path: len(path.parts))
    if not found:
        raise FileNotFoundError("the model holds no file named MLmodel: it is no MLflow model")
    return found[0].parent


def init() -> None:
    """Load the model."""
    global _loaded
    import mlflow.pyfunc  # pyright: ignore[reportMissingImports]  of the model's environment

    model: Any = mlflow.pyfunc.load_model(str(find_folder()))  # pyright: ignore
    _loaded = _Model(model)


def run(raw_data: str) -> Any:
    """Score a body."""
    assert _loaded is not None
    return _loaded.score(parse_object(raw_data))
