"""Answers of the jobs service: JSON, and errors as Azure words them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mlctl.errors import MlctlError

# What Azure calls a status, in its errors.
CODES = {400: "UserError", 404: "NotFound", 405: "MethodNotAllowed", 409: "Conflict", 413: "PayloadTooLarge"}


@dataclass(frozen=True)
class Answer:
    """An answer; body: as JSON."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    def encode(self) -> bytes:
        """Return the body."""
        return json.dumps(self.body, ensure_ascii=False).encode()


def refuse(status: int, message: str, *, hint: str = "", code: str = "", **headers: str) -> Answer:
    """Make the answer for what went wrong. hint: what to do about it."""
    error: dict[str, Any] = {"code": code or CODES.get(status, "ServiceError"), "message": message}
    if hint:
        error["details"] = [{"code": "Hint", "message": hint}]
    return Answer(status, {"error": error}, {name.replace("_", "-"): value for name, value in headers.items()})


def answer_error(error: MlctlError) -> Answer:
    """Tell over HTTP what the command line would print."""
    more = "; ".join(problem.message for problem in error.problems)
    message = f"{error.message}: {more}" if more else error.message
    headers = {} if error.retry_after_s is None else {"retry_after": f"{error.retry_after_s:.0f}"}
    code = CODES.get(error.http_status) or error.code
    return refuse(error.http_status, message, hint=error.hint, code=code, **headers)
