"""What a worker and the coordinator of its job tell each other: lines of JSON over a socket.

The coordinator sends leases, lists of mini-batches; the worker answers each mini-batch in their order, and says before
and after when it reads a block of rows, for which the time of run() does not count. The coordinator
has no part of this module (it never imports mlctl.scoring): `mlctl.batch.children` writes and reads the same lines.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any, NotRequired, TypedDict


class Table(TypedDict):
    """Rows that lie together in a file and are read at once.

    kind: `parquet`, whose blocks are row groups, or `arrow`, whose blocks are record batches; block is the first of
    `blocks`. origin: the user's file. first_row: the first row in that file, from 0.
    """

    path: str
    kind: str
    block: int
    blocks: int
    origin: str
    first_row: int


class MiniBatch(TypedDict):
    """What one call of run() is given: files, or rows of a table (start: from the block's first row on)."""

    index: int
    files: NotRequired[list[str]]
    table: NotRequired[Table]
    start: NotRequired[int]
    rows: NotRequired[int]


class Error(TypedDict):
    """Why a call failed. stage: `load` (reading the rows), `run`, `result` (what it returned), `disk` (it is full)."""

    stage: str
    message: str
    trace: str


class Reply(TypedDict):
    """What came of a mini-batch.

    part, offset, length, crc: where its rows lie. items: given to run(). succeeded: of these, by the results' number.
    """

    index: int
    run_s: float
    total_s: float
    part: NotRequired[str]
    offset: NotRequired[int]
    length: NotRequired[int]
    crc: NotRequired[int]
    items: NotRequired[int]
    succeeded: NotRequired[int]
    error: NotRequired[Error]


class Wire:
    """The worker's end of the socket."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)
        self._socket.set_inheritable(False)
        self._reader = self._socket.makefile("rb")

    @property
    def is_open(self) -> bool:
        """Whether the coordinator is still there."""
        try:
            return self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            return True
        except OSError:
            return False

    def leases(self) -> Iterator[list[MiniBatch]]:
        """Yield leases until the coordinator has no more, or is gone."""
        for line in self._reader:
            message = json.loads(line)
            if message["do"] == "stop":
                return
            yield message["lease"]

    def send(self, message: Any) -> None:
        """Send a message; a coordinator that is gone is found out when the next lease is read."""
        self._socket.sendall(json.dumps(message).encode() + b"\n")
