"""The files that a worker writes its results to. What of them counts, the job's journal says."""

from __future__ import annotations

import os
import zlib
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mlctl.scoring.batch.results import Rendered

_MOST_OPEN = 16


class Place(NamedTuple):
    """Where rows were written."""

    part: str
    offset: int
    length: int
    crc: int


@dataclass
class _Part:
    name: str
    fd: int
    offset: int = 0


class Parts:
    """A worker's files: one for each schema that its results have. prefix: no other process writes names with it."""

    def __init__(self, folder: Path, prefix: str) -> None:
        self._folder = folder
        self._prefix = prefix
        # By schema, the last used at the end: results may change between two schemas with every mini-batch.
        self._open: OrderedDict[bytes, _Part] = OrderedDict()
        self._count = 0

    def write(self, rendered: Rendered) -> Place:
        """Append rows; raises OSError when there is no room, and then nothing of them is counted."""
        part = self._find(rendered.schema)
        left, start = memoryview(rendered.data), part.offset
        try:
            while left:
                left = left[os.write(part.fd, left) :]
        except OSError:
            os.ftruncate(part.fd, start)
            os.lseek(part.fd, start, os.SEEK_SET)
            raise
        part.offset += len(rendered.data)
        return Place(part.name, start, len(rendered.data), zlib.crc32(rendered.data))

    def _find(self, schema: bytes) -> _Part:
        if schema not in self._open:
            if len(self._open) >= _MOST_OPEN:
                os.close(self._open.popitem(last=False)[1].fd)
            self._open[schema] = self._make(schema)
        self._open.move_to_end(schema)
        return self._open[schema]

    def _make(self, schema: bytes) -> _Part:
        self._count += 1
        name = f"{self._prefix}-{self._count}"
        (self._folder / f"{name}.schema").write_bytes(schema)
        return _Part(name, os.open(self._folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
