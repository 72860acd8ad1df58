"""A limit for each call of run(), SCORING_TIMEOUT_MS, kept as Azure's server keeps it: an alarm in the main thread."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

from mlctl.scoring.user_code import Script


class ScoringTimeout(TimeoutError):
    """run() took longer than it may."""


def limit_time(script: Script, timeout_s: float) -> Script:
    """Return the script with a run() that is ended by ScoringTimeout when its time is over.

    The alarm interrupts Python code and system calls, not long calls of C code; nor other threads than the main one.
    """
    return replace(script, run=_limit(script.run, timeout_s))


def _limit(run: Callable[..., object], timeout_s: float) -> Callable[..., object]:
    main, find_thread = threading.main_thread().ident, threading.get_ident

    def run_limited(*arguments: object) -> object:
        if find_thread() != main:
            return run(*arguments)
        # Set anew for every call, as there: the script may use the alarm itself, in between.
        former = signal.signal(signal.SIGALRM, _end_run)
        signal.setitimer(signal.ITIMER_REAL, timeout_s)
        try:
            return run(*arguments)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, former or signal.SIG_DFL)

    return run_limited


def _end_run(_number: int, _frame: FrameType | None) -> None:
    raise ScoringTimeout
