"""The machine that is measured on: what it is, and whether somebody else uses it right now."""

from __future__ import annotations

import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

QUIET_SHARE = 0.15
_SAMPLE_S = 0.5
_IDLE, _IOWAIT, _GUEST = 3, 4, 8


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
        while (share := measure_busy_share(_SAMPLE_S)) > QUIET_SHARE and self._left_s > 0:
            self._left_s -= _SAMPLE_S
        self._noisy += share > QUIET_SHARE

    def render(self) -> str:
        """Tell how many runs had company."""
        if not self._noisy:
            return f"the machine was quiet before each of the {self._begun} runs"
        return f"{self._noisy} of {self._begun} runs began while others used the machine: take them as a lower bound"


def measure_busy_share(over_s: float) -> float:
    """Measure which share of all cores was used in the next `over_s` seconds, 0 to 1."""
    before = _read_ticks()
    time.sleep(over_s)
    passed = [after - then for after, then in zip(_read_ticks(), before, strict=True)]
    return 1 - (passed[_IDLE] + passed[_IOWAIT]) / max(1, sum(passed))


def _read_ticks() -> list[int]:
    """Return the machine's ticks by kind; a guest's are in the user's already."""
    first = Path("/proc/stat").read_text().split("\n", 1)[0]
    return [int(word) for word in first.split()[1:]][:_GUEST]
