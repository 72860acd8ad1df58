"""`--reload`: which of a script's files have changed."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

_LOOK_EVERY_S = 0.4
_MOST_FILES = 5000
_LEFT_OUT_FOLDERS = frozenset({"__pycache__", "node_modules", "site-packages"})
_LEFT_OUT_ENDINGS = (".pyc", ".pyo", ".swp", ".swx", ".tmp", ".log", "~")

Snapshot = dict[str, tuple[int, int]]


class ChangeFinder:
    """Compares the files of a folder with those it saw before; what is hidden or is no source is left out.

    ignored: files that are written all the time, the server's own log, as (device, inode).
    """

    def __init__(self, folder: Path, ignored: frozenset[tuple[int, int]] = frozenset()) -> None:
        self._folder = folder
        self._ignored = ignored
        self._known = self._pending = take_snapshot(folder, ignored)
        self._next_at = 0.0

    def settle(self) -> None:
        """Take for known what has changed but Python code: the script, which has just started, may have written it."""
        seen = take_snapshot(self._folder, self._ignored)
        code = {name: state for name, state in self._known.items() if name.endswith(".py")}
        self._known = {**{name: state for name, state in seen.items() if not name.endswith(".py")}, **code}

    def __call__(self) -> str | None:
        """Name a file that has changed, relative to the folder, once it has been left alone for a moment."""
        now = time.monotonic()
        if now < self._next_at:
            return None
        self._next_at = now + _LOOK_EVERY_S
        seen, before = take_snapshot(self._folder, self._ignored), self._pending
        self._pending = seen
        if seen != before or seen == self._known:
            return None  # still being written, or nothing new
        changed = next(name for name in sorted({*seen, *self._known}) if seen.get(name) != self._known.get(name))
        self._known = seen
        return changed


def find_own_output() -> frozenset[tuple[int, int]]:
    """Return the files that this process writes to as a matter of course."""
    states = [os.fstat(stream.fileno()) for stream in (sys.__stdout__, sys.__stderr__) if stream is not None]
    return frozenset((state.st_dev, state.st_ino) for state in states)


def take_snapshot(folder: Path, ignored: frozenset[tuple[int, int]] = frozenset()) -> Snapshot:
    """Return time and size of each file below a folder, 5,000 at most."""
    found: Snapshot = {}
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".") and name not in _LEFT_OUT_FOLDERS]
        for name in names:
            path = Path(root) / name
            if name.startswith(".") or name.endswith(_LEFT_OUT_ENDINGS):
                continue
            try:
                state = path.stat()
            except OSError:
                continue
            if (state.st_dev, state.st_ino) in ignored:
                continue
            found[str(path.relative_to(folder))] = (state.st_mtime_ns, state.st_size)
            if len(found) >= _MOST_FILES:
                return found
    return found
