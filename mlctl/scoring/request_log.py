"""One log line per request, rendered and written off the hot path. An observer of `app`."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from typing import NamedTuple

from mlctl.scoring.app import Handled
from mlctl.scoring.logs import LogFile, stamp

_FLUSH_EVERY_S = 0.05
_LONGEST_PATH = 200
_logger = logging.getLogger("azmlinfsrv")


class RequestLine(NamedTuple):
    """What a request's line shows. The path has no query: that of a GET is its input. size_bytes: None for a stream."""

    at: float
    method: str
    path: bytes
    status: int
    took_s: float
    size_bytes: int | None
    request_id: bytes
    rows: int | None

    def render(self) -> str:
        """Write the line as it stands in the log."""
        return f"{stamp(self.at)} I [{os.getpid()}] azmlinfsrv - {self.tell()}\n"

    def tell(self) -> str:
        """Tell method, path, status, duration, length of the answer, id, rows where they are known."""
        path = self.path[:_LONGEST_PATH].decode("ascii", "backslashreplace")
        request_id = self.request_id.decode("ascii", "backslashreplace")
        size = "N/A" if self.size_bytes is None else self.size_bytes
        rows = "" if self.rows is None else f" {self.rows} rows"
        return f"{self.method} {path} {self.status} {self.took_s * 1000:.3f}ms {size} {request_id}{rows}"


class RequestLog:
    """Collects request lines and has them written about every 50 ms while there are any.

    has_own_logging: they go where the user's logging.json sends them, one by one.
    """

    def __init__(self, file: LogFile, loop: asyncio.AbstractEventLoop, *, has_own_logging: bool = False) -> None:
        self._file = file
        self._has_own_logging = has_own_logging
        self._loop = loop
        self._is_flush_due = False

    def observe(self, handled: Handled) -> None:
        """Note an answer."""
        scope, answer, ticket = handled.scope, handled.answer, handled.ticket
        line = RequestLine(
            time.time(),
            scope["method"],
            scope["raw_path"],
            answer.status,
            time.perf_counter() - handled.started_s,
            len(answer.body) if answer.stream is None else None,
            handled.request_id,
            ticket.rows if ticket else None,
        )
        if self._has_own_logging:
            _logger.info("%s", line.tell())
            return
        self._file.put_off(line.render)
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_later(_FLUSH_EVERY_S, self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        self._file.flush()
