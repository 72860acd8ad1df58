"""A command job: one command line, run in its environment in a folder of its own, its output a log that is streamed.

Source: az-ml-surface 1.8; the command's words were resolved by `ops` (`${{inputs.x}}` and `${{outputs.x}}` replaced).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mlctl.batch.engine import Stopped
from mlctl.batch.folder import JobFolder
from mlctl.batch.leftovers import end_leftover, record_command
from mlctl.batch.metrics import make_tracking_variables
from mlctl.errors import UserCodeFailed
from mlctl.runtimes.environments import find_environment
from mlctl.runtimes.process import PASSED_ON

_STOP_WITHIN_S = 10
_SHOWN_LINES = 5


@dataclass(frozen=True)
class CommandOrder:
    """A command, resolved. code: a folder whose content is copied into the working folder, None for none.

    outputs: name -> folder, made before the command starts; those of `output_files` are files, which it makes itself.
    timeout_s: None for none.
    """

    name: str
    command: str
    python: str
    code: str | None
    environment_variables: Mapping[str, str]
    outputs: Mapping[str, str]
    timeout_s: float | None = None
    output_files: tuple[str, ...] = ()


def write_command(file: Path, order: CommandOrder) -> None:
    """Write an order down, for its owner's eyes only."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
        json.dump(asdict(order), writer, indent=1)


def read_command(file: Path) -> CommandOrder:
    """Read what `write_command` wrote."""
    fields: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    fields["output_files"] = tuple(fields.get("output_files") or ())
    return CommandOrder(**fields)


def find_log(folder: JobFolder) -> Path:
    """Return the log of a command, where Azure has it."""
    return folder.path / "user_logs" / "std_log.txt"


def run_command(folder: JobFolder, on_state: Callable[[str], None]) -> None:
    """Run a job's command to its end; raises UserCodeFailed when it fails."""
    stopped: list[int] = []

    def stop(number: int, _frame: object) -> None:
        stopped.append(number)

    signal.signal(signal.SIGTERM, stop)
    running = RunningCommand(folder, read_command(folder.order))
    on_state("Running")
    while not running.has_ended():
        if stopped:
            running.end()
            raise Stopped("the job was stopped")


class RunningCommand:
    """A command from its start on, with all that it starts in turn: they share a session."""

    def __init__(self, folder: JobFolder, order: CommandOrder) -> None:
        self._order = order
        self._log = find_log(folder)
        end_leftover(folder, order.name)
        work = _prepare(folder, order)
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                ["/bin/bash", "-c", order.command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_make_variables(order, folder),
                cwd=work,
                start_new_session=True,
            )
        record_command(folder, self._process.pid)
        self._deadline = None if order.timeout_s is None else time.monotonic() + order.timeout_s

    def has_ended(self, *, within_s: float = 0.1) -> bool:
        """Say, after a moment, whether it has ended well; raises UserCodeFailed when it failed, or took too long."""
        try:
            code = self._process.wait(timeout=within_s)
        except subprocess.TimeoutExpired:
            if self._deadline is None or time.monotonic() < self._deadline:
                return False
            self.end()
            raise UserCodeFailed(f"the command took longer than {self._order.timeout_s:g} s (limits.timeout)") from None
        if code:
            last = "".join(f"\n  {line}" for line in _read_last_lines(self._log))
            raise UserCodeFailed(f"the command ended with exit code {code}{last}", hint=f"less {self._log}")
        return True

    def end(self) -> None:
        """End the command and all it has started: asked first, then at once."""
        for number, wait_s in ((signal.SIGTERM, _STOP_WITHIN_S), (signal.SIGKILL, None)):
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                break
            try:
                self._process.wait(timeout=wait_s)
                break
            except subprocess.TimeoutExpired:
                continue
        # What did not listen when the command itself did.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _prepare(folder: JobFolder, order: CommandOrder) -> Path:
    """Make the working folder with the code in it, places for outputs and log; returns the folder."""
    work = folder.path / "work"
    shutil.rmtree(work, ignore_errors=True)
    if order.code is not None:
        shutil.copytree(order.code, work, symlinks=True)
        # The copy comes from the registry, where nothing may be written.
        for path in (work, *work.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o200)
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, path in order.outputs.items():
        place = Path(path).parent if name in order.output_files else Path(path)
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    find_log(folder).parent.mkdir(mode=0o700, exist_ok=True)
    return work


def _read_last_lines(log: Path) -> list[str]:
    return log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]


def _make_variables(order: CommandOrder, folder: JobFolder) -> dict[str, str]:
    python = Path(order.python)
    own = {"PYTHONUNBUFFERED": "1", "AZUREML_RUN_ID": order.name, "MLFLOW_RUN_NAME": order.name}
    passed_on = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    # Scripts say `python train.py`: it has to be the environment's, the tool's own where there is none.
    own["PATH"] = f"{python.parent}{os.pathsep}{passed_on.get('PATH', os.defpath)}"
    if find_environment(python) is not None:
        own["VIRTUAL_ENV"] = str(python.parent.parent)
    return {**passed_on, **own, **make_tracking_variables(folder), **order.environment_variables}
