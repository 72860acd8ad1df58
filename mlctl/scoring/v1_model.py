"""The v1 SDK's `Model.get_model_path`. Rules: scoring contract 5.4. Loaded by `v1_shim` when a script asks for it."""

from __future__ import annotations

import os
from pathlib import Path

_ROOT = "azureml-models"


class ModelNotFoundException(Exception):
    """No model of that name was given to the deployment."""


class Model:
    """Says where a registered model lies; nothing else of the v1 SDK's class is here."""

    def __init__(self, *_: object, **__: object) -> None:
        raise NotImplementedError(
            "mlctl stands in for azureml.core and knows Model.get_model_path only: put azureml-core in the environment"
        )

    @staticmethod
    def get_model_path(model_name: str, version: int | None = None, _workspace: object = None) -> str:
        """Return the path of the one file or folder that a model was registered from."""
        if version is not None and not isinstance(version, int):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"version must be a whole number, not {version!r}")
        if not model_name:
            raise ValueError("the model's name is empty")
        root = _find_root()
        versions = _list_versions(root / model_name)
        chosen = str(version) if version is not None else versions[-1] if versions else ""
        if chosen in versions:
            return str(_find_only(root / model_name / chosen))
        if Path(model_name).exists():
            return model_name
        known = [f"{name}:{one}" for name in _list_names(root) for one in _list_versions(root / name)]
        wanted = model_name if version is None else f"{model_name}:{version}"
        raise ModelNotFoundException(
            f"there is no model {wanted} in {root}, which holds: {', '.join(known) or 'none'}. The deployment's "
            "model: must name it; an inline model has a name of its own only if it gives one"
        )


def _find_root() -> Path:
    """AZUREML_MODEL_DIR is NAME/VERSION below the folder of models."""
    model_dir = os.environ.get("AZUREML_MODEL_DIR")
    return Path(model_dir).parent.parent if model_dir else Path(_ROOT).absolute()


def _list_versions(folder: Path) -> list[str]:
    """Return the folders in a folder, in order of versions: names that are no number first."""
    names = [name for name in _list_names(folder) if (folder / name).is_dir()]
    return sorted(names, key=lambda name: (name.isdecimal(), int(name) if name.isdecimal() else 0, name))


def _list_names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def _find_only(folder: Path) -> Path:
    names = _list_names(folder)
    if len(names) != 1:
        raise ModelNotFoundException(f"{folder} must hold one file or folder, it holds {len(names)}")
    return folder / names[0]
