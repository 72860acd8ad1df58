"""Keeps logs from filling the disk. Called by `supervisor` now and then."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from mlctl.settings import Settings

MAX_BYTES = 50_000_000
KEPT_BYTES = 10_000_000


def rotate_logs(settings: Settings, reopen_access_log: Callable[[], None]) -> None:
    """Rotate the access log by rename, and shorten the files that processes go on appending to."""
    if _size(settings.access_log) > MAX_BYTES:
        settings.access_log.replace(settings.access_log.with_suffix(".log.1"))
        reopen_access_log()
    for path in settings.logs.rglob("*.log"):
        if path != settings.access_log and path.name != "daemon.log" and _size(path) > MAX_BYTES:
            _keep_end(path)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _keep_end(path: Path) -> None:
    """Cut a log down to its last lines, in place: the process that writes it has it open for appending."""
    with contextlib.suppress(OSError), path.open("r+b") as file:
        file.seek(-KEPT_BYTES, 2)
        file.readline()
        end = file.read()
        file.seek(0)
        file.write(end)
        file.truncate()
