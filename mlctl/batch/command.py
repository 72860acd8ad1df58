"""A command job: one command line, run in its environment in a folder of its own, its output a log that is streamed.

Source: az-ml-surface 1.8; the command's words were resolved by `ops` (`${{inputs.x}}` and `${{outputs.x}}` replaced).
"""

from __future__ import annotations

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
from mlctl.errors import UserCodeFailed
from mlctl.runtimes.environments import find_environment
from mlctl.runtimes.process import PASSED_ON

_STOP_WITHIN_S = 10
_SHOWN_LINES = 5


@dataclass(frozen=True)
class CommandOrder:
    """A command, resolved. code: a folder whose content is copied into the working folder, None for none.

    outputs: name -> folder, made before the command starts. timeout_s: None for none.
    """

    name: str
    command: str
    python: str
    code: str | None
    environment_variables: Mapping[str, str]
    outputs: Mapping[str, str]
    timeout_s: float | None = None


def write_command(file: Path, order: CommandOrder) -> None:
    """Write an order down, for its owner's eyes only."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
        json.dump(asdict(order), writer, indent=1)


def read_command(file: Path) -> CommandOrder:
    """Read what `write_command` wrote."""
    fields: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return CommandOrder(**fields)


def find_log(folder: JobFolder) -> Path:
    """Return the log of a command, where Azure has it."""
    return folder.path / "user_logs" / "std_log.txt"


def run_command(folder: JobFolder, on_state: Callable[[str], None]) -> None:
    """Run a job's command to its end; raises UserCodeFailed when it fails."""
    order = read_command(folder.order)
    work = folder.path / "work"
    shutil.rmtree(work, ignore_errors=True)
    if order.code is not None:
        shutil.copytree(order.code, work, symlinks=True)
        # The copy comes from the registry, where nothing may be written.
        for path in (work, *work.rglob("*")):
            if not path.is_symlink():
                path.chmod(path.stat().st_mode | 0o200)
    work.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in order.outputs.values():
        Path(path).mkdir(mode=0o700, parents=True, exist_ok=True)
    log = find_log(folder)
    log.parent.mkdir(mode=0o700, exist_ok=True)
    stopped: list[int] = []

    def stop(number: int, _frame: object) -> None:
        stopped.append(number)

    signal.signal(signal.SIGTERM, stop)
    with log.open("ab") as output:
        process = subprocess.Popen(
            ["/bin/bash", "-c", order.command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_make_variables(order),
            cwd=work,
            start_new_session=True,
        )
    on_state("Running")
    deadline = None if order.timeout_s is None else time.monotonic() + order.timeout_s
    while (code := _poll(process)) is None:
        if stopped or (deadline is not None and time.monotonic() > deadline):
            _end(process)
            if stopped:
                raise Stopped("the job was stopped")
            raise UserCodeFailed(f"the command took longer than {order.timeout_s:g} s (limits.timeout)")
    if code:
        lines = log.read_text(errors="replace").splitlines()[-_SHOWN_LINES:]
        last = "".join(f"\n  {line}" for line in lines)
        raise UserCodeFailed(f"the command ended with exit code {code}{last}", hint=f"less {log}")


def _make_variables(order: CommandOrder) -> dict[str, str]:
    python = Path(order.python)
    own = {"PYTHONUNBUFFERED": "1", "AZUREML_RUN_ID": order.name, "MLFLOW_RUN_NAME": order.name}
    passed_on = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
    # Scripts say `python train.py`: it has to be the environment's, the tool's own where there is none.
    own["PATH"] = f"{python.parent}{os.pathsep}{passed_on.get('PATH', os.defpath)}"
    if find_environment(python) is not None:
        own["VIRTUAL_ENV"] = str(python.parent.parent)
    return {**passed_on, **own, **order.environment_variables}


def _poll(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(timeout=0.1)
    except subprocess.TimeoutExpired:
        return None


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and all it has started: asked first, then at once."""
    for number, wait_s in ((signal.SIGTERM, _STOP_WITHIN_S), (signal.SIGKILL, None)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(timeout=wait_s)
            break
        except subprocess.TimeoutExpired:
            continue
