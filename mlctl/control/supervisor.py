"""The daemon's main loop: one thread per endpoint, wake-ups, and the two ways to end."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mlctl.control.front import Front, can_listen
from mlctl.control.jobs_process import JobsProcess
from mlctl.control.log_rotation import rotate_logs
from mlctl.control.probing import Prober
from mlctl.control.reconciler import Context, EndpointReconciler, compute_routes
from mlctl.control.replica_metrics import serve_metrics
from mlctl.control.routing import RoutingTable
from mlctl.control.wakeup import listen_for_wakeups
from mlctl.errors import BackendUnavailable, GatewayRejected, MlctlError
from mlctl.gateway.envoy import METRICS_SOCKET
from mlctl.gateway.publish import Gateway
from mlctl.planning.routes import EndpointRoutes, name_batch_routes, plan_batch_routes
from mlctl.registry import batch_endpoints, endpoints, events, replicas
from mlctl.registry.credentials import TokenSigner
from mlctl.registry.replicas import ReplicaRow
from mlctl.registry.secrets import open_secret_box
from mlctl.registry.store import Store
from mlctl.runtimes.base import ReplicaHandle
from mlctl.runtimes.process import ProcessRuntime
from mlctl.runtimes.processes import ExitWatcher, ProcessId, is_running, read_start_ticks
from mlctl.settings import JOBS_SOCKET, Settings, choose_run_dir, ensure_private_dir, registry_label
from mlctl.unix_http import HTTPException

log = logging.getLogger(__name__)

POLL_S = 0.5
STOP_GRACE_S = 10.0
REMOVAL_GRACE_S = 1.0
AFTER_FAILURE_S = 1.0
ROTATION_S = 10.0


class Worker:
    """The thread of one endpoint: passes one after the other, woken early when something happens."""

    def __init__(self, endpoint: str, settings: Settings, context: Context) -> None:
        self.endpoint = endpoint
        self._settings = settings
        self._context = context
        self._woken = threading.Event()
        self._is_stopping = False
        self._thread = threading.Thread(target=self._run, name=f"endpoint {endpoint}", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether its endpoint is still there."""
        return self._thread.is_alive()

    def wake(self) -> None:
        """Make the next pass start now."""
        self._woken.set()

    def stop(self) -> None:
        """End after the pass that runs."""
        self._is_stopping = True
        self._woken.set()
        self._thread.join(STOP_GRACE_S)

    def _run(self) -> None:
        try:
            store = Store(self._settings.database)
        except BackendUnavailable as error:
            # The supervisor starts another thread for this endpoint.
            log.error("cannot open the registry", extra={"event": "registry.failed", "reason": error.message})
            return
        with store:
            reconciler = EndpointReconciler(self.endpoint, store, self._context)
            while not self._is_stopping:
                self._woken.clear()
                delay_s = self._pass(reconciler)
                if delay_s is None:
                    return
                self._woken.wait(delay_s)

    def _pass(self, reconciler: EndpointReconciler) -> float | None:
        try:
            return reconciler.reconcile()
        except Exception:
            # Whatever went wrong with this endpoint must not end its thread: it is logged and tried again.
            log.exception("pass failed", extra={"event": "reconcile.failed", "endpoint": self.endpoint})
            return AFTER_FAILURE_S


