"""Deployments without a scoring script: which file of the model is served, and with which packages.

Asked by `resolving` before anything is changed. The loaders themselves are in `scoring.no_code`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mlctl.entities.conda_file import read_name
from mlctl.errors import InvalidInput
from mlctl.ops import environments
from mlctl.ops.environments import Source
from mlctl.ops.pickle_facts import list_pickle_packages
from mlctl.scoring.no_code.choosing import Choice, ModelRefused, choose

_ADD_SCRIPT = "add code_configuration: {code: ./src, scoring_script: score.py}"
# What a loader imports, whatever the model is like.
_PACKAGES = {"mlflow": ("mlflow",), "onnx": ("onnxruntime", "numpy"), "sklearn": ("scikit-learn", "joblib", "numpy")}
_NO_IMAGE = "none"


@dataclass(frozen=True)
class Files:
    """A model's files, named as they will be found below AZUREML_MODEL_DIR, which `root` stands for."""

    root: Path
    names: tuple[str, ...]
    type: str


@dataclass(frozen=True)
class DefaultEnvironment:
    """An environment that nobody wrote for the deployment. content: what is in it, in words."""

    source: Source
    content: str


@dataclass(frozen=True)
class Served:
    """What serves a model. packages: what its loader imports. default: its environment, when none is given."""

    choice: Choice
    packages: tuple[str, ...]
    default: DefaultEnvironment

    def describe(self, deployment: str, *, has_environment: bool) -> str:
        """Say how the model is served, and with what."""
        how = {"mlflow": "as an MLflow model", "onnx": "by onnxruntime", "sklearn": "by its predict()"}
        text = f"{deployment} has no code_configuration: {self.choice.path} is served {how[self.choice.loader]}"
        return text if has_environment else f"{text}, with {self.default.content}"


def list_files(path: Path) -> tuple[str, ...]:
    """Name the files that a model's path stands for, as they will lie below AZUREML_MODEL_DIR."""
    if not path.is_dir():
        return (path.name,)
    return tuple(sorted(f.relative_to(path.parent).as_posix() for f in path.rglob("*") if f.is_file()))


def refuse_own_container(name: str, environment: Mapping[str, Any]) -> None:
    """Refuse an environment whose image brings a server of its own: nothing here runs images."""
    if environment.get("inference_config"):
        raise InvalidInput(
            f"deployment {name} has no code_configuration and its environment an inference_config: the image's own"
            " server would have to run, and mlctl runs processes, not images",
            hint=f"{_ADD_SCRIPT}, or leave inference_config out and mlctl serves the model itself",
        )


def choose_served(name: str, files: Files | None) -> Served:
    """Choose what serves a deployment's model; InvalidInput says what was found instead, and what to do."""
    if files is None:
        raise InvalidInput(
            f"deployment {name} has neither code_configuration nor model: there is nothing to serve",
            hint=f"{_ADD_SCRIPT}, or add model: azureml:NAME:VERSION",
        )
    try:
        choice = choose(files.names, files.type)
    except ModelRefused as error:
        raise InvalidInput(f"deployment {name} has no code_configuration: {error}", hint=error.hint) from error
    return Served(choice, _PACKAGES[choice.loader], _make_default(choice, files.root / choice.path))


def _make_default(choice: Choice, path: Path) -> DefaultEnvironment:
    if choice.loader == "mlflow":
        return _read_mlflow(path)
    packages = list_pickle_packages(path) if choice.loader == "sklearn" else _PACKAGES["onnx"]
    return _make_environment(", ".join(packages), packages, path.parent)


def _make_environment(content: str, requirements: Sequence[str], folder: Path, python: str = "") -> DefaultEnvironment:
    dependencies: list[Any] = [f"python={python}"] if python else []
    conda = {"dependencies": [*dependencies, {"pip": [*requirements]}]}
    source = environments.read_inline({"image": _NO_IMAGE, "conda_file": conda}, folder)
    return _label(source, content)


def _label(source: Source, content: str) -> DefaultEnvironment:
    source.label = "the model's environment"
    return DefaultEnvironment(source, content)


def _read_mlflow(folder: Path) -> DefaultEnvironment:
    """Read what an MLflow model was saved with: its conda.yaml, else its python_env.yaml, else its requirements.txt."""
    model = _read_map(folder / "MLmodel")
    flavours = _map_at(model, "flavors")
    if "python_function" not in flavours:
        raise InvalidInput(
            f"{folder / 'MLmodel'} has no python_function flavour ({', '.join(flavours) or 'none at all'}), and only"
            " that one can be served without a scoring script",
            hint=_ADD_SCRIPT,
        )
    files = _name_files(_map_at(flavours, "python_function").get("env"))
    environment = _read_environment(folder, files)
    _add_mlflow(environment.source, model.get("mlflow_version"))
    return environment


def _name_files(env: Any) -> dict[str, str]:
    """Return the names of a model's environment files, which MLmodel may give."""
    names = {"conda": "conda.yaml", "virtualenv": "python_env.yaml"}
    if isinstance(env, str):
        return names | {"conda": env}
    return names | {key: str(value) for key, value in _map_of(env).items()}


def _read_environment(folder: Path, files: Mapping[str, str]) -> DefaultEnvironment:
    conda, python_env = folder / files["conda"], folder / files["virtualenv"]
    if conda.is_file():
        source = environments.read_inline({"image": _NO_IMAGE, "conda_file": conda.name}, conda.parent)
        return _label(source, f"the packages of its {conda.name}")
    if python_env.is_file():
        found = _read_map(python_env)
        lines: Sequence[Any] = found.get("dependencies") or ()
        content = f"the packages of its {python_env.name}"
        return _make_environment(content, list(map(str, lines)), folder, str(found.get("python") or ""))
    if (folder / "requirements.txt").is_file():
        return _make_environment("the packages of its requirements.txt", ["-r requirements.txt"], folder)
    return _make_environment("mlflow alone, since it names no packages", [], folder)


def _add_mlflow(source: Source, version: Any) -> None:
    """Add mlflow, in the version that saved the model, where the model's files do not name it."""
    conda = cast("dict[str, Any]", source.spec["conda_file"])
    dependencies: list[Any] = [*(conda.get("dependencies") or ())]
    lines = [line for item in dependencies for line in (_map_of(item).get("pip") or [item])]
    if not any(read_name(str(line)) in ("mlflow", "mlflow-skinny") for line in lines):
        dependencies.append({"pip": [f"mlflow=={version}" if version else "mlflow"]})
        source.spec["conda_file"] = {**conda, "dependencies": dependencies}


def _read_map(path: Path) -> Mapping[str, Any]:
    from mlctl.ops.loading import read_document

    return read_document(path).data


def _map_of(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _map_at(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    return _map_of(data.get(key))
