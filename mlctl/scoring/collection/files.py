"""The files that events are appended to: COLLECTION/yyyy/MM/dd/HH/INSTANCE.jsonl, in UTC, for this user only."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

_FOLDERS = {"minute": "%Y/%m/%d/%H/%M", "hour": "%Y/%m/%d/%H", "day": "%Y/%m/%d"}


class EventFiles:
    """Opened for each write: whoever removes a folder gets a new one, and no descriptor points to a deleted file."""

    def __init__(self, folder: str, instance: str, rolling: str) -> None:
        self._folder = Path(folder)
        self._name = f"{instance}.jsonl"
        self._rolling_format = _FOLDERS[rolling]
        # Thousands of events a second ask for the same few folders.
        self._minute = -1
        self._folders: dict[str, str] = {}

    def folder_at(self, collection: str, at: float) -> str:
        """Return the folder that an event of this time belongs into."""
        minute = int(at // 60)
        if minute != self._minute:
            self._minute = minute
            self._folders.clear()
        found = self._folders.get(collection)
        if found is None:
            period = time.strftime(self._rolling_format, time.gmtime(at))
            found = self._folders[collection] = str(self._folder / collection / period)
        return found

    def append(self, folder: str, lines: bytes) -> None:
        """Append lines to this instance's file, all or none; raises OSError."""
        Path(folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(Path(folder) / self._name, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _write_whole(descriptor, lines)
        finally:
            os.close(descriptor)

    def put(self, folder: str, name: str, content: bytes) -> str:
        """Write a file of its own and return its URL; raises OSError and leaves nothing then."""
        path = Path(folder) / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            _write_whole(descriptor, content)
        except OSError:
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        finally:
            os.close(descriptor)
        return path.as_uri()


def _write_whole(descriptor: int, content: bytes) -> None:
    """Write everything, or take back what was written: half a line would spoil the next one."""
    before = os.fstat(descriptor).st_size
    left = memoryview(content)
    try:
        while left:
            left = left[os.write(descriptor, left) :]
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, before)
        raise
