"""A job's workers on a Dask cluster: leases are sent there, run by child processes beside the cluster's own workers.

All machines see the job's folder, its input, code and interpreter under the same paths. What is committed is decided
here as ever: a machine that dies, or comes back late, can neither lose nor double a row.
"""

from __future__ import annotations

import importlib
import secrets
import socket
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlctl.batch.children import Child, Dismissed, WorkerPlan
from mlctl.batch.crew import Worker
from mlctl.batch.inputs import MiniBatch
from mlctl.batch.journal import Outcome
from mlctl.batch.leases import LeaseRunner
from mlctl.errors import BackendUnavailable, InvalidInput

_CONNECT_WITHIN_S = 10
_WORKERS_WITHIN_S = 30
_CLOSE_WITHIN_S = 60
# A lease is sent again that often when the cluster's workers die with it.
_MOST_LOSSES = 10
# Children without work end by themselves: their coordinator may have been killed.
_IDLE_S = 60.0


class ClusterCrew:
    """A job's workers on a cluster, dealt out to its machines in turn."""

    # A task costs some milliseconds there.
    lease_s = 0.5

    def __init__(self, plan: WorkerPlan) -> None:
        self._distributed = _import_distributed()
        self._plan = plan
        self._is_dismissed = threading.Event()
        self._client = self._connect()
        try:
            places = self._find_places()
            self._check_files()
        except BaseException:
            self._client.close()
            raise
        numbers = range(1, plan.order.workers + 1)
        self._workers = [_RemoteWorker(n, places[(n - 1) % len(places)], self._submit) for n in numbers]

    @property
    def workers(self) -> Sequence[Worker]:
        """Return the workers, numbered from 1."""
        return self._workers

    def _connect(self) -> Any:
        address = self._plan.order.cluster
        try:
            client = self._distributed.Client(
                address, timeout=_CONNECT_WITHIN_S, set_as_default=False, name=f"mlctl-{self._plan.order.name}"
            )
        except (OSError, ValueError) as error:
            raise BackendUnavailable(
                f"the Dask scheduler {address} cannot be reached: {error}",
                hint=f"start it, then: mlctl batch resume -n {self._plan.order.name}",
            ) from error
        try:
            client.wait_for_workers(1, timeout=_WORKERS_WITHIN_S)
        except OSError as error:
            client.close()
            raise BackendUnavailable(
                f"the Dask cluster {address} has no workers",
                hint=f"dask worker {address}; then: mlctl batch resume -n {self._plan.order.name}",
            ) from error
        return client

    def _find_places(self) -> list[str]:
        """Return a worker's address for each of its threads."""
        known: Mapping[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        most = max(worker["nthreads"] for worker in known.values())
        return [address for turn in range(most) for address in sorted(known) if turn < known[address]["nthreads"]]

    def _check_files(self) -> None:
        """See that every worker of the cluster has the same files as this machine."""
        order, folder = self._plan.order, self._plan.folder
        token = secrets.token_hex(16)
        mark = folder.path / "shared"
        mark.write_text(token, encoding="utf-8")
        try:
            wanted = [order.python, order.app_root, *order.input.paths, *([order.model_dir] if order.model_dir else [])]
            lacking = self._client.run(find_lacking, str(mark), token, wanted, on_error="return")
        finally:
            mark.unlink()
        for address, found in sorted(lacking.items()):
            if isinstance(found, Exception):
                raise BackendUnavailable(
                    f"the worker {address} of the Dask cluster cannot run mlctl: {type(found).__name__}: {found}",
                    hint="install the same mlctl where the cluster's workers run",
                )
            if found:
                raise InvalidInput(
                    f"the worker {address} of the Dask cluster does not have {found[0]}: all machines of a cluster need"
                    " the same files under the same paths",
                    hint="use a file system that they share, for MLCTL_HOME and for the input",
                )

    def _submit(self, number: int, place: str, lease: Sequence[MiniBatch]) -> list[Outcome]:
        for _ in range(_MOST_LOSSES):
            if self._is_dismissed.is_set():
                raise Dismissed
            future = self._client.submit(
                run_lease, self._plan, number, list(lease), pure=False, workers=[place], allow_other_workers=True
            )
            try:
                return future.result()
            except self._distributed.KilledWorker:
                continue
            except (CancelledError, self._distributed.CancelledError, self._distributed.comm.CommClosedError) as error:
                raise self._explain_loss() from error
        raise self._explain_loss()

    def _explain_loss(self) -> Exception:
        if self._is_dismissed.is_set():
            return Dismissed()
        order = self._plan.order
        return BackendUnavailable(
            f"the Dask cluster {order.cluster} was lost", hint=f"mlctl batch resume -n {order.name} goes on"
        )

    def dismiss(self) -> None:
        """End all at once."""
        self._is_dismissed.set()
        with suppress(Exception):  # whatever is wrong with the cluster, its children end by themselves
            self._client.run(dismiss_children, str(self._plan.folder.path), on_error="ignore")

    def close(self) -> None:
        """End all that are idle, and leave the cluster."""
        with suppress(Exception):
            addresses = list(self._client.scheduler_info(n_workers=-1)["workers"])
            # As tasks: the loop of a worker may not be held up.
            closing = [
                self._client.submit(close_children, str(self._plan.folder.path), pure=False, workers=[address])
                for address in addresses
            ]
            self._distributed.wait(closing, timeout=_CLOSE_WITHIN_S)
        self._client.close()


class _RemoteWorker:
    """A worker on the cluster. place: the address of the Dask worker that its children are with, while that lives."""

    pid = None
    is_ready = True

    def __init__(self, number: int, place: str, submit: Any) -> None:
        self.number = number
        self.mini_batch: int | None = None
        self._place = place
        self._submit = submit

    def ensure_child(self) -> None:
        """Do nothing: the child is started where the lease is run."""

    def run(self, lease: Sequence[MiniBatch]) -> list[Outcome]:
        """Have a lease run."""
        self.mini_batch = lease[0]["index"]
        try:
            return self._submit(self.number, self._place, lease)
        finally:
            self.mini_batch = None


def _import_distributed() -> Any:
    try:
        return importlib.import_module("distributed")
    except ImportError as error:
        raise InvalidInput(
            "batch jobs on a Dask cluster need the package distributed, which is not installed",
            hint="pip install 'mlctl[dask]'",
        ) from error


# What follows runs in the processes of the cluster.


class _Station:
    """A job's children beside one worker of the cluster. They end when there has been no work for them for a while."""

    def __init__(self, plan: WorkerPlan) -> None:
        self._plan = plan
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="starter")
        self._lock = threading.Lock()
        self._children: dict[int, tuple[Child, threading.Lock]] = {}
        self._busy = 0
        self._idle_since = time.monotonic()
        self.is_closed = threading.Event()
        threading.Thread(target=self._watch, name="idle", daemon=True).start()

    def run(self, number: int, lease: Sequence[MiniBatch]) -> list[Outcome]:
        """Run a lease in the child of that number."""
        with self._lock:
            if self.is_closed.is_set():
                raise Dismissed
            if number not in self._children:
                self._children[number] = (Child(number, self._plan, self._starter), threading.Lock())
            child, lock = self._children[number]
            self._busy += 1
        try:
            with lock:
                return LeaseRunner(child, self._plan.order.max_retries).run(lease)
        finally:
            with self._lock:
                self._busy -= 1
                self._idle_since = time.monotonic()

    def _watch(self) -> None:
        while not self.is_closed.wait(_IDLE_S / 4):
            with self._lock:
                is_idle = not self._busy and time.monotonic() - self._idle_since > _IDLE_S
            if is_idle:
                _take_station(str(self._plan.folder.path), self)
                self.close()

    def dismiss(self) -> None:
        """End all children at once."""
        self.is_closed.set()
        for child in self._take_children():
            child.dismiss()
        self._starter.shutdown(wait=False)

    def close(self) -> None:
        """Let all children call shutdown() and end."""
        self.is_closed.set()
        children = self._take_children()
        with ThreadPoolExecutor(len(children) or 1) as pool:
            list(pool.map(Child.stop, children))
        self._starter.shutdown(wait=False)

    def _take_children(self) -> list[Child]:
        with self._lock:
            children = [child for child, _ in self._children.values()]
            self._children.clear()
        return children


