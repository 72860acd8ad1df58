"""One run of a job, from its input to its output: started anew, or where an interrupted run of it stopped.

The main thread takes what joblib's threads bring back, and commits it; each of those drives a worker. Called by
`__main__`.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from mlctl.batch import inputs, reports, tables
from mlctl.batch.assemble import Written, assemble, is_published, prepare_folder, refuse_existing
from mlctl.batch.changes import take_changes
from mlctl.batch.children import Dismissed, StartFailed, WorkerPlan, name_process
from mlctl.batch.cluster import ClusterCrew
from mlctl.batch.crew import Crew, LocalCrew
from mlctl.batch.dispatch import dispatch
from mlctl.batch.feeding import Feeder
from mlctl.batch.folder import JobFolder
from mlctl.batch.inputs import InputFile
from mlctl.batch.journal import Journal, Outcome
from mlctl.batch.order import JobOrder
from mlctl.batch.reports import Reports
from mlctl.batch.usage import UsageLog
from mlctl.batch.work_queue import WorkQueue
from mlctl.errors import Conflict, InvalidInput, MlctlError, UserCodeFailed

_PROGRESS_EVERY_S = 0.25
_OVERVIEW_EVERY_S = 10
_USAGE_EVERY_S = 10
_SHOWN = 3
_FRAME = re.compile(r'File "([^"]+)", line (\d+), in (\S+)')

OnState = Callable[[str], None]


class Stopped(Exception):
    """The job was told to stop: it is canceled, or can be resumed later."""


class Engine:
    """Runs a job. on_state: is told the states that the job enters while it runs."""

    def __init__(self, order: JobOrder, folder: JobFolder, on_state: OnState) -> None:
        self._order = order
        self._folder = folder
        self._on_state = on_state
        self._is_stopped = threading.Event()
        self._queue: WorkQueue | None = None
        self._error: MlctlError | None = None
        self._crew: Crew | None = None
        self._leaving: Future[None] | None = None
        self._started_at = time.time()
        self._retries = 0
        self._overview_at = self._usage_at = time.monotonic()
        self._is_scheduled = False

    def stop(self) -> None:
        """End the run as soon as possible; what is committed stays. Called from a signal handler."""
        self._is_stopped.set()
        threading.Thread(target=self._halt, daemon=True).start()

    def _halt(self) -> None:
        if self._queue is not None:
            self._queue.stop()
        if self._crew is not None:
            self._crew.dismiss()

    def run(self) -> Written | None:
        """Score all that is not committed yet, and write the output; None: there is none, results are counted only."""
        self._folder.make()
        journal = self._open_journal()
        log = Reports(self._folder)
        try:
            return self._run(journal, log)
        except BaseException as error:
            state = "Canceled" if isinstance(error, Stopped) else "Failed"
            self._report(journal, state, error=str(error))
            hint = getattr(error, "hint", "")
            told = f"{error}" + (f"\n{hint}" if hint else "")
            log.finish(f"{state}: {error}", error="" if isinstance(error, Stopped) else told)
            with suppress(OSError):
                journal.close()
                reports.write_failed_items(self._folder)
            raise
        finally:
            with suppress(Exception):  # it has been told, unless there is something worse to tell
                self._wait_for_workers()

    def _open_journal(self) -> Journal:
        try:
            return Journal(self._folder.journal, self._folder.parts)
        except MlctlError as error:
            # Whoever has started the job waits for a word of it.
            self._folder.write_progress({"state": "Failed", "error": error.message, "updated_at": time.time()})
            raise

    def _run(self, journal: Journal, log: Reports) -> Written | None:
        self._clear_blocks()
        files = self._list_inputs(journal)
        prepare_folder(self._order.output)
        if not journal.facts.get("published") and not journal.facts.get("replaces"):
            refuse_existing(self._order.output)
        self._queue = work = WorkQueue(journal.committed.__contains__)
        self._on_state("Running")
        log.say(f"Start scheduling. {len(files)} input files, {self._order.workers} workers.")
        feeder = Feeder(self._order, self._folder, work, journal.committed.__contains__)
        feeder.start(files)
        try:
            self._judge(work, journal)
            self._score(work, journal, log, feeder)
        finally:
            work.stop()
            feeder.stop()
            self._clear_blocks()
        self._error = self._error or feeder.error
        self._raise_error()
        self._refuse_changes(files)
        written = self._finish(work, journal, log)
        journal.close()
        reports.write_failed_items(self._folder)
        return written

    def _clear_blocks(self) -> None:
        with suppress(OSError):
            for path in self._folder.blocks.iterdir():
                path.unlink()

    def _list_inputs(self, journal: Journal) -> list[InputFile]:
        order, folder = self._order, self._folder
        if folder.inputs.exists():
            if folder.changed.exists():
                return take_changes(order, folder, journal)
            known = inputs.read_inputs(folder.inputs)
            # The output that is there already was made of what they were.
            if not is_published(journal, order.output):
                self._refuse_changed("the job began", inputs.find_changed(known))
            return known
        folder.changed.unlink(missing_ok=True)
        found = inputs.list_files(order.input.paths, tables=order.input.mode != "files")
        if not found:
            raise InvalidInput(
                f"there is no file in {', '.join(order.input.paths)}: nothing to score",
                hint=f"ls -l {order.input.paths[0]}" if order.input.paths else "",
            )
        for file in found:
            if order.input.mode != "files":
                tables.find_format(file.path)
        inputs.write_inputs(folder.inputs, found)
        return found

    def _refuse_changes(self, files: Sequence[InputFile]) -> None:
        """Refuse tables that were written to while they were read; what a script does with its files is its own."""
        if self._order.input.mode != "files":
            self._refuse_changed("it was read", inputs.find_changed(files))

    def _refuse_changed(self, since: str, changed: Sequence[str]) -> None:
        if changed:
            shown = ", ".join(changed[:_SHOWN]) + (f" and {len(changed) - _SHOWN:,} more" if changed[_SHOWN:] else "")
            raise Conflict(
                f"the input has changed since {since}: {shown}",
                hint=f"to score what has changed: mlctl batch resume -n {self._order.name} --changed",
            )

    def _score(self, work: WorkQueue, journal: Journal, log: Reports, feeder: Feeder) -> None:
        plan = WorkerPlan(self._order, self._folder)
        self._crew = crew = LocalCrew(plan) if self._order.cluster is None else ClusterCrew(plan)
        try:
            if self._is_stopped.is_set():
                raise Stopped("the job was stopped")
            with self._telling(work, journal, log), closing(dispatch(crew, work)) as done:
                for outcomes in done:
                    self._commit(outcomes, journal, feeder)
                    log.add(outcomes)
                    self._note(outcomes)
                    self._judge(work, journal)
            self._commit([], journal, feeder)
            self._judge(work, journal)  # of a percentage, once all mini-batches are known
        except Dismissed:
            return  # why, is known: the job was stopped, or has failed
        except StartFailed as error:
            log.add_error(name_process(0), str(error), error.trace)
            raise UserCodeFailed(
                f"no worker could be started: {error}{_find_place(error.trace, Path(self._order.app_root))}",
                hint=f"see {self._folder.user_logs / 'error.txt'}, and stderr/ beside it",
            ) from error
        except BaseException:
            crew.dismiss()
            raise
        finally:
            work.stop()
            if self._error is not None or self._is_stopped.is_set():
                crew.dismiss()
            self._let_go(crew)

    def _let_go(self, crew: Crew) -> None:
        """Have the workers end while the output is written: an interpreter with many packages takes long to end."""
        pool = ThreadPoolExecutor(1, thread_name_prefix="leaving")
        self._leaving = pool.submit(crew.close)
        pool.shutdown(wait=False)

    def _wait_for_workers(self) -> None:
        """Wait until the workers have ended: before that, shutdown() may still be at something."""
        if self._leaving is not None:
            self._leaving.result()

    def _commit(self, outcomes: Sequence[Outcome], journal: Journal, feeder: Feeder) -> None:
        for file, mini_batches in feeder.take_counts():
            journal.count_file(file, mini_batches)
        journal.commit(outcomes)
        feeder.forget(outcomes)

    def _note(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            self._retries += min(len(outcome.tries) - 1, self._order.max_retries)

    def _judge(self, work: WorkQueue, journal: Journal) -> None:
        """Stop when more has failed than is accepted."""
        order, committed = self._order, journal.committed
        failed = committed.items - committed.succeeded
        if 0 <= order.error_threshold < failed:
            self._fail(
                work, journal, f"{failed:,} items failed, more than error_threshold ({order.error_threshold:,}) accepts"
            )
        elif 0 <= order.mini_batch_error_threshold < committed.failed_mini_batches:
            self._fail(
                work,
                journal,
                f"{committed.failed_mini_batches:,} mini-batches failed, more than mini_batch_error_threshold"
                f" ({order.mini_batch_error_threshold:,}) accepts",
            )
        elif (
            work.is_complete and 100 * committed.failed_mini_batches > order.allowed_failed_percent * work.mini_batches
        ):
            self._fail(
                work,
                journal,
                f"{committed.failed_mini_batches:,} of {work.mini_batches:,} mini-batches failed, more than"
                f" allowed_failed_percent ({order.allowed_failed_percent:g}) accepts",
            )

    def _fail(self, work: WorkQueue, journal: Journal, message: str) -> None:
        if self._error is None:
            hint = f"see {self._folder.user_logs / 'error.txt'}"
            self._error = UserCodeFailed(message + _describe_first(journal), hint=hint)
        work.stop()
        if self._crew is not None:
            self._crew.dismiss()

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
                if not committed.items:
                    raise InvalidInput("the input has no rows: nothing to score", hint=f"head {order.input.paths[0]}")
                raise UserCodeFailed(
                    f"No succeeded mini batch item returned from run(): all {committed.items:,} items failed"
                    + _describe_first(journal),
                    hint=f"see {self._folder.user_logs / 'error.txt'}",
                )
            written = assemble(self._folder, journal, order.output, work.mini_batches, order.name)
        self._wait_for_workers()
        self._report(journal, "Completed", written=written)
        log.finish(f"Completed: {committed.items:,} items, {committed.succeeded:,} scored, {failed:,} failed.")
        self._clear_parts()
        return written

    def _clear_parts(self) -> None:
        """Remove what the output has; Parquet's cannot be had back from it, and is needed should files change."""
        if self._order.output.format == "parquet":
            return
        for path in self._folder.parts.iterdir():
            if path.suffix != ".schema":
                path.unlink()

    @contextmanager
    def _telling(self, work: WorkQueue, journal: Journal, log: Reports) -> Generator[None]:
        """Tell how the job gets on while the block runs, in a thread: a worker may keep the others waiting."""
        is_over = threading.Event()
        usage = UsageLog(self._folder)

        def tell() -> None:
            self._tell(work, journal, log, usage)
            while not is_over.wait(_PROGRESS_EVERY_S):
                self._tell(work, journal, log, usage)

        thread = threading.Thread(target=tell, name="telling", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()
            self._tell_scheduled(work, log)
            self._tell_usage(usage)

    def _tell(self, work: WorkQueue, journal: Journal, log: Reports, usage: UsageLog) -> None:
        now = time.monotonic()
        self._report(journal, "Running")
        self._tell_scheduled(work, log)
        if now - self._usage_at > _USAGE_EVERY_S:
            self._usage_at = now
            self._tell_usage(usage)
        if now - self._overview_at > _OVERVIEW_EVERY_S:
            self._overview_at = now
            committed = journal.committed
            failed = committed.items - committed.succeeded
            log.say(
                f"{committed.mini_batches:,} mini-batches processed, {failed:,} items failed."
                if committed.mini_batches
                else "No task has been processed yet."
            )

    def _tell_scheduled(self, work: WorkQueue, log: Reports) -> None:
        if work.is_complete and not self._is_scheduled:
            self._is_scheduled = True
            log.say(
                f"Scheduling finished. Scheduled {work.mini_batches:,} mini batches with {work.items:,} items"
                f" in {time.time() - self._started_at:.0f} seconds."
            )

    def _tell_usage(self, usage: UsageLog) -> None:
        workers = self._crew.workers if self._crew is not None else ()
        with suppress(OSError):  # a log that cannot be written changes no result
            usage.add({name_process(worker.number): worker.pid for worker in workers if worker.pid is not None})

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
                        {
                            "number": worker.number,
                            "pid": worker.pid,
                            "ready": worker.is_ready,
                            "mini_batch": worker.mini_batch,
                        }
                        for worker in (self._crew.workers if self._crew is not None else ())
                    ],
                    "error": error,
                    "output": str(written.path) if written else None,
                    "output_bytes": written.size_bytes if written else 0,
                    "failed_examples": [{"item": bad.render_place(), "error": bad.error} for bad in committed.examples],
                }
            )
        except OSError:
            return  # a full disk is told by what needs the room


def _find_place(trace: str, code: Path) -> str:
    """Say in which line of the user's own code a traceback ends; empty when in none."""
    folders = (f"{code}/", f"{code.resolve()}/")
    found = [line for line in _FRAME.findall(trace) if line[0].startswith(folders)]
    if not found:
        return ""
    file, line, function = found[-1]
    name = next(file.removeprefix(folder) for folder in folders if file.startswith(folder))
    return f" ({name}:{line} in {function})"


def _describe_first(journal: Journal) -> str:
    examples = journal.committed.examples
    return f"; the first: {examples[0].render_place()}: {examples[0].error}" if examples else ""
