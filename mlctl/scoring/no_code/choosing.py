"""Which loader serves a model that comes without a scoring script: by its type, then by its files. Pure.

Asked by `ops` when a deployment is written, so that a model that nobody can load is refused there, and by `load`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import NamedTuple

LOADERS = ("mlflow", "sklearn", "onnx")
_ENDINGS = {".onnx": "onnx", ".pkl": "sklearn", ".pickle": "sklearn", ".joblib": "sklearn"}
_MLFLOW_FILE = "MLmodel"
_MOST_LISTED = 8
ADD_SCRIPT = "or add code_configuration: {code: ./src, scoring_script: score.py}"


class Choice(NamedTuple):
    """How a model is served: by one of LOADERS.

    path: of its file, or of an MLflow model's folder, below AZUREML_MODEL_DIR; "." for that folder itself.
    """

    loader: str
    path: str

    def __str__(self) -> str:
        return f"{self.loader}:{self.path}"


class ModelRefused(Exception):
    """No loader can be chosen. hint: what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def read_choice(text: str) -> Choice:
    """Read a choice as it is written in text; ValueError for other text."""
    loader, _, path = text.partition(":")
    if loader not in LOADERS:
        raise ValueError(f"there is no loader {loader}")
    return Choice(loader, path)


def choose(files: Sequence[str], model_type: str = "custom_model") -> Choice:
    """Choose by the paths of a model's files, below AZUREML_MODEL_DIR. Raises ModelRefused."""
    if model_type == "triton_model":
        raise ModelRefused(
            "a triton_model is served by Triton in a container, mlctl runs processes",
            "serve it with a scoring script: code_configuration: {code: ./src, scoring_script: score.py}",
        )
    folders = _find_mlflow(files)
    if model_type == "mlflow_model" and not folders:
        raise ModelRefused(
            f"the model is an mlflow_model but holds no file {_MLFLOW_FILE}; it holds: {_list(files)}",
            f"give the folder that holds {_MLFLOW_FILE} as the model's path, {ADD_SCRIPT}",
        )
    if len(folders) > 1:
        raise ModelRefused(
            f"the model holds {len(folders)} MLflow models: {_list(folders)}",
            f"give the folder of one of them as the model's path, {ADD_SCRIPT}",
        )
    return Choice("mlflow", folders[0]) if folders else _choose_file(files)


def _find_mlflow(files: Sequence[str]) -> list[str]:
    """Return the folders of MLflow models; one inside another's is part of it."""
    found = sorted({PurePosixPath(file).parent for file in files if PurePosixPath(file).name == _MLFLOW_FILE})
    return [str(folder) for folder in found if not any(other in folder.parents for other in found)]


def _choose_file(files: Sequence[str]) -> Choice:
    found = [(file, _ENDINGS[ending]) for file in files if (ending := PurePosixPath(file).suffix.lower()) in _ENDINGS]
    if len(found) == 1:
        file, loader = found[0]
        return Choice(loader, file)
    if found:
        raise ModelRefused(
            f"{len(found)} files of the model could be served without a scoring script: "
            + _list([file for file, _ in found]),
            f"give the file itself as the model's path (path: ./{PurePosixPath(found[0][0]).name}), {ADD_SCRIPT}",
        )
    raise ModelRefused(
        "without a scoring script mlctl serves MLflow models, ONNX files (.onnx) and what joblib or pickle wrote"
        f" (.joblib, .pkl, .pickle); the model holds: {_list(files)}",
        "add code_configuration: {code: ./src, scoring_script: score.py}",
    )


def _list(names: Sequence[str]) -> str:
    listed = ", ".join(names[:_MOST_LISTED]) or "nothing"
    return listed + (", …" if len(names) > _MOST_LISTED else "")
