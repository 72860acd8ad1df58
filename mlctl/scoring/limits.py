"""How long run() and a worker may take, from the variables of Azure's server. Read at the start of a process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from mlctl.scoring.user_code import ScriptRefused

DEFAULT_SCORING_TIMEOUT_MS = 3_600_000
DEFAULT_WORKER_TIMEOUT_S = 300
_NO_NUMBER = "Input should be a valid integer, unable to parse string as an integer"


class BadSetting(ScriptRefused):
    """A setting has a value that it cannot have. The message is Azure's, frame included."""


class Limits(NamedTuple):
    """scoring_timeout_ms: for a call of run(), 0 for none; None where nobody has said. worker_timeout_s: 0 for none.

    is_preloaded: init() is called once, before the workers are there.
    """

    scoring_timeout_ms: int | None = None
    worker_timeout_s: int = DEFAULT_WORKER_TIMEOUT_S
    is_preloaded: bool = False

    @property
    def run_limit_s(self) -> float:
        """Return what run() is limited to; 0 where the worker's own limit ends it before, or nothing does."""
        limit_s = (self.scoring_timeout_ms or 0) / 1000
        return limit_s if not self.worker_timeout_s or limit_s < self.worker_timeout_s else 0.0


def refuse_setting(name: str, message: str) -> BadSetting:
    """Make the exception for a variable with a wrong value, worded as Azure's server does."""
    frame = "=" * 15
    return BadSetting(
        f"\n{frame}Configuration Error{'=' * 17}\n{name}: {message} (environment variable: {name})\n{'=' * 51}"
    )


def read_whole(name: str, value: object, *, least: int = 0) -> int:
    """Read a whole number; raises BadSetting."""
    text = str(value).strip()
    if isinstance(value, bool) or not text.removeprefix("-").removeprefix("+").isdecimal():
        raise refuse_setting(name, _NO_NUMBER)
    if int(text) < least:
        raise refuse_setting(name, f"Input should be greater than or equal to {least}")
    return int(text)


def read_limits(settings: Mapping[str, object]) -> Limits:
    """Read them; raises BadSetting. Empty values count as not given."""
    timeout, silence = settings.get("SCORING_TIMEOUT_MS"), settings.get("WORKER_TIMEOUT")
    return Limits(
        scoring_timeout_ms=None if timeout in (None, "") else read_whole("SCORING_TIMEOUT_MS", timeout),
        worker_timeout_s=DEFAULT_WORKER_TIMEOUT_S if silence in (None, "") else read_whole("WORKER_TIMEOUT", silence),
        is_preloaded=str(settings.get("WORKER_PRELOAD", "")).lower() == "true",
    )
