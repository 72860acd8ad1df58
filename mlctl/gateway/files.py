"""The files that Envoy reads: replaced by rename, put back when Envoy refuses them. Used by `publish`."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path

from mlctl.errors import BackendUnavailable
from mlctl.gateway.envoy import Layout, Resource, render_file
from mlctl.settings import ensure_private_dir

# Routes go back first: what they lead to is still there then.
_RESTORE_FIRST = ("rds", "cds")


class ConfigFiles:
    """A file per kind (`lds`, `cds`, `rds`, `eds-…`), and what each held when Envoy last took all of them.

    is_certain: Envoy took what the files hold. Until then unchanged files are written as well: it may have refused
    them already, and does not look again, nor tell again why, before they are replaced.
    """

    def __init__(self, layout: Layout) -> None:
        self.is_certain = False
        self._layout = layout
        self._before: dict[str, str | None] = {}

    def write(self, kind: str, resources: Sequence[Resource]) -> str:
        """Write a file unless it is certain to hold the same already; return the version."""
        version, text = render_file(resources)
        path = self._layout.file(kind)
        found = read_text(path)
        if found != text or not self.is_certain:
            self._before.setdefault(kind, found)
            ensure_private_dir(path.parent)
            replace(path, text)
        return version

    def exists(self, kind: str) -> bool:
        """Say whether there is such a file."""
        return self._layout.file(kind).exists()

    def read(self, kind: str) -> list[Resource]:
        """Return the resources in a file; none when there is no file, or no sense in it."""
        try:
            return json.loads(self._layout.file(kind).read_text())["resources"]
        except (OSError, ValueError, KeyError):
            return []

    def version(self, kind: str) -> str:
        """Return the version in a file; empty when there is no file."""
        text = read_text(self._layout.file(kind))
        return json.loads(text)["version_info"] if text else ""

    def accept(self) -> None:
        """Take what the files hold now for good: what `restore` goes back to."""
        self._before.clear()

    def restore(self) -> dict[str, str]:
        """Put back what was last accepted; return the versions by kind."""
        for kind in sorted(self._before, key=lambda kind: (kind not in _RESTORE_FIRST, kind != "rds", kind)):
            text = self._before[kind]
            if text is not None:
                replace(self._layout.file(kind), text)
        return {kind: self.version(kind) for kind, text in self._before.items() if text is not None}

    def prune_endpoints(self, kinds: Collection[str]) -> None:
        """Remove the endpoints of all clusters but these."""
        for folder in self._layout.root.glob("eds-*"):
            if folder.name not in kinds:
                shutil.rmtree(folder, ignore_errors=True)


def read_text(path: Path) -> str | None:
    """Return what a file holds; None when it cannot be read."""
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return None


def replace(path: Path, text: str) -> None:
    """Replace a file by rename, so that nobody ever sees half of it; only this user may read it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        draft.rename(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            draft.unlink(missing_ok=True)
        raise BackendUnavailable(f"cannot write {path}: {error.strerror}", hint=f"df -h {path.parent}") from error
