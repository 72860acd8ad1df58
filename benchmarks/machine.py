"""The machine that is measured on: what it is, and whether somebody else uses it right now."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from pathlib import Path

QUIET_SHARE = 0.15
_SAMPLE_S = 0.5
# Columns of /proc/stat: user, nice, system, steal; fields of /proc/PID/stat after the name.
_USED = (0, 1, 2, 7)
_GUEST = 8
_SESSION_FIELD = 3
_TIME_FIELDS = slice(11, 13)


def describe_machine() -> str:
    """Return date, processor, cores, Python and load average as one line."""
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    when = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    blas = os.environ.get("OPENBLAS_CORETYPE")
    parts = [when, _processor(), f"{os.cpu_count()} cores", f"Python {platform.python_version()}", f"load {load}"]
    return " · ".join([*parts, f"OPENBLAS_CORETYPE={blas}"] if blas else parts)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.machine()


class Quiet:
    """Waits for quiet moments before runs, never longer than `limit_s` in all, and counts the runs begun without."""

    def __init__(self, limit_s: float) -> None:
        self._left_s = limit_s
        self._begun = 0
        self._noisy = 0

    def wait(self) -> None:
        """Return as soon as less than 15 % of the machine is used, or when no time for waiting is left."""
        self._begun += 1
        while (share := _measure_busy_share(_SAMPLE_S)) > QUIET_SHARE and self._left_s > 0:
            self._left_s -= _SAMPLE_S
        self._noisy += share > QUIET_SHARE

    def render(self) -> str:
        """Tell how many runs had company."""
        if not self._noisy:
            return f"the machine was quiet before each of the {self._begun} runs"
        return f"{self._noisy} of {self._begun} runs began while others used the machine"


def _measure_busy_share(over_s: float) -> float:
    before = _read_ticks()
    time.sleep(over_s)
    return _find_busy_share(before, _read_ticks())


def _find_busy_share(before: Sequence[int], after: Sequence[int]) -> float:
    """Find which share of all cores was used between two readings, 0 to 1. Interrupts are left out: nobody's."""
    passed = [now - then for now, then in zip(after, before, strict=True)]
    return sum(passed[kind] for kind in _USED) / max(1, sum(passed))


def _read_ticks() -> list[int]:
    """Return the machine's ticks by kind; a guest's are in the user's already."""
    first = Path("/proc/stat").read_text().split("\n", 1)[0]
    return [int(word) for word in first.split()[1:]][:_GUEST]


class Company:
    """Measures how much of the machine others use, from its making to `read_share`.

    sessions: the process sessions that are ours, beside this process and its children.
    """

    def __init__(self, sessions: Collection[int]) -> None:
        self._sessions = sessions
        self._all = _read_ticks()
        self._own = self._read_own()

    def read_share(self) -> float:
        """Return the share of all cores, 0 to 1; what the hypervisor took away counts as used by others."""
        after = _read_ticks()
        passed = sum(after) - sum(self._all)
        return max(0.0, _find_busy_share(self._all, after) - (self._read_own() - self._own) / max(1, passed))

    def _read_own(self) -> float:
        times = os.times()
        own_s = times.user + times.system + times.children_user + times.children_system
        return own_s * os.sysconf("SC_CLK_TCK") + sum(map(self._read_process, Path("/proc").glob("[0-9]*")))

    def _read_process(self, folder: Path) -> int:
        try:
            # The name stands in parentheses and may hold anything, blanks and parentheses too.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0
        is_ours = int(fields[_SESSION_FIELD]) in self._sessions
        return sum(map(int, fields[_TIME_FIELDS])) if is_ours else 0
