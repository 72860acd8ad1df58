"""Who works for a job: processes of this machine, or of a cluster (`cluster`). A thread of `dispatch` drives each."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from mlctl.batch.children import Child, WorkerPlan
from mlctl.batch.inputs import MiniBatch
from mlctl.batch.journal import Outcome
from mlctl.batch.leases import LeaseRunner


class Worker(Protocol):
    """One of them. pid: on this machine. is_ready: its init() is done. mini_batch: the number of the one it runs."""

    @property
    def number(self) -> int: ...  # noqa: D102 (see above)
    @property
    def pid(self) -> int | None: ...  # noqa: D102
    @property
    def is_ready(self) -> bool: ...  # noqa: D102
    @property
    def mini_batch(self) -> int | None: ...  # noqa: D102

    def ensure_child(self) -> None:
        """Have a process ready."""
        ...

    def run(self, lease: Sequence[MiniBatch]) -> list[Outcome]:
        """Run mini-batches, with all their tries; raises what LeaseRunner does."""
        ...


class Crew(Protocol):
    """All of them. lease_s: how much work goes to a worker at a time."""

    lease_s: float

    @property
    def workers(self) -> Sequence[Worker]: ...  # noqa: D102

    def dismiss(self) -> None:
        """End all at once, from any thread: whoever waits for one gets Dismissed."""
        ...

    def close(self) -> None:
        """Let all that are idle call shutdown() and end."""
        ...


class LocalCrew:
    """Processes on this machine."""

    # What a task of joblib costs is little beside this.
    lease_s = 0.05

    def __init__(self, plan: WorkerPlan) -> None:
        # The system ends a worker with the thread that started it: this one lives as long as the job.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="starter")
        numbers = range(1, plan.order.workers + 1)
        self._workers = [LeaseRunner(Child(n, plan, self._starter), plan.order.max_retries) for n in numbers]

    @property
    def workers(self) -> Sequence[Worker]:
        """Return the workers, numbered from 1."""
        return self._workers

    def dismiss(self) -> None:
        """End all at once."""
        for worker in self._workers:
            worker.child.dismiss()

    def close(self) -> None:
        """End all, together: each may take a while to call shutdown()."""
        with ThreadPoolExecutor(len(self._workers)) as pool:
            list(pool.map(Child.stop, [worker.child for worker in self._workers]))
        self._starter.shutdown()
