"""Batch jobs without a script: the model's own predict() is called, for rows of a table or once per file.

Source: batch contract 9. Of files the output has, for every row: its number in the file, what was predicted, the file.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from mlctl.scoring.batch.calling import BatchScript, do_nothing, load_files, make_rows_loader
from mlctl.scoring.batch.loading import Rows
from mlctl.scoring.batch.order import WorkerOrder
from mlctl.scoring.no_code.choosing import Choice, read_choice
from mlctl.scoring.user_code import ScriptRefused

_ROW, _PREDICTION, _PROBABILITY, _FILE = "row", "prediction", "probability", "file"
_IMAGES = (".png", ".jpg", ".jpeg", ".tiff", ".bmp", ".gif")


class Model(Protocol):
    """A model as jobs use it. Tables come and go as pandas DataFrames."""

    def init(self) -> None:
        """Load it."""
        ...

    def predict(self, table: Any) -> Any:
        """Return a DataFrame of predictions, a row for each row."""
        ...

    def predict_image(self, image: Any) -> Any:
        """Return a DataFrame of one row for an array of pixels."""
        ...


def load_model(order: WorkerOrder, rows: Rows) -> BatchScript:
    """Return what scores with a model; it is loaded by init()."""
    assert order.no_code is not None
    choice = read_choice(order.no_code)
    model = _make_model(choice, (order.model_dir or Path.cwd()) / choice.path)
    if order.mode == "files":
        return BatchScript(model.init, load_files, _files_scorer(model), do_nothing, counts_results=False)

    def predict(table: Any, _index: int) -> object:
        return model.predict(table)

    return BatchScript(model.init, make_rows_loader(rows), predict, do_nothing)


def _make_model(choice: Choice, path: Path) -> Model:
    if choice.loader == "mlflow":
        return _MlflowModel(path)
    if choice.loader == "onnx":
        from mlctl.scoring.no_code.onnx_model import OnnxModel

        return _BodyModel(OnnxModel(path))
    from mlctl.scoring.no_code.sklearn_model import SklearnModel

    return _BodyModel(SklearnModel(path))


def _files_scorer(model: Model) -> Callable[[Any, int], Any]:
    def score(paths: list[str], _index: int) -> Any:
        found = [_score_file(model, Path(path)) for path in paths]
        return _pandas().concat([table for table in found if len(table)] or found, ignore_index=True)

    return score


def _score_file(model: Model, path: Path) -> Any:
    """Return the predictions for one file; errors name it."""
    suffix = path.suffix.lower()
    try:
        if suffix in _IMAGES:
            found = model.predict_image(_read_image(path))
        elif suffix in _READERS:
            table = _READERS[suffix](path)
            found = model.predict(table) if len(table) else table.iloc[:, :0]
        else:
            raise ValueError(f"File type '{suffix}' is not supported")
    except Exception as error:
        raise ValueError(f"Error processing input file {path}: {type(error).__name__}: {error}") from error
    # In Azure's layout there is one column between the other two, or those of a model that returns a table.
    found = found.drop(columns=_PROBABILITY, errors="ignore").reset_index(drop=True)
    found.insert(0, _ROW, range(len(found)))
    found[_FILE] = path.name
    return found


def _pandas() -> Any:
    """Return pandas, which is the environment's own, and of no known types."""
    return importlib.import_module("pandas")


def _read_csv(path: Path) -> Any:
    return _pandas().read_csv(path)


def _read_parquet(path: Path) -> Any:
    return _pandas().read_parquet(path)


_READERS: Mapping[str, Callable[[Path], Any]] = {".csv": _read_csv, ".parquet": _read_parquet, ".pqt": _read_parquet}


def _read_image(path: Path) -> Any:
    try:
        images: Any = importlib.import_module("PIL.Image")
    except ModuleNotFoundError:
        raise ScriptRefused("images are read with pillow, which the environment does not have") from None
    with images.open(path) as image:
        return importlib.import_module("numpy").asarray(image)


class _BodyModel:
    """A model that is served by one of the loaders which take bodies: the rows are given as pandas' split form."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def init(self) -> None:
        self._loader.init()

    def predict(self, table: Any) -> Any:
        body = {"columns": [str(name) for name in table.columns], "data": table.to_numpy(dtype=object).tolist()}
        answer: dict[str, Any] = self._loader.run(json.dumps({"input_data": body}, default=str))
        return _pandas().DataFrame({name: list(values) for name, values in answer.items()})

    def predict_image(self, image: Any) -> Any:
        raise ValueError("images are scored by MLflow models only")


class _MlflowModel:
    """A model with the python_function flavour; it checks its signature itself."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._model: Any = None
        self._schema: Any = None

    def init(self) -> None:
        pyfunc: Any = importlib.import_module("mlflow.pyfunc")
        self._model = pyfunc.load_model(str(self._folder))
        self._schema = self._model.metadata.get_input_schema()

    def predict(self, table: Any) -> Any:
        return _tabulate(self._model.predict(self._widen(table)))

    def _widen(self, table: Any) -> Any:
        """Make numbers of whole numbers where the signature asks for them: in text files nothing tells them apart."""
        if self._schema is None or self._schema.is_tensor_spec():
            return table
        wanted = {spec.name: spec.type.to_numpy() for spec in self._schema.inputs if hasattr(spec.type, "to_numpy")}
        whole = [name for name in table.columns if table[name].dtype.kind in "iu" and name in wanted]
        return table.astype({name: wanted[name] for name in whole if wanted[name].kind == "f"})

    def predict_image(self, image: Any) -> Any:
        shape = self._schema.inputs[0].shape if self._schema is not None and self._schema.is_tensor_spec() else None
        return _tabulate(self._model.predict(image.reshape(shape) if shape is not None else image)).iloc[:1]


def _tabulate(result: Any) -> Any:
    """Make a DataFrame of what an MLflow model has predicted."""
    import numpy
    import pandas

    if isinstance(result, pandas.DataFrame):
        return result
    if isinstance(result, pandas.Series):
        return result.to_frame(_PREDICTION)
    try:
        array = numpy.asarray(result)
    except ValueError:  # lists of unequal length
        return pandas.DataFrame({_PREDICTION: list(result)})
    if array.ndim == 1:
        return pandas.DataFrame({_PREDICTION: array})
    if array.ndim == 2:
        return pandas.DataFrame(array, columns=[f"{_PREDICTION}_{number}" for number in range(array.shape[1])])
    return pandas.DataFrame({_PREDICTION: list(array)})