_stations: dict[str, _Station] = {}
_stations_lock = threading.Lock()


def _take_station(job: str, station: _Station | None = None) -> _Station | None:
    with _stations_lock:
        if station is not None and _stations.get(job) is not station:
            return None
        return _stations.pop(job, None)


def run_lease(plan: WorkerPlan, number: int, lease: Sequence[MiniBatch]) -> list[Outcome]:
    """Run a lease on this machine, in a child that is kept for the next one."""
    with _stations_lock:
        job = str(plan.folder.path)
        if job not in _stations or _stations[job].is_closed.is_set():
            _stations[job] = _Station(plan)
        station = _stations[job]
    return station.run(number, lease)


def dismiss_children(job: str) -> None:
    """End a job's children on this machine at once."""
    station = _take_station(job)
    if station is not None:
        station.dismiss()


def close_children(job: str) -> None:
    """Let a job's children on this machine call shutdown() and end."""
    station = _take_station(job)
    if station is not None:
        station.close()


def find_lacking(mark: str, token: str, paths: Sequence[str]) -> list[str]:
    """Return which paths this machine lacks; the mark has to hold what the coordinator has just written."""
    try:
        is_shared = Path(mark).read_text(encoding="utf-8") == token
    except OSError:
        is_shared = False
    if not is_shared:
        return [f"{Path(mark).parent} ({socket.gethostname()})"]
    return [path for path in paths if not Path(path).exists()]
