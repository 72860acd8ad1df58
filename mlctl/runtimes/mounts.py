"""What a generation of a deployment sees of the file system: links into the artifacts under Azure's folder names.

Made before a plan's first replica starts. Generations with one plan, as after scaling, share them. A batch job has
links of its own: it outlives its deployment.
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


def ensure_mount(settings: Settings, endpoint: str, deployment: str, plan: Mapping[str, Any]) -> Mount:
    """Make the links that a deployment's plan asks for, unless they are there."""
    return make_links(settings.mounts / endpoint / deployment / _name_mount(plan), settings.artifacts, plan)


def plan_mount(root: Path, plan: Mapping[str, Any]) -> Mount:
    """Return where everything will be when `make_links` has made it."""
    code, model, schema = plan.get("code"), plan.get("model"), plan.get("request_schema")
    model_dir = root / "azureml-models" / model["name"] / model["version"] if model else None
    name = cast("dict[str, str]", schema)["name"] if isinstance(schema, dict) else None
    request_schema = root / ".request_schema" / name if name else None
    return Mount(root / (code["name"] if code else ".no_code"), model_dir, root / ".work", request_schema)


def make_links(root: Path, artifacts: Path, plan: Mapping[str, Any]) -> Mount:
    """Make the links that a plan asks for below a folder, unless they are there."""
    mount, code = plan_mount(root, plan), plan.get("code")
    if code:
        _link(mount.app_root, artifacts / code["hash"] / code["name"])
    else:
        mount.app_root.mkdir(mode=0o700, parents=True, exist_ok=True)
    if mount.model_dir is not None:
        _link(mount.model_dir, artifacts / plan["model"]["hash"])
    if mount.request_schema is not None:
        _link(mount.request_schema.parent, artifacts / plan["request_schema"]["hash"])
    mount.work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    return mount


def remove_mounts(
    settings: Settings,
    endpoint: str,
    deployment: str | None = None,
    *,
    keep: Mapping[str, Any] | None = None,
) -> None:
    """Remove the links of an endpoint, of a deployment, or of all of a deployment's plans but `keep`."""
    root = settings.mounts / endpoint / deployment if deployment else settings.mounts / endpoint
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
