"""A pipeline job: its steps run one after the other, or side by side where neither needs the other's output.

Called by `__main__`. Source: batch contract 10; what each step does was resolved by `ops`.
"""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from mlctl.batch.command import RunningCommand, read_command
from mlctl.batch.engine import Stopped
from mlctl.batch.folder import JobFolder
from mlctl.batch.launch import is_coordinated, start_coordinator, stop_coordinator
from mlctl.batch.steps import StepBook, clear_outputs
from mlctl.errors import MlctlError, UserCodeFailed

_LOOK_EVERY_S = 0.1


@dataclass(frozen=True)
class StepOrder:
    """A step; what it does stands in its own folder. kind: `command`, or `parallel`: a batch job of its own.

    after: the steps whose outputs it reads.

    reuse_key: the same for steps that do the same with the same input, empty: it always runs.
    """

    name: str
    after: tuple[str, ...] = ()
    reuse_key: str = ""
    kind: str = "command"


@dataclass(frozen=True)
class PipelineOrder:
    """A pipeline job. at_once: how many steps run side by side at most."""

    name: str
    steps: tuple[StepOrder, ...]
    continues_on_failure: bool = False
    at_once: int = 2


def write_pipeline(file: Path, order: PipelineOrder) -> None:
    """Write an order down, for its owner's eyes only."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
        json.dump(asdict(order), writer, indent=1)


def read_pipeline(file: Path) -> PipelineOrder:
    """Read what `write_pipeline` wrote."""
    fields: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    given: list[dict[str, Any]] = fields.pop("steps")
    steps = tuple(StepOrder(step["name"], tuple(step["after"]), step["reuse_key"], step["kind"]) for step in given)
    return PipelineOrder(**fields, steps=steps)


class RunningBatch:
    """A step that a coordinator of its own carries out, as a batch job: its mini-batches are retried and resumed."""

    def __init__(self, book: StepBook, step: str, home: Path) -> None:
        self._book = book
        self._step = step
        self._folder = book.find_folder(step)
        # One that outlived this job's coordinator goes on.
        if not is_coordinated(self._folder):
            self._folder.progress.unlink(missing_ok=True)
            start_coordinator(home, book.name(step), os.environ)

    def has_ended(self, *, within_s: float = 0.1) -> bool:
        """Say, after a moment, whether it has ended well; raises UserCodeFailed when it failed."""
        time.sleep(within_s)
        if is_coordinated(self._folder):
            return False
        if self._book.list_states()[self._step] == "Completed":
            return True
        raise UserCodeFailed(self._book.get_error(self._step) or "its coordinator ended before it was done")

    def end(self) -> None:
        """Tell its coordinator to stop, and wait until it has."""
        while stop_coordinator(self._folder):
            time.sleep(_LOOK_EVERY_S)


class Pipeline:
    """Carries a pipeline from where it is to its end; steps that are Completed are not run again."""

    def __init__(self, order: PipelineOrder, folder: JobFolder, home: Path, book: StepBook) -> None:
        self._order = order
        self._folder = folder
        self._home = home
        self._book = book
        self._running: dict[str, RunningCommand | RunningBatch] = {}
        self._states = book.list_states()
        self._reused: dict[str, str] = {}
        self._failed: list[str] = []
        self._is_stopped = False
        self._orders = {step.name: step for step in order.steps}

    def run(self, on_state: Callable[[str], None]) -> None:
        """Run all steps; raises UserCodeFailed when one failed, Stopped when the job was told to stop."""
        signal.signal(signal.SIGTERM, self._stop)
        on_state("Running")
        for step in self._order.steps:
            if self._states[step.name] != "Completed":
                self._set_state(step.name, "NotStarted")
        sorter = TopologicalSorter({step.name: step.after for step in self._order.steps})
        sorter.prepare()
        ready: list[str] = []
        while True:
            ready += sorter.get_ready()
            done = self._start(ready)
            done += self._look()
            if done:
                sorter.done(*done)
            elif not self._running and not ready:
                break
        self._finish()

    def _stop(self, _number: int, _frame: object) -> None:
        self._is_stopped = True

    def _start(self, ready: list[str]) -> list[str]:
        """Start what is ready, as far as there is room; returns the steps that need not run."""
        done = [name for name in ready if self._states[name] == "Completed"]
        ready[:] = [name for name in ready if name not in done]
        if self._is_over:
            ready.clear()
        while ready and len(self._running) < self._order.at_once:
            name = ready.pop(0)
            if self._start_step(name):
                done.append(name)
        return done

    @property
    def _is_over(self) -> bool:
        return self._is_stopped or bool(self._failed and not self._order.continues_on_failure)

    def _start_step(self, name: str) -> bool:
        """Start a step; True when an earlier one's outputs were taken over instead."""
        order = self._orders[name]
        earlier = self._book.take_over(name, order.reuse_key) if order.reuse_key else None
        if earlier is not None:
            self._reused[name] = earlier
            self._complete(name)
            return True
        try:
            self._running[name] = self._run(order)
        except OSError as error:
            self._fail(name, f"{error.strerror or error} {error.filename or ''}".strip())
        except MlctlError as error:
            self._fail(name, error.message)
        else:
            self._set_state(name, "Running")
        return False

    def _run(self, order: StepOrder) -> RunningCommand | RunningBatch:
        folder = self._book.find_folder(order.name)
        if order.kind == "parallel":
            return RunningBatch(self._book, order.name, self._home)
        command = read_command(folder.order)
        clear_outputs(command.outputs, self._home)
        return RunningCommand(folder, command)

    def _look(self) -> list[str]:
        """Look after what runs; returns the steps that have ended well."""
        done: list[str] = []
        for name, running in list(self._running.items()):
            try:
                if not running.has_ended(within_s=_LOOK_EVERY_S / len(self._running)):
                    continue
            except UserCodeFailed as error:
                self._running.pop(name, None)
                self._fail(name, error.message)
                continue
            del self._running[name]
            self._complete(name)
            done.append(name)
        if self._is_over:
            self._end_all()
        return done

    def _complete(self, name: str) -> None:
        if self._orders[name].kind == "command":
            with suppress(OSError):
                self._book.keep_fingerprint(name)
        self._set_state(name, "Completed")

    def _fail(self, name: str, reason: str) -> None:
        self._failed.append(name)
        self._set_state(name, "Failed", reason)

    def _end_all(self) -> None:
        reason = "the job was stopped" if self._is_stopped else f"ended because step {self._failed[0]} failed"
        while self._running:
            name, running = self._running.popitem()
            running.end()
            self._set_state(name, "Canceled", reason)

    def _finish(self) -> None:
        """Say what became of the steps that did not run, and of the whole."""
        for name, state in self._states.items():
            if state == "NotStarted":
                reason = "the job was stopped" if self._is_stopped else f"not run: step {self._failed[0]} failed"
                self._set_state(name, "Canceled", reason)
        if self._is_stopped:
            raise Stopped("the job was stopped")
        if self._failed:
            first = self._failed[0]
            more = f" (and {', '.join(self._failed[1:])})" if self._failed[1:] else ""
            raise UserCodeFailed(f"step {first} failed{more}: {self._book.get_error(first)}")

    def _set_state(self, name: str, state: str, error: str | None = None) -> None:
        """Record a step's state; a job whose registry cannot be written for a moment goes on."""
        self._states[name] = state
        with suppress(MlctlError):
            self._book.set_state(name, state, error)
        reused = {"reused": self._reused} if self._reused else {}
        with suppress(OSError):
            self._folder.write_progress({"steps": self._states, "updated_at": time.time(), **reused})
