"""Starts the coordinator of a job, detached, and says whether one runs. Called by `ops` and by the daemon."""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from mlctl.batch.folder import JobFolder
from mlctl.errors import BackendUnavailable
from mlctl.registry import jobs
from mlctl.runtimes.processes import ProcessId, describe_exit, is_running, read_exit_code, send_signal, spawn

START_WITHIN_S = 30.0
# Of the shell that a job is started from, nothing of Python's own may come along.
_WITHHELD = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV")


def find_folder(home: Path, job: str) -> JobFolder:
    """Return where a job's files lie; those of a pipeline's step lie below its job's."""
    owner, step = jobs.split_step(job)
    folder = home / "jobs" / owner
    return JobFolder(folder / "steps" / step if step else folder)


def is_coordinated(folder: JobFolder) -> bool:
    """Say whether a coordinator works on a job: it holds the lock for as long as it lives."""
    try:
        with folder.lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def start_coordinator(home: Path, job: str, environ: Mapping[str, str]) -> None:
    """Start the coordinator of a job, and return when it has taken the job over."""
    folder = find_folder(home, job)
    log_file = folder.system_logs / "coordinator.log"
    words = [sys.executable, "-P", "-m", "mlctl.batch", "--home", str(home), "--job", job]
    try:
        started = spawn(
            words,
            env={key: value for key, value in environ.items() if key not in _WITHHELD},
            cwd=folder.path,
            log_file=log_file,
        )
    except OSError as error:
        raise BackendUnavailable(f"cannot start {job}: {error}", hint=f"df -h {folder.path}") from error
    deadline = time.monotonic() + START_WITHIN_S
    while not is_coordinated(folder) and not folder.progress.exists() and not _has_owned(folder, started):
        if not is_running(started):
            if read_exit_code(started.pid) == 0:
                return  # the job was that short, or another coordinator has it: its state says how it ended
            raise BackendUnavailable(
                f"{job} does not start: its coordinator: {describe_exit(started.pid)}", hint=f"tail {log_file}"
            )
        if time.monotonic() > deadline:
            raise BackendUnavailable(f"{job} does not start within {START_WITHIN_S:g} s", hint=f"tail {log_file}")
        time.sleep(0.01)


def _has_owned(folder: JobFolder, process: ProcessId) -> bool:
    """Say whether a coordinator has taken the job over, even if it is over already."""
    try:
        return folder.lock.read_text() == f"{process.pid} {process.start_ticks}"
    except OSError:
        return False


def stop_coordinator(folder: JobFolder) -> bool:
    """Tell the coordinator of a job to stop; False when there is none."""
    if not is_coordinated(folder):
        return False
    try:
        pid, ticks = folder.lock.read_text().split()
    except (OSError, ValueError):
        return False
    send_signal(ProcessId(int(pid), int(ticks)), signal.SIGTERM)
    return True


def write_owner(folder: JobFolder, start_ticks: int) -> None:
    """Say in the lock's file who holds it; called by the coordinator."""
    folder.lock.write_text(f"{os.getpid()} {start_ticks}")
