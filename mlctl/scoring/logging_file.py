"""logging.json: how the user wants lines written, in place of the server's own way. As Azure's server reads it."""

from __future__ import annotations

import json
import logging
import logging.config
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from mlctl.scoring.logs import LogFile, PrintStream
from mlctl.scoring.user_code import ScriptRefused
from mlctl.scoring.v1_shim import install_shim

NAME = "logging.json"
_FORMAT = "%(asctime)s %(levelname).1s [%(process)d] %(name)s - %(message)s"


class BadLoggingFile(ScriptRefused):
    """The file is there, and cannot be followed."""


class AMLLogFormatter(logging.Formatter):
    """Azure's formatter, which such files name: times are UTC."""

    converter = time.gmtime

    def __init__(
        self, fmt: str = _FORMAT, datefmt: str | None = None, style: Literal["%", "{", "$"] = "%", **more: Any
    ) -> None:
        super().__init__(fmt=fmt, datefmt=datefmt, style=style, **more)


class RootAccessFilter(logging.Filter):
    """Azure's filter, which such files name: leaves probes out of the access log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether a line is written."""
        return "GET / HTTP/1.1" not in record.getMessage()


def find_logging_file(folders: Sequence[Path]) -> Path | None:
    """Return the first of the files that is there."""
    return next((folder / NAME for folder in folders if (folder / NAME).is_file()), None)


def follow_logging_file(path: Path, file: LogFile) -> None:
    """Configure Python's logging as the file says; raises BadLoggingFile. What the script prints becomes log lines.

    Call it before anything has taken the place of sys.stdout.
    """
    install_shim()
    try:
        logging.config.dictConfig(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, AttributeError, ImportError, RecursionError) as exc:
        cause = f": {exc.__cause__}" if exc.__cause__ else ""
        raise BadLoggingFile(f"{path} cannot be used: {exc}{cause}") from exc
    logging.getLogger("azmlinfsrv").info("Loaded logging config from %s", path)
    sys.stdout = PrintStream(file, sys.stdout, has_own_logging=True)
