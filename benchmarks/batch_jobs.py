"""Runs batch jobs for `batch_scoring`: a registry of its own, real coordinators and workers, timed and watched."""

from __future__ import annotations

import csv
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent

from benchmarks.outcome import BenchmarkFailed
from mlctl.batch.folder import JobFolder
from mlctl.batch.launch import find_folder, is_coordinated, start_coordinator, stop_coordinator
from mlctl.batch.order import InputMode, JobInput, JobOrder, JobOutput, OutputFormat, write_order
from mlctl.registry import jobs
from mlctl.registry.store import Store

JOB_TIMEOUT_S = 900.0
_LOOK_EVERY_S = 0.05


@dataclass(frozen=True)
class Job:
    """What a job does. size: of its mini-batches."""

    script: Path
    source: Path
    mode: InputMode
    size: int
    workers: int = 2
    format: OutputFormat = "az"

    @property
    def file_name(self) -> str:
        """Name of the output."""
        return f"scores.{self.format}"


@dataclass(frozen=True)
class Ended:
    """How a job went. took_s: from the first call of run() to the moment when the output has its name.

    coordinator_bytes, worker_bytes: the most that the coordinator, and any one worker, had to itself.
    """

    took_s: float
    coordinator_bytes: int
    worker_bytes: int


@dataclass
class Runner:
    """Runs jobs in a folder, one after the other. Their scripts find the model by the variable MODEL."""

    folder: Path
    count: int = field(default=0, init=False)

    @property
    def home(self) -> Path:
        """The registry's."""
        return self.folder / "home"

    @property
    def model(self) -> Path:
        """What scripts load."""
        return self.folder / "model.pkl"

    def write_script(self, name: str, text: str) -> Path:
        """Write a script into a folder of its own."""
        path = self.folder / name / "score.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text))
        return path

    def make_files(self, name: str, count: int) -> Path:
        """Make a folder of empty files."""
        folder = self.folder / name
        folder.mkdir()
        for number in range(count):
            (folder / f"{number:06d}").touch()
        return folder

    def run(self, job: Job) -> Ended:
        """Run a job to its end, and remove what it wrote."""
        with self.started(job) as (name, output):
            ended = self._watch(name)
            if not output.exists():
                raise BenchmarkFailed(f"{output} is not there")
        return ended

    def run_disturbed(self, job: Job, kills: int) -> tuple[bytes, int]:
        """Run a job that is killed at random moments and resumed; return its output, and how many kills there were.

        Half of them hit the coordinator, half a worker.
        """
        chance = random.Random(0)
        done = 0
        with self.started(job) as (name, output):
            while done < kills and self._wait_for_journal(name, chance.randrange(40, 1500)):
                victims = _read_pids(find_folder(self.home, name))
                if not victims:
                    continue
                is_worker = len(victims) > 1 and chance.random() < 0.5
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(victims[1:]) if is_worker else victims[0], signal.SIGKILL)
                    done += 1
                if not is_worker:
                    self._resume(name)
            self._finish(name)
            return output.read_bytes(), done

    def read_undisturbed(self, job: Job) -> bytes:
        """Run a job and return its output."""
        with self.started(job) as (name, output):
            self._finish(name)
            return output.read_bytes()

    @contextmanager
    def started(self, job: Job) -> Generator[tuple[str, Path]]:
        """Start a job, yield its name and its output, and leave nothing of it."""
        self.count += 1
        name, target = f"bench-{os.getpid()}-{self.count}", self.folder / f"out-{self.count}"
        folder = find_folder(self.home, name)
        folder.make()
        write_order(
            folder.order,
            JobOrder(
                name=name,
                python=sys.executable,
                app_root=str(job.script.parent),
                entry_script=job.script.name,
                model_dir=None,
                environment_variables={"MODEL": str(self.model)},
                input=JobInput(job.mode, (str(job.source),)),
                output=JobOutput("append_row", str(target), job.file_name, job.format),
                mini_batch_size=job.size,
                instance_count=job.workers,
                # Kills cost tries as well.
                max_retries=100,
            ),
        )
        with Store(self.home / "registry.db") as store:
            jobs.insert(store, name=name, kind="batch", workspace="local", spec={})
        start_coordinator(self.home, name, os.environ)
        try:
            yield name, target / job.file_name
        finally:
            stop_coordinator(folder)
            _wait_until(lambda: not is_coordinated(folder), "the end of the coordinator")
            for path in (target, folder.path):
                shutil.rmtree(path, ignore_errors=True)

    def _watch(self, name: str) -> Ended:
        """Wait for a job's end, looking at its processes' memory."""
        folder, deadline = find_folder(self.home, name), time.monotonic() + JOB_TIMEOUT_S
        most: dict[int, int] = {}
        coordinator = 0
        while is_coordinated(folder):
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"the job took longer than {JOB_TIMEOUT_S:g} s")
            pids = _read_pids(folder)
            coordinator = pids[0] if pids else coordinator
            for pid in pids:
                most[pid] = max(most.get(pid, 0), _own_bytes(pid))
            time.sleep(_LOOK_EVERY_S)
        ended_at = self._finish(name)
        workers = [size for pid, size in most.items() if pid != coordinator]
        return Ended(ended_at - _find_first_call(folder), most.get(coordinator, 0), max(workers, default=0))

    def _finish(self, name: str) -> float:
        """Wait until a job has ended well, and return when that was."""
        folder = find_folder(self.home, name)
        _wait_until(lambda: not is_coordinated(folder), "the end of the job")
        with Store(self.home / "registry.db") as store:
            row = jobs.get(store, name)
        if row.state != "Completed" or row.ended_at is None:
            raise BenchmarkFailed(f"the job is {row.state}: {row.error}")
        return row.ended_at

    def _wait_for_journal(self, name: str, more: int) -> bool:
        """Wait until so many bytes more are committed; False when the job has ended by then."""
        folder = find_folder(self.home, name)
        size = _journal_size(folder) + more
        _wait_until(lambda: _journal_size(folder) >= size or not is_coordinated(folder), "a mini-batch")
        return is_coordinated(folder)

    def _resume(self, name: str) -> None:
        folder = find_folder(self.home, name)
        _wait_until(lambda: not is_coordinated(folder), "the end of the coordinator")
        with Store(self.home / "registry.db") as store:
            if jobs.get(store, name).has_ended:
                return
            jobs.set_state(store, name, "NotStarted")
        folder.progress.unlink(missing_ok=True)
        start_coordinator(self.home, name, os.environ)


def _read_pids(folder: JobFolder) -> Sequence[int]:
    """Return the coordinator's process and its workers', as they were told last; empty before that."""
    progress = folder.read_progress()
    found = [progress.get("pid"), *(worker.get("pid") for worker in progress.get("workers", ()))]
    return [pid for pid in found if pid] if found[0] else []


def _own_bytes(pid: int) -> int:
    """Return what a process has to itself: pages of files that are read do not count."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def _journal_size(folder: JobFolder) -> int:
    return folder.journal.stat().st_size if folder.journal.exists() else 0


def _find_first_call(folder: JobFolder) -> float:
    with (folder.system_logs / "job_report" / "processed_mini-batches.csv").open(newline="") as file:
        first = min(row["Start Time"] for row in csv.DictReader(file))
    return datetime.strptime(first, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()


def _wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + JOB_TIMEOUT_S
    while not is_so():
        if time.monotonic() > deadline:
            raise BenchmarkFailed(f"waited {JOB_TIMEOUT_S:g} s for {what}")
        time.sleep(0.005)
