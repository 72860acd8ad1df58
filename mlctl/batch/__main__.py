"""The coordinator of one job: `python -m mlctl.batch --home DIR --job NAME`. Started, detached, by `launch`.

Exit codes: 0 the job ended (its state says how), or another coordinator has it; 70 a bug.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from mlctl.batch.command import run_command
from mlctl.batch.engine import Engine, Stopped
from mlctl.batch.folder import JobFolder
from mlctl.batch.launch import find_folder, write_owner
from mlctl.batch.order import read_order
from mlctl.batch.pipeline import Pipeline, read_pipeline
from mlctl.batch.steps import StepBook
from mlctl.errors import MlctlError
from mlctl.logs import set_up_daemon_logging
from mlctl.registry import jobs
from mlctl.registry.store import Store
from mlctl.runtimes.processes import forbid_new_privileges, read_start_ticks
from mlctl.settings import Settings

log = logging.getLogger("mlctl.batch")

_PATIENCE_S = 2.0


class Coordinator:
    """Carries a job from where it is to its end, and records its states."""

    def __init__(self, settings: Settings, job: str, folder: JobFolder) -> None:
        self._settings = settings
        self._job = job
        self._folder = folder

    def run(self) -> int:
        """Work on the job; returns the exit code."""
        with Store(self._settings.database) as store:
            kind = jobs.get(store, self._job).kind
        try:
            if kind == "command":
                run_command(self._folder, self._set_state)
            elif kind == "pipeline":
                self._run_steps()
            else:
                self._score()
        except Stopped:
            self._stop()
        except MlctlError as error:
            log.error(error.message, extra={"event": "job.failed", "job": self._job})
            self._fail(error.message, error.hint)
        except OSError as error:
            log.exception("job failed", extra={"event": "job.failed", "job": self._job})
            path = f" {error.filename}" if error.filename else ""
            self._fail(f"{error.strerror or error}{path}", f"df -h {self._folder.path}; {self._say_resume()}")
        except Exception as error:
            log.exception("job failed", extra={"event": "job.failed", "job": self._job})
            self._set_state("Failed", f"{type(error).__name__}: {error}")
            return 70
        else:
            self._set_state("Completed")
        return 0

    def _run_steps(self) -> None:
        book = StepBook(self._settings, self._job)
        Pipeline(read_pipeline(self._folder.order), self._folder, self._settings.home, book).run(self._set_state)

    def _score(self) -> None:
        engine = Engine(read_order(self._folder.order), self._folder, self._set_state)

        def stop(_number: int, _frame: object) -> None:
            engine.stop()

        signal.signal(signal.SIGTERM, stop)
        engine.run()

    def _stop(self) -> None:
        """A canceled job ends; one that was told to stop by the system can be resumed."""
        with Store(self._settings.database) as store:
            if jobs.get(store, self._job).state == "CancelRequested":
                jobs.set_state(store, self._job, "Canceled")

    def _say_resume(self) -> str:
        return f"then: mlctl batch resume -n {self._job}"

    def _fail(self, message: str, hint: str) -> None:
        """Record why the job failed, and what to do: first the hint, since followers look when the state is there."""
        with suppress(OSError):  # a full disk: the state is told without it
            self._folder.write_progress({**self._folder.read_progress(), "error": message, "hint": hint})
        self._set_state("Failed", message)

    def _set_state(self, state: str, error: str | None = None) -> None:
        """Record a state; one that was asked to be canceled meanwhile stays so until it ends."""
        unless = () if state in jobs.ENDED else ("CancelRequested",)
        try:
            with Store(self._settings.database) as store:
                jobs.set_state(store, self._job, state, error=error, unless=unless)
        except MlctlError as failure:
            # A full disk: the job itself will tell, or goes on without this word.
            log.error(failure.message, extra={"event": "job.state_lost", "job": self._job, "state": state})


def _take(lock: TextIO) -> bool:
    """Take the job's lock; False when another coordinator has it.

    It is held for a moment, too, by whoever looks whether somebody has it, and by what a killed one was about to start.
    """
    give_up_at = time.monotonic() + _PATIENCE_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                return False
            time.sleep(0.005)
        else:
            return True


def main() -> int:
    """Take the job's lock and work on it."""
    parser = argparse.ArgumentParser(prog="mlctl.batch")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--job", required=True)
    parsed: Any = parser.parse_args()
    os.umask(0o077)
    forbid_new_privileges()
    folder = find_folder(parsed.home, parsed.job)
    folder.make()
    set_up_daemon_logging(folder.system_logs / "coordinator.jsonl")
    with folder.lock.open("a") as lock:
        if not _take(lock):
            log.info("another coordinator has the job", extra={"event": "job.second", "job": parsed.job})
            return 0
        write_owner(folder, read_start_ticks(os.getpid()) or 0)
        return Coordinator(Settings(home=parsed.home), parsed.job, folder).run()


if __name__ == "__main__":
    sys.exit(main())
