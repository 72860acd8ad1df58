"""The one hierarchy of errors. Raised everywhere; printed in `cli.main` and logged in `control.__main__` only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Problem:
    """One thing wrong with an input, and where: `line` and `column` count from 1, 0 means unknown.

    `excerpt` is the offending line of text, `width` how many of its characters to underline from `column` on.
    `is_not_found`: nothing is wrong with the text, but what it names is not there.
    """

    message: str
    file: str = ""
    line: int = 0
    column: int = 0
    hint: str = ""
    excerpt: str = ""
    width: int = 1
    is_not_found: bool = False


class MlctlError(Exception):
    """Something that the user can act on: what happened, in `hint` the next command to type, in `problems` where."""

    code = "Error"
    exit_code = 1
    http_status = 500
    retry_after_s: float | None = None

    def __init__(self, message: str, *, hint: str = "", problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.problems = tuple(problems)


class InvalidInput(MlctlError):
    """A document, a value or a combination of them that is refused before anything changed."""

    code = "InvalidInput"
    http_status = 400


class EnvironmentFailed(InvalidInput):
    """The packages of an environment cannot be installed together; nothing was changed. Azure's word for it."""

    code = "ImageBuildFailure"


class Conflict(MlctlError):
    """The thing exists, is in use, or was changed by somebody else in the meantime."""

    code = "Conflict"
    http_status = 409


class UsageError(MlctlError):
    """The command line itself is wrong."""

    code = "Usage"
    exit_code = 2
    http_status = 400


class NotFound(MlctlError):
    """No such endpoint, deployment or asset."""

    code = "ResourceNotFound"
    exit_code = 3
    http_status = 404


class ScoringFailed(MlctlError):
    """An invoked endpoint answered something other than 200."""

    code = "ScoringFailed"
    http_status = 424


class TimedOut(MlctlError):
    """The wait was longer than the user allowed; the work may still go on."""

    code = "TimedOut"
    exit_code = 5
    http_status = 504
    retry_after_s = 1.0


class BackendUnavailable(MlctlError):
    """The daemon, Envoy, Docker or the disk cannot be reached or used."""

    code = "BackendUnavailable"
    exit_code = 6
    http_status = 503
    retry_after_s = 1.0


class GatewayRejected(MlctlError):
    """Envoy refused a configuration; the one in force stays."""

    code = "GatewayRejected"
    exit_code = 6
    http_status = 500


@dataclass(frozen=True)
class Frame:
    """A line of the user's own code in a traceback."""

    file: str
    line: int
    function: str
    text: str


class UserCodeFailed(MlctlError):
    """`init()` or `run()` raised, or the probe never passed."""

    code = "ResourceNotReady"
    exit_code = 7
    http_status = 424

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        frames: Sequence[Frame] = (),
        cause: str = "",
        model_dir: Sequence[str] = (),
    ) -> None:
        super().__init__(message, hint=hint)
        self.frames = tuple(frames)
        self.cause = cause
        self.model_dir = tuple(model_dir)
