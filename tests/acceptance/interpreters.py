"""Interpreters that mlctl's parts are started with in tests: for another user, and with a clock that tests move."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]

# Imported by every process of the interpreter at its start; only the wall clock moves.
_CLOCK = """
import time

_file, _real = {file!r}, time.time


def _shifted():
    try:
        with open(_file) as file:
            return _real() + float(file.read())
    except OSError:
        return _real()


time.time = _shifted
"""


def make_interpreter(folder: Path, base: str = sys.executable) -> Path:
    """Make an interpreter that has mlctl and what it needs; links and a path, nothing is copied."""
    subprocess.run([base, "-m", "venv", "--without-pip", str(folder)], check=True, capture_output=True, timeout=60)
    paths = dict.fromkeys([sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), str(CHECKOUT)])
    (_packages(folder) / "mlctl-tests.pth").write_text("\n".join(paths) + "\n")
    return folder / "bin" / "python"


def _packages(folder: Path) -> Path:
    return next(folder.glob("lib/python3.*/site-packages"))


class Clock:
    """The wall clock of all processes of one interpreter, off by as much as the test says; the real one is left."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "offset"
        self.jump_to(0)
        self.python = make_interpreter(folder / "python")
        (_packages(folder / "python") / "mlctl_tests_clock.py").write_text(_CLOCK.format(file=str(self._file)))
        (_packages(folder / "python") / "mlctl-tests-clock.pth").write_text("import mlctl_tests_clock\n")

    def jump_to(self, offset_s: float) -> None:
        """Set how far the clock is off."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        draft = self._file.with_suffix(".draft")
        draft.write_text(str(offset_s))
        draft.rename(self._file)
