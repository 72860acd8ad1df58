"""Keeps Envoy alive: adopts the one that runs, starts it anew the moment it ends. Used by `supervisor`."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

from mlctl.errors import BackendUnavailable
from mlctl.gateway.publish import Gateway
from mlctl.registry import events, replicas
from mlctl.registry.store import Store
from mlctl.runtimes.processes import (
    ExitWatcher,
    ProcessId,
    find_labelled,
    is_running,
    kill_session,
    send_signal,
    spawn,
)
from mlctl.settings import Settings

log = logging.getLogger(__name__)

START_TIMEOUT_S = 10.0
QUICK_DEATH_S = 2.0


def can_listen(host: str, port: int) -> bool:
    """Say whether nobody else listens there."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


class Front:
    """The gateway's process."""

    def __init__(self, settings: Settings, gateway: Gateway, exits: ExitWatcher, *, host: str, port: int) -> None:
        self._settings = settings
        self._gateway = gateway
        self._exits = exits
        self._address = (host, port)
        self._process: ProcessId | None = None
        self._is_stopping = False
        self._lock = threading.Lock()

    @property
    def log_file(self) -> Path:
        """Envoy's own log."""
        return self._settings.logs / "envoy.log"

    def ensure(self, store: Store) -> None:
        """Adopt the running Envoy or start one; BackendUnavailable when its port is taken or it does not answer."""
        known = replicas.get_process(store, "envoy")
        if known is not None and is_running(ProcessId(known.pid, known.start_ticks)):
            self._adopt(ProcessId(known.pid, known.start_ticks))
        else:
            for stray in self._find():
                kill_session(stray)
            self._refuse_taken_port()
            self._record(store, self._spawn())
        self._wait_until_ready()

    def _find(self) -> list[ProcessId]:
        return find_labelled(*self._gateway.command()[:3])

    def _adopt(self, process: ProcessId) -> None:
        self._process = process
        self._exits.watch(process, self._on_exit)
        log.info("adopted envoy", extra={"event": "gateway.adopted", "pid": process.pid})

    def _refuse_taken_port(self) -> None:
        host, port = self._address
        if not can_listen(host, port):
            raise BackendUnavailable(
                f"port {port} of {host}, the gateway's address in this registry, is in use by another program",
                hint=f"find it: ss -ltnp 'sport = :{port}'; scoring URIs hold this port, so it is never changed",
            )

    def _spawn(self) -> ProcessId:
        environ = {key: os.environ[key] for key in ("PATH", "HOME", "TZ") if key in os.environ}
        process = spawn(self._gateway.command(), env=environ, cwd=self._settings.gateway, log_file=self.log_file)
        self._process = process
        self._exits.watch(process, self._on_exit)
        return process

    def _record(self, store: Store, process: ProcessId) -> None:
        with store.transaction():
            replicas.put_process(store, "envoy", pid=process.pid, start_ticks=process.start_ticks, state="ready")
            events.record(store, "gateway.started", "Envoy started", pid=process.pid)

    def _on_exit(self) -> None:
        # On a thread of its own: the watcher has other processes to watch.
        threading.Thread(target=self._restart, name="envoy", daemon=True).start()

    def _restart(self) -> None:
        process: ProcessId | None = None
        while process is None and not self._is_stopping:
            started = time.monotonic()
            log.warning("envoy ended, starting it again", extra={"event": "gateway.exited"})
            try:
                self._refuse_taken_port()
                process = self._spawn()
            except (OSError, BackendUnavailable) as error:
                log.error("cannot start envoy", extra={"event": "gateway.failed", "reason": str(error)})
                time.sleep(max(0.0, QUICK_DEATH_S - (time.monotonic() - started)))
        # Serving does not wait for the registry, whose disk may be full.
        while process is not None and self._process == process and not self._try_to_record(process):
            time.sleep(QUICK_DEATH_S)

    def _try_to_record(self, process: ProcessId) -> bool:
        try:
            with Store(self._settings.database) as store:
                self._record(store, process)
        except BackendUnavailable as error:
            log.error("cannot write down envoy", extra={"event": "gateway.failed", "reason": error.message})
            return False
        return True

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._gateway.is_ready():
            if time.monotonic() > deadline:
                raise BackendUnavailable(
                    f"Envoy did not come up in {START_TIMEOUT_S:.0f} s: {self._last_words()}",
                    hint=f"tail {self.log_file}",
                )
            time.sleep(0.005)

    def _last_words(self) -> str:
        try:
            lines = self.log_file.read_text(errors="replace").splitlines()
        except OSError:
            return "it wrote no log"
        return lines[-1] if lines else "its log is empty"

    def stop(self, *, wait_until: Callable[[Callable[[], bool], float], bool]) -> None:
        """End Envoy for good."""
        self._is_stopping = True
        process = self._process
        if process is None:
            return
        send_signal(process, signal.SIGTERM)
        if not wait_until(lambda: not is_running(process), 5.0):
            kill_session(process)
