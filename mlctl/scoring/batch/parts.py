"""The files that a worker writes its results to. What of them counts, the job's journal says."""

from __future__ import annotations

import os
import zlib
from pathlib import Path
from typing import NamedTuple

from mlctl.scoring.batch.results import Rendered


class Place(NamedTuple):
    """Where rows were written."""

    part: str
    offset: int
    length: int
    crc: int


class Parts:
    """A worker's files: one for each schema that its results have. prefix: no other process writes names with it."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder = folder
        self._prefix = prefix
        self._schema: bytes | None = None
        self._count = 0
        self._fd = -1
        self._name = ""
        self._offset = 0

    def write(self, rendered: Rendered) -> Place:
        """Append rows; raises OSError when there is no room, and then nothing of them is counted."""
        if rendered.schema != self._schema:
            self._open(rendered.schema)
        left, start = memoryview(rendered.data), self._offset
        try:
            while left:
                left = left[os.write(self._fd, left) :]
        except OSError:
            os.ftruncate(self._fd, start)
            os.lseek(self._fd, start, os.SEEK_SET)
            raise
        self._offset += len(rendered.data)
        return Place(self._name, start, len(rendered.data), zlib.crc32(rendered.data))

    def _open(self, schema: bytes) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._count += 1
        self._name = f"{self._prefix}-{self._count}"
        path = self._folder / self._name
        path.with_name(f"{self._name}.schema").write_bytes(schema)
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        self._offset = 0
        self._schema = schema
