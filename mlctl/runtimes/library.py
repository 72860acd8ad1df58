"""The scoring server for interpreters that mlctl is not installed in: a copy of its sources, kept by their content."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
_START = Path("mlctl") / "scoring" / "standalone.py"


def ensure_library(folder: Path) -> Path:
    """Copy the scoring server below `folder`, unless it is there; return the file that starts a replica."""
    sources = {path.relative_to(_PACKAGE.parent): path.read_bytes() for path in _list_sources()}
    digest = hashlib.sha256()
    for name, content in sources.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    target = folder / digest.hexdigest()[:16]
    if not target.is_dir():
        _copy(sources, folder, target)
    return target / _START


def _list_sources() -> list[Path]:
    return [_PACKAGE / "__init__.py", *sorted((_PACKAGE / "scoring").rglob("*.py"))]


def _copy(sources: dict[Path, bytes], folder: Path, target: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".new-{os.getpid()}-", dir=folder))
    try:
        for name, content in sources.items():
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            (draft / name).write_bytes(content)
        draft.rename(target)
    except OSError:
        # Somebody else was faster; anything else is to be told.
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