class Supervisor:
    """Owns what the daemon runs. `run()` returns when the daemon is told to end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store = Store(settings.database)
        self._workers: dict[str, Worker] = {}
        self._signals: list[int] = []
        self._woken = threading.Event()
        self._exits = ExitWatcher()
        self._run_dir = self._prepare_run_dir()
        host, port = self._store.get_meta("gateway_host") or "127.0.0.1", int(self._store.get_meta("gateway_port") or 0)
        self._secret_box = open_secret_box(self._store, settings.secret_key)
        self._gateway = Gateway(
            settings.gateway,
            self._run_dir,
            host,
            port,
            settings.logs / "envoy.log",
            access_log=settings.access_log,
            metrics_port=self._find_metrics_port(),
            jwks=json.dumps(TokenSigner(self._store, self._secret_box).public_keys()),
        )
        self._front = Front(settings, self._gateway, self._exits, host=host, port=port)
        self._jobs = JobsProcess(settings, self._run_dir / JOBS_SOCKET)
        self._batch_routes: dict[str, EndpointRoutes] = {}
        self._runtime = ProcessRuntime(label=registry_label(settings.home), environ=os.environ)
        self._context: Context | None = None
        self._next_rotation_at = 0.0
        self._is_readable = True

    def _prepare_run_dir(self) -> Path:
        """Use the folder that running replicas listen in, else choose one."""
        known = self._store.get_meta("run_dir")
        if known:
            with contextlib.suppress(MlctlError):
                return ensure_private_dir(Path(known))
        chosen = ensure_private_dir(choose_run_dir(self._settings.home, os.environ))
        self._store.set_meta("run_dir", str(chosen))
        return chosen

    def _find_metrics_port(self) -> int | None:
        """Return the port for Prometheus; None when somebody else has it: scoring does not wait for metrics."""
        port = int(self._store.get_meta("metrics_port") or 0)
        envoy = replicas.get_process(self._store, "envoy")
        is_ours = envoy is not None and is_running(ProcessId(envoy.pid, envoy.start_ticks))
        if not port or is_ours or can_listen("127.0.0.1", port):
            return port or None
        log.warning("no metrics, their port is taken", extra={"event": "gateway.no_metrics", "port": port})
        events.record(
            self._store, "gateway.no_metrics", f"port {port} of 127.0.0.1 is taken: no metrics until a restart"
        )
        return None

    def run(self) -> None:
        """Adopt what runs, bring everything to the state the registry asks for, and keep it there."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        self._record("starting")
        events.prune(self._store)
        self._end_strays()
        self._gateway.prepare()
        self._front.ensure(self._store)
        self._jobs.replace_former(self._store)
        self._jobs.ensure(self._store)
        routes = compute_routes(self._store, self._secret_box, self._is_replica_alive)
        self._batch_routes = self._plan_batch()
        routing = RoutingTable(self._gateway, {**routes, **self._batch_routes})
        routing.publish_all()
        self._context = Context(
            settings=self._settings,
            run_dir=self._run_dir,
            runtime=self._runtime,
            routing=routing,
            prober=Prober(self._wake),
            watch_exit=self._watch_exit,
        )
        listen_for_wakeups(self._run_dir / "wake.sock", self._wake)
        serve_metrics(self._run_dir / METRICS_SOCKET, self._settings.database, self._gateway.admin)
        self._record("ready")
        log.info("ready", extra={"event": "daemon.ready"})
        self._loop(self._context)

    def _loop(self, context: Context) -> None:
        while not self._signals:
            self._woken.clear()
            self._look(context)
            self._rotate_logs()
            self._woken.wait(POLL_S)
        self._end()

    def _look(self, context: Context) -> None:
        try:
            found = endpoints.list_endpoints(self._store)
        except BackendUnavailable as error:
            # Damaged, say. What runs is kept running; it may be put right.
            if self._is_readable:
                log.error("cannot read the registry", extra={"event": "registry.failed", "reason": error.message})
            self._is_readable = False
            return
        self._is_readable = True
        for endpoint in found:
            worker = self._workers.get(endpoint.name)
            if worker is None or not worker.is_alive:
                self._workers[endpoint.name] = Worker(endpoint.name, self._settings, context)
            elif endpoint.generation > endpoint.observed_generation:
                # Its wake-up may have been lost.
                worker.wake()

        self._look_at_batch(context)

    def _look_at_batch(self, context: Context) -> None:
        """Route what batch endpoints there are, and let the jobs service run while it is needed."""
        try:
            self._jobs.ensure(self._store)
            wanted = self._plan_batch()
            for name in {*wanted, *self._batch_routes}:
                context.routing.apply(name, wanted.get(name))
            self._batch_routes = wanted
        except (BackendUnavailable, GatewayRejected) as error:
            # Tried again at the next look.
            log.error("cannot serve jobs", extra={"event": "jobs.failed", "reason": error.message})

    def _plan_batch(self) -> dict[str, EndpointRoutes]:
        socket = str(self._run_dir / JOBS_SOCKET)
        names = [row.name for row in batch_endpoints.list_endpoints(self._store)]
        return {name_batch_routes(name): plan_batch_routes(name, socket) for name in names}

    def _rotate_logs(self) -> None:
        if time.monotonic() < self._next_rotation_at:
            return
        self._next_rotation_at = time.monotonic() + ROTATION_S
        with contextlib.suppress(OSError, HTTPException):
            rotate_logs(self._settings, self._gateway.admin.reopen_logs)

    def _wake(self, endpoint: str) -> None:
        worker = self._workers.get(endpoint)
        if worker is not None and worker.is_alive:
            worker.wake()
        else:
            self._woken.set()

    def _watch_exit(self, handle: ReplicaHandle, endpoint: str) -> None:
        self._exits.watch(ProcessId(handle.pid, handle.start_ticks), lambda: self._wake(endpoint))

    def _on_signal(self, number: int, _frame: object) -> None:
        self._signals.append(number)
        self._woken.set()

    def _is_replica_alive(self, replica: ReplicaRow) -> bool:
        handle = self._handle(replica)
        return handle is not None and self._runtime.is_alive(handle)

    @staticmethod
    def _handle(replica: ReplicaRow) -> ReplicaHandle | None:
        if replica.pid is None or replica.start_ticks is None:
            return None
        return ReplicaHandle(replica.id, replica.pid, replica.start_ticks)

    def _end_strays(self) -> None:
        """End replicas of this registry that no row knows: those of a registry that was put back from a copy."""
        known = {replica.pid for replica in replicas.list_replicas(self._store)}
        nameless = {replica.id for replica in replicas.list_replicas(self._store) if replica.pid is None}
        adopted = {handle.pid for name in nameless if (handle := self._runtime.find(name))}
        for handle in self._runtime.find_all():
            if handle.pid not in known | adopted:
                log.warning("ended a stray replica", extra={"event": "replica.stray", "pid": handle.pid})
                self._runtime.kill(handle)

    def _record(self, state: str, message: str = "") -> None:
        pid = os.getpid()
        replicas.put_process(
            self._store, "daemon", pid=pid, start_ticks=read_start_ticks(pid) or 0, state=state, message=message
        )

    def record_failure(self, message: str) -> None:
        """Leave word for the command that waits for this daemon."""
        with contextlib.suppress(MlctlError):
            self._record("failed", message)
        # Not empty: replicas serve on in it.
        with contextlib.suppress(OSError):
            self._run_dir.rmdir()

    # Ends

    def _end(self) -> None:
        for worker in self._workers.values():
            worker.stop()
        self._end_or_hand_over()
        # Closed while the command that waits has it open still: the last to close it leaves one whole file.
        self._store.close()

    def _end_or_hand_over(self) -> None:
        if self._signals[0] == signal.SIGHUP:
            # The jobs service goes on, too, until the next daemon's takes over.
            log.info("leaving everything running", extra={"event": "daemon.handover"})
            self._record("stopped")
            return
        log.info("stopping everything", extra={"event": "daemon.stop"})
        self._jobs.stop(wait_until=_wait_until)
        self._stop_replicas()
        self._front.stop(wait_until=_wait_until)
        _wait_until(self._remove_run_dir, REMOVAL_GRACE_S)
        self._record("stopped")

    def _remove_run_dir(self) -> bool:
        """Remove the folder of sockets; False: something that is still ending has just put a file there."""
        shutil.rmtree(self._run_dir, ignore_errors=True)
        return not self._run_dir.exists()

    def _stop_replicas(self) -> None:
        rows = replicas.list_replicas(self._store)
        handles = [handle for row in rows if (handle := self._handle(row) or self._runtime.find(row.id))]
        for handle in handles:
            self._runtime.request_stop(handle)
        _wait_until(lambda: not any(self._runtime.is_alive(handle) for handle in handles), STOP_GRACE_S)
        for handle in handles:
            self._runtime.kill(handle)
        for row in rows:
            replicas.remove_replica(self._store, row.id)


def _wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
