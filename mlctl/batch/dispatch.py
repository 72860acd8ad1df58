"""Hands leases of mini-batches to a job's workers, through joblib: a thread drives each. Called by `engine`."""

from __future__ import annotations

import importlib
import queue
import time
from collections.abc import Generator, Iterator, Sequence
from typing import Any

from mlctl.batch.crew import Crew, Worker
from mlctl.batch.journal import Outcome
from mlctl.batch.work_queue import WorkQueue

_LARGEST_LEASE = 512


class Pace:
    """How long mini-batches take, and so how many make a lease that takes `lease_s`."""

    def __init__(self, workers: int, lease_s: float) -> None:
        self._workers = workers
        self._lease_s = lease_s
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
        wanted = min(_LARGEST_LEASE, max(1, int(self._lease_s / max(self._seconds, 1e-6))))
        return wanted if left is None else max(1, min(wanted, left // (2 * self._workers)))


def dispatch(crew: Crew, work: WorkQueue) -> Generator[list[Outcome]]:
    """Yield what comes of the queue's mini-batches, in the order in which they are done; raises what a worker does."""
    free: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    for worker in crew.workers:
        free.put(worker)
    pace = Pace(len(crew.workers), crew.lease_s)

    def run() -> tuple[list[Outcome], float]:
        worker = free.get()
        try:
            lease = work.take(worker.number, pace)
            if not lease:
                return [], 0.0
            worker.ensure_child()
            began = time.perf_counter()
            return worker.run(lease), time.perf_counter() - began
        finally:
            free.put(worker)

    def tasks() -> Iterator[Any]:
        # A task takes its lease when it begins: joblib asks for as many tasks as there are workers at a time, and
        # would have one wait for the other. What is yielded is what its delayed() makes.
        while not work.is_exhausted:
            yield run, (), {}

    joblib: Any = importlib.import_module("joblib")
    parallel = joblib.Parallel(
        n_jobs=len(crew.workers),
        backend="threading",
        batch_size=1,
        pre_dispatch="n_jobs",
        return_as="generator_unordered",
    )
    for outcomes, took_s in parallel(tasks()):
        pace.add(outcomes, took_s)
        yield outcomes
