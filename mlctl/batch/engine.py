"""One run of a job, from its input to its output: started anew, or where an interrupted run of it stopped.

The main thread takes what joblib's threads bring back, and commits it; each of those drives a worker. Called by
`__main__`.
"""

from __future__ import annotations

import importlib
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mlctl.batch import inputs, reports, tables
from mlctl.batch.assemble import Written, assemble, refuse_existing
from mlctl.batch.children import Child, StartFailed, WorkerPlan, name_process
from mlctl.batch.feeding import Feeder
from mlctl.batch.folder import JobFolder
from mlctl.batch.inputs import InputFile
from mlctl.batch.journal import Journal, Outcome
from mlctl.batch.leases import LeaseRunner
from mlctl.batch.order import JobOrder
from mlctl.batch.reports import Reports
from mlctl.batch.work_queue import WorkQueue
from mlctl.errors import Conflict, InvalidInput, MlctlError, UserCodeFailed

# What a task of joblib costs is little beside this.
_LEASE_S = 0.05
_LARGEST_LEASE = 512
_PROGRESS_EVERY_S = 0.25
_OVERVIEW_EVERY_S = 10
_EXAMPLES = 5

OnState = Callable[[str], None]


class Stopped(Exception):
    """The job was told to stop: it is canceled, or can be resumed later."""


