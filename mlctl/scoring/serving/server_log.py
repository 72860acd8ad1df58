"""The log lines of Azure's server: its own, and those of gunicorn that runs it. An observer of `app`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import time
from functools import lru_cache
from typing import NamedTuple

from mlctl.scoring.app import Handled
from mlctl.scoring.logs import LogFile, PrintStream, make_handler, stamp

_WRONG_METHOD = 405
_LOGGED = frozenset({b"/score", b"/swagger.json"})
# Azure's server is done with these before it knows what was asked for.
_UNKNOWN = frozenset({_WRONG_METHOD, 431})


class ServerLine(NamedTuple):
    """A request and its answer as both lines show it."""

    at: float
    method: str
    path: str
    version: str
    status: int
    took_s: float
    size_bytes: int | None
    client: str
    referer: str
    agent: str
    is_own: bool

    def tell(self) -> str:
        """Write the server's line: method, path with query, status, duration, length of the answer."""
        size = "N/A" if self.size_bytes is None else self.size_bytes
        return f"{self.method} {self.path} {self.status} {self.took_s * 1000:.3f}ms {size}"

    def tell_access(self) -> str:
        """Write gunicorn's line."""
        at = _write_second(int(self.at))
        size = "-" if self.size_bytes is None else 0 if self.method == "HEAD" else self.size_bytes
        request = f"{self.method} {self.path} HTTP/{self.version}"
        return f'{self.client} - - [{at}] "{request}" {self.status} {size} "{self.referer}" "{self.agent}"'

    def render(self) -> str:
        """Write the lines as they stand in the log."""
        head, pid = stamp(self.at), os.getpid()
        own = f"{head} I [{pid}] azmlinfsrv - {self.tell()}\n" if self.is_own else ""
        return f"{own}{head} I [{pid}] gunicorn.access - {self.tell_access()}\n"


@lru_cache(maxsize=2)
def _write_second(at: int) -> str:
    return time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(at))


class ServerLog:
    """Writes the lines of each request: those of answers that are sent in one turn of the loop together, after them.

    Before the loop reads another request they are there, should that one end the process. has_own_logging: they go
    where the user's logging.json sends them.
    """

    def __init__(self, file: LogFile, loop: asyncio.AbstractEventLoop, *, has_own_logging: bool) -> None:
        self._file = file
        self._loop = loop
        self._has_own_logging = has_own_logging
        self._is_flush_due = False

    def observe(self, handled: Handled) -> None:
        """Write down an answer."""
        line = _read_line(handled)
        if self._has_own_logging:
            _pass_on(line)
            return
        self._file.put_off(line.render)
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        self._is_flush_due = False
        self._file.flush()


def _pass_on(line: ServerLine) -> None:
    if line.is_own:
        logging.getLogger("azmlinfsrv").info("%s", line.tell())
    logging.getLogger("gunicorn.access").info("%s", line.tell_access())


def _read_line(handled: Handled) -> ServerLine:
    scope, answer, headers = handled.scope, handled.answer, handled.headers
    query = scope["query_string"]
    client = scope.get("client")
    return ServerLine(
        at=time.time(),
        method=scope["method"],
        path=_clean(scope["raw_path"] + (b"?" + query if query else b"")),
        version=scope["http_version"],
        status=answer.status,
        took_s=time.perf_counter() - handled.started_s,
        size_bytes=len(answer.body) if answer.stream is None else None,
        client=client[0] if client else "-",
        referer=_clean(headers.get(b"referer", b"-")),
        agent=_clean(headers.get(b"user-agent", b"-")),
        is_own=handled.ticket is not None
        or (scope["raw_path"] in _LOGGED and _is_known(scope["method"], answer.status)),
    )


def _is_known(method: str, status: int) -> bool:
    """Say whether the route has been asked: HEAD comes with GET, and the route itself refuses it."""
    return status not in _UNKNOWN or (status == _WRONG_METHOD and method == "HEAD")


# What clients send is mostly what they sent before.
@lru_cache(maxsize=64)
def _clean(text: bytes) -> str:
    """Write what a client sent so that it stays in its place in the line."""
    return text.decode("latin-1").encode("unicode_escape").decode().replace('"', '\\"')


def set_up_server_logging(out: LogFile, err: LogFile, level: str | None, *, is_plain: bool) -> None:
    """Send the server's lines to `out` and gunicorn's to `err`, and what the script prints to `out`.

    As in Azure the root logger is left alone: what a script gives logging.info() is lost, unless `level` or `is_plain`
    asks for it.
    """
    chosen = (level or "info").upper()
    for name, file in (("azmlinfsrv", out), ("gunicorn.access", out), ("gunicorn.error", err), ("uvicorn", err)):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [make_handler(file)], False
        logger.setLevel("WARNING" if name == "uvicorn" else chosen if name == "azmlinfsrv" else "INFO")
    if level is not None or is_plain:
        logging.basicConfig(level=chosen, handlers=[make_handler(out)], force=True)
    sys.stdout = PrintStream(out, sys.stdout)
