"""What a generation of a deployment sees of the file system: links into the artifacts under Azure's folder names.

Made before a plan's first replica starts. Generations with one plan, as after scaling, share them.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mlctl.settings import Settings


@dataclass(frozen=True)
class Mount:
    """What a generation sees.

    app_root: the code folder, an empty one without code. model_dir: `azureml-models/NAME/VERSION`, None without a
    model. work_dir: writable. request_schema: the file, where the deployment has one of its own.
    """

    app_root: Path
    model_dir: Path | None
    work_dir: Path
    request_schema: Path | None = None


def ensure_mount(
    settings: Settings, endpoint: str, deployment: str, plan: Mapping[str, Any], *, is_batch: bool = False
) -> Mount:
    """Make the links that a deployment's plan asks for, unless they are there."""
    root = (settings.batch_mounts if is_batch else settings.mounts) / endpoint / deployment / _name_mount(plan)
    code, model, schema = plan.get("code"), plan.get("model"), plan.get("request_schema")
    app_root = root / (code["name"] if code else ".no_code")
    if code:
        _link(app_root, settings.artifacts / code["hash"] / code["name"])
    else:
        app_root.mkdir(mode=0o700, parents=True, exist_ok=True)
    model_dir = None
    if model:
        model_dir = root / "azureml-models" / model["name"] / model["version"]
        _link(model_dir, settings.artifacts / model["hash"])
    request_schema = None
    if isinstance(schema, dict):
        kept = cast("dict[str, str]", schema)
        request_schema = root / ".request_schema" / kept["name"]
        _link(request_schema.parent, settings.artifacts / kept["hash"])
    work_dir = root / ".work"
    work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Mount(app_root, model_dir, work_dir, request_schema)


def remove_mounts(
    settings: Settings,
    endpoint: str,
    deployment: str | None = None,
    *,
    keep: Mapping[str, Any] | None = None,
    is_batch: bool = False,
) -> None:
    """Remove the links of an endpoint, of a deployment, or of all of a deployment's plans but `keep`."""
    mounts = settings.batch_mounts if is_batch else settings.mounts
    root = mounts / endpoint / deployment if deployment else mounts / endpoint
    if keep is None:
        shutil.rmtree(root, ignore_errors=True)
        return
    for folder in root.iterdir() if root.is_dir() else ():
        if folder.name != _name_mount(keep):
            shutil.rmtree(folder, ignore_errors=True)


def _link(link: Path, target: Path) -> None:
    if not link.is_symlink():
        link.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        link.symlink_to(target)


def _name_mount(plan: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:12]
