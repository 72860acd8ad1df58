"""The replica's log: one file descriptor, Azure's line format, written in the order in which things happened."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from typing import Any, TextIO

Line = Callable[[], str]
_FORMAT = "%(levelname).1s [%(process)d] %(name)s - %(message)s"


def stamp(at: float) -> str:
    """Write a time, in epoch seconds, as `2025-11-25 02:28:00,123`, UTC."""
    whole = int(at)
    return f"{_stamp_second(whole)},{int((at - whole) * 1000):03d}"


@lru_cache(maxsize=2)
def _stamp_second(at: int) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(at))


class LogFile:
    """A file descriptor that any thread may write lines to.

    Lines that are put off are rendered and written with the next ones that are not, or by `flush`.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._waiting: deque[Line] = deque()
        self._lock = threading.RLock()

    def put_off(self, line: Line) -> None:
        """Keep a line, to be rendered later; cheap."""
        self._waiting.append(line)

    def write(self, text: str) -> None:
        """Write text, newline included, after what was put off."""
        with self._lock:
            self._write(self._render_waiting() + text)

    def flush(self) -> None:
        """Write what was put off."""
        with self._lock:
            if text := self._render_waiting():
                self._write(text)

    def _render_waiting(self) -> str:
        return "".join([self._waiting.popleft()() for _ in range(len(self._waiting))])

    def _write(self, text: str) -> None:
        left = memoryview(text.encode("utf-8", "backslashreplace"))
        try:
            while left:
                left = left[os.write(self._fd, left) :]
        except OSError:
            return  # a full disk or a reader that left must not end the serving


class AzureFormatter(logging.Formatter):
    """Azure's line: time, level's letter, process, logger, message."""

    def __init__(self) -> None:
        super().__init__(_FORMAT)

    def format(self, record: logging.LogRecord) -> str:
        """Render one record."""
        return f"{stamp(record.created)} {super().format(record)}"


class LogFileHandler(logging.Handler):
    """Hands the records of Python's logging to the file."""

    def __init__(self, file: LogFile) -> None:
        super().__init__()
        self._file = file

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record at once: should the process die, it is there."""
        try:
            self._file.write(self.format(record) + "\n")
        except Exception:  # as every handler: a record that cannot be rendered is reported on stderr
            self.handleError(record)


class PrintStream(io.TextIOBase):
    """Stands in for sys.stdout: each line that a script prints is a log line of `azmlinfsrv.print`.

    has_own_logging: they go where the user's logging.json sends them.
    """

    def __init__(self, file: LogFile, original: TextIO, *, has_own_logging: bool = False) -> None:
        self._file = file
        self._has_own_logging = has_own_logging
        self._original = original
        self._lock = threading.Lock()
        self._partial = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Return the encoding of the log."""
        return "utf-8"

    @property
    def buffer(self) -> Any:
        """Return the real standard output, for scripts that write bytes."""
        return self._original.buffer

    def fileno(self) -> int:
        """Return the real standard output's descriptor, for child processes."""
        return self._original.fileno()

    def writable(self) -> bool:
        """Say that one can write."""
        return True

    def write(self, text: str) -> int:
        """Log the lines that are complete now."""
        with self._lock:
            if "\n" in text:
                *lines, self._partial = (self._partial + text).split("\n")
                self._log(lines)
            else:
                self._partial += text
        return len(text)

    def flush(self) -> None:
        """Log what is there of a line."""
        with self._lock:
            if self._partial:
                self._log([self._partial])
                self._partial = ""

    def _log(self, lines: list[str]) -> None:
        if self._has_own_logging:
            for line in lines:
                logging.getLogger("azmlinfsrv.print").info("%s", line)
            return
        prefix = f"{stamp(time.time())} I [{os.getpid()}] azmlinfsrv.print - "
        self._file.write("".join([f"{prefix}{line}\n" for line in lines]))


def set_up_logging(file: LogFile) -> None:
    """Send Python's logging, from INFO on, and what the script prints to `file`."""
    logging.basicConfig(level=logging.INFO, handlers=[make_handler(file)], force=True)
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    sys.stdout = PrintStream(file, sys.stdout)


def make_handler(file: LogFile) -> logging.Handler:
    """Make what writes Azure's lines to a file."""
    handler = LogFileHandler(file)
    handler.setFormatter(AzureFormatter())
    return handler