class Pace:
    """How long mini-batches take, and so how many make a lease."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._seconds: float | None = None

    def add(self, outcomes: Sequence[Outcome], took_s: float) -> None:
        """Learn from a lease."""
        if not outcomes:
            return
        each = took_s / len(outcomes)
        self._seconds = each if self._seconds is None else 0.7 * self._seconds + 0.3 * each

    def __call__(self, left: int | None) -> int:
        """Return how many mini-batches the next lease shall have; left: to be given out, None: not known yet."""
        if self._seconds is None:
            return 1
        wanted = min(_LARGEST_LEASE, max(1, int(_LEASE_S / max(self._seconds, 1e-6))))
        return wanted if left is None else max(1, min(wanted, left // (2 * self._workers)))


class Engine:
    """Runs a job. on_state: is told the states that the job enters while it runs."""

    def __init__(self, order: JobOrder, folder: JobFolder, on_state: OnState) -> None:
        self._order = order
        self._folder = folder
        self._on_state = on_state
        self._is_stopped = threading.Event()
        self._queue: WorkQueue | None = None
        self._error: MlctlError | None = None
        self._children: list[Child] = []
        self._started_at = time.time()
        self._retries = 0
        self._examples: list[dict[str, Any]] = []
        self._progress_at = self._overview_at = 0.0

    def stop(self) -> None:
        """End the run as soon as possible; what is committed stays. Called from a signal handler."""
        self._is_stopped.set()
        threading.Thread(target=self._halt, daemon=True).start()

    def _halt(self) -> None:
        if self._queue is not None:
            self._queue.stop()
        for child in self._children:
            child.kill()

    def run(self) -> Written | None:
        """Score all that is not committed yet, and write the output; None: there is none, results are counted only."""
        self._folder.make()
        journal = Journal(self._folder.journal, self._folder.parts)
        log = Reports(self._folder)
        try:
            return self._run(journal, log)
        except BaseException as error:
            state = "Canceled" if isinstance(error, Stopped) else "Failed"
            self._report(journal, state, error=str(error))
            log.finish(f"{state}: {error}")
            raise
        finally:
            journal.close()
            reports.write_failed_items(self._folder)

    def _run(self, journal: Journal, log: Reports) -> Written | None:
        files = self._list_inputs(journal)
        if "published" not in journal.facts:
            refuse_existing(self._order.output)
        self._queue = work = WorkQueue(journal.committed.__contains__)
        self._on_state("Running")
        log.say(f"Start scheduling. {len(files)} input files, {self._order.workers} workers.")
        feeder = Feeder(self._order, self._folder, work, journal.committed.__contains__)
        feeder.start(files)
        starter = ThreadPoolExecutor(1, thread_name_prefix="starter")
        try:
            self._judge(work, journal)
            self._score(work, journal, log, feeder, starter)
        finally:
            work.stop()
            feeder.stop()
            # Together: each may take a while to call shutdown().
            with ThreadPoolExecutor(len(self._children) or 1) as pool:
                list(pool.map(Child.kill if self._is_stopped.is_set() else Child.stop, self._children))
            starter.shutdown()
        self._error = self._error or feeder.error
        self._raise_error()
        return self._finish(work, journal, log)

    def _list_inputs(self, journal: Journal) -> list[InputFile]:
        order = self._order
        if self._folder.inputs.exists():
            known = inputs.read_inputs(self._folder.inputs)
            if changed := inputs.find_changed(known):
                shown = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
                raise Conflict(
                    f"the input has changed since the job began: {shown}",
                    hint="start a new job for it: mlctl batch invoke …",
                )
            return known
        found = inputs.list_files(order.input.paths, tables=order.input.mode != "files")
        if not found:
            raise InvalidInput(
                f"there is no file in {', '.join(order.input.paths)}: nothing to score",
                hint=f"ls -l {order.input.paths[0]}" if order.input.paths else "",
            )
        for file in found:
            if order.input.mode != "files":
                tables.find_format(file.path)
        inputs.write_inputs(self._folder.inputs, found)
        return found

    def _score(
        self, work: WorkQueue, journal: Journal, log: Reports, feeder: Feeder, starter: ThreadPoolExecutor
    ) -> None:
        order = self._order
        plan = WorkerPlan(order, self._folder)
        self._children = [Child(number, plan, starter) for number in range(1, order.workers + 1)]
        free: queue.SimpleQueue[Child] = queue.SimpleQueue()
        for child in self._children:
            free.put(child)
        pace = Pace(order.workers)

        def run() -> tuple[list[Outcome], float]:
            child = free.get()
            try:
                lease = work.take(child.number, pace)
                runner = LeaseRunner(child, order.max_retries)
                if lease:
                    runner.ensure_child()
                began = time.perf_counter()
                return runner.run(lease), time.perf_counter() - began
            finally:
                free.put(child)

        def tasks() -> Iterator[Any]:
            # A task takes its lease when it begins: joblib asks for as many tasks as there are workers at a time, and
            # would have one wait for the other. What is yielded is what its delayed() makes.
            while not work.is_exhausted:
                yield run, (), {}

        joblib: Any = importlib.import_module("joblib")
        parallel = joblib.Parallel(
            n_jobs=order.workers,
            backend="threading",
            batch_size=1,
            pre_dispatch="n_jobs",
            return_as="generator_unordered",
        )
        try:
            for outcomes, took_s in parallel(tasks()):
                pace.add(outcomes, took_s)
                journal.commit(outcomes)
                log.add(outcomes)
                feeder.forget(outcomes)
                self._note(outcomes)
                self._judge(work, journal)
                self._tell(journal, log)
        except StartFailed as error:
            if self._is_stopped.is_set():
                raise Stopped("the job was stopped") from error
            log.add_error(name_process(0), str(error), error.trace)
            raise UserCodeFailed(
                f"no worker could be started: {error}",
                hint=f"see {self._folder.user_logs / 'error.txt'}, and stderr beside it",
            ) from error

    def _note(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self._retries += max(0, len(outcome.tries) - 1)
            for bad in outcome.bad:
                if len(self._examples) < _EXAMPLES:
                    where = bad.item if bad.row is None else f"{bad.item} row {bad.row:,}"
                    self._examples.append({"item": where, "error": bad.error})

    def _judge(self, work: WorkQueue, journal: Journal) -> None:
        """Stop when more has failed than is accepted."""
        order, committed = self._order, journal.committed
        failed = committed.items - committed.succeeded
        if 0 <= order.error_threshold < failed:
            self._fail(work, f"{failed:,} items failed, more than error_threshold ({order.error_threshold:,}) accepts")
        elif 0 <= order.mini_batch_error_threshold < committed.failed_mini_batches:
            self._fail(
                work,
                f"{committed.failed_mini_batches:,} mini-batches failed, more than mini_batch_error_threshold"
                f" ({order.mini_batch_error_threshold:,}) accepts",
            )

    def _fail(self, work: WorkQueue, message: str) -> None:
        if self._error is None:
            example = self._examples[0] if self._examples else None
            first = f"; the first: {example['item']}: {example['error']}" if example else ""
            self._error = UserCodeFailed(message + first, hint=f"see {self._folder.user_logs / 'error.txt'}")
        work.stop()

    def _raise_error(self) -> None:
        if self._is_stopped.is_set():
            raise Stopped("the job was stopped")
        if self._error is not None:
            raise self._error

    def _finish(self, work: WorkQueue, journal: Journal, log: Reports) -> Written | None:
        """Write the output and say how the job ends."""
        order, committed = self._order, journal.committed
        if committed.mini_batches != work.mini_batches:
            raise AssertionError(f"{committed.mini_batches} of {work.mini_batches} mini-batches are committed")
        self._report(journal, "Finalizing")
        self._on_state("Finalizing")
        journal.sync()
        failed = committed.items - committed.succeeded
        written = None
        if order.output.action == "append_row":
            if not committed.succeeded:
                reason = f"; the first: {self._examples[0]['error']}" if self._examples else ""
                raise UserCodeFailed(
                    f"No succeeded mini batch item returned from run(): all {committed.items:,} items failed{reason}",
                    hint=f"see {self._folder.user_logs / 'error.txt'}",
                )
            written = assemble(self._folder, journal, order.output, work.mini_batches, order.name)
        self._report(journal, "Completed", written=written)
        log.finish(f"Completed: {committed.items:,} items, {committed.succeeded:,} scored, {failed:,} failed.")
        for path in (*self._folder.blocks.iterdir(), *self._folder.parts.iterdir()):
            path.unlink()
        return written

    def _tell(self, journal: Journal, log: Reports) -> None:
        now = time.monotonic()
        if now - self._progress_at > _PROGRESS_EVERY_S:
            self._progress_at = now
            self._report(journal, "Running")
        if now - self._overview_at > _OVERVIEW_EVERY_S:
            self._overview_at = now
            committed = journal.committed
            failed = committed.items - committed.succeeded
            log.say(f"{committed.mini_batches:,} mini-batches processed, {failed:,} items failed.")

    def _report(
        self, journal: Journal, state: str, *, error: str | None = None, written: Written | None = None
    ) -> None:
        committed, work = journal.committed, self._queue
        is_known = work is not None and work.is_complete
        try:
            self._folder.write_progress(
                {
                    "state": state,
                    "pid": os.getpid(),
                    "items_total": work.items if work and is_known else None,
                    "items_done": committed.items,
                    "items_succeeded": committed.succeeded,
                    "items_failed": committed.items - committed.succeeded,
                    "mini_batches_total": work.mini_batches if work and is_known else None,
                    "mini_batches_done": committed.mini_batches,
                    "mini_batches_failed": committed.failed_mini_batches,
                    "retries": self._retries,
                    "started_at": self._started_at,
                    "updated_at": time.time(),
                    "workers": [
                        {"number": child.number, "pid": child.pid, "mini_batch": child.mini_batch}
                        for child in self._children
                    ],
                    "error": error,
                    "output": str(written.path) if written else None,
                    "output_bytes": written.size_bytes if written else 0,
                    "failed_examples": self._examples,
                }
            )
        except OSError:
            return  # a full disk is told by what needs the room
