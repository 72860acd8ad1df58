"""From a model to the `Script` that serves it, as if somebody had written one. Used by `__main__`."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from mlctl.scoring.no_code.choosing import Choice, ModelRefused, choose
from mlctl.scoring.user_code import Kind, Script, ScriptRefused
from mlctl.scoring.v1_shim import install_shim

_logger = logging.getLogger("azmlinfsrv.user_script")


class ModelLoader(Protocol):
    """Loads one model and scores bodies with it."""

    def init(self) -> None:
        """Load the model."""
        ...

    def describe_body(self) -> Mapping[str, Any] | None:
        """Return the JSON Schema of the bodies that are taken, as far as it is certain; None when nothing is."""
        ...

    run: Any


def load(model_dir: Path, choice: Choice | None = None) -> Script:
    """Return what serves a model. choice: which loader, by default by the files there; ScriptRefused if none can be."""
    if choice is None:
        try:
            choice = choose(list_files(model_dir))
        except ModelRefused as error:
            raise ScriptRefused(f"{error}\n{error.hint}") from None
    _logger.info("There is no scoring script: %s is served by mlctl's own loader, %s", choice.path, choice.loader)
    install_shim()
    loader = _make_loader(choice, model_dir / choice.path)
    init = partial(_init, loader, choice)
    if choice.loader == "mlflow":
        parameters = tuple(inspect.signature(loader.run).parameters.values())
        return Script(init, partial(_call_by_name, loader.run), False, Kind.SCHEMA, parameters, loader.run)
    return Script(init, loader.run, wants_headers=False, function=loader.run)


def list_files(folder: Path) -> list[str]:
    """Return the paths of a folder's files below it."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _make_loader(choice: Choice, path: Path) -> ModelLoader:
    match choice.loader:
        case "mlflow":
            from mlctl.scoring.no_code.mlflow_model import MlflowModel

            return MlflowModel(path)
        case "onnx":
            from mlctl.scoring.no_code.onnx_model import OnnxModel

            return OnnxModel(path)
        case _:
            from mlctl.scoring.no_code.sklearn_model import SklearnModel

            return SklearnModel(path)


def _call_by_name(run: Callable[..., object], given: Mapping[str, Any]) -> object:
    return run(**given)


def _init(loader: ModelLoader, choice: Choice) -> None:
    """Load the model; a package that is not there is told as what it is, not as an error of somebody's code."""
    try:
        loader.init()
    except ModuleNotFoundError as error:
        raise ScriptRefused(
            f"{choice.path} needs the package {(error.name or '?').partition('.')[0]}, which the environment does not"
            " have: name it in the environment's conda_file, or leave environment out and mlctl chooses the packages"
        ) from error
