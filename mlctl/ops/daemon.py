"""The daemon as commands see it: started when needed, stopped, replaced, looked at."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlctl.errors import BackendUnavailable, NotFound, TimedOut
from mlctl.ops.session import Session
from mlctl.registry import deployments, endpoints, replicas, schedules
from mlctl.registry.replicas import ReplicaRow
from mlctl.runtimes.processes import ProcessId, is_running, kill_session, send_signal, spawn

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 60.0
# The daemon hands a part of this on to replicas; see `runtimes.process`.
WITHHELD = ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV")


@dataclass(frozen=True)
class DaemonStatus:
    """How the daemon is.

    state: running, starting, stopped. started_at: epoch seconds. gateway: its URL; gateway_pid None when down. metrics:
    for Prometheus, None for none. replicas: those that run.
    """

    state: str
    pid: int | None
    started_at: float | None
    gateway: str
    gateway_pid: int | None
    metrics: str | None
    home: str
    endpoints: int
    replicas: int
    memory_bytes: int


def ensure_running(session: Session) -> bool:
    """Start the daemon unless it runs, and wait until it is ready; True when it had to be started.

    BackendUnavailable tells why it does not come up (its port is taken, the disk is full).
    """
    deadline = time.monotonic() + START_TIMEOUT_S
    spawned: list[ProcessId] = []
    while time.monotonic() < deadline:
        row = replicas.get_process(session.store, "daemon")
        is_alive = row is not None and is_running(ProcessId(row.pid, row.start_ticks))
        if row is not None and is_alive and row.state == "ready":
            return bool(spawned)
        if not is_alive and not (spawned and is_running(spawned[-1])):
            if spawned and row is not None and row.state == "failed" and row.pid == spawned[-1].pid:
                message, _, hint = row.message.partition("\n")
                raise BackendUnavailable(message, hint=hint)
            if len(spawned) >= 3:
                break
            spawned.append(_spawn(session))
        time.sleep(0.01)
    # On a full disk it cannot even leave word.
    session.store.require_room()
    raise BackendUnavailable(
        f"the daemon does not come up{_last_words(session)}", hint=f"tail {session.settings.logs / 'daemon.log'}"
    )


def launch(session: Session) -> None:
    """Start the daemon unless it runs, and do not wait for it; whoever needs it finds out what became of it."""
    # In one transaction: two commands at once start one daemon, and one that stops it finds it.
    with session.store.transaction():
        if _running(session) is None:
            process = _spawn(session)
            replicas.put_process(
                session.store, "daemon", pid=process.pid, start_ticks=process.start_ticks, state="starting"
            )


def _spawn(session: Session) -> ProcessId:
    settings = session.settings
    environ = {key: value for key, value in session.environ.items() if key not in WITHHELD}
    try:
        return spawn(
            [sys.executable, "-P", "-m", "mlctl.control", "--home", str(settings.home)],
            env=environ,
            cwd=settings.home,
            log_file=_stderr_file(session),
        )
    except OSError as error:
        raise BackendUnavailable(f"cannot start the daemon: {error}", hint=f"df -h {settings.home}") from error


def _stderr_file(session: Session) -> Path:
    return session.settings.logs / "daemon.stderr.log"


def _last_words(session: Session) -> str:
    with contextlib.suppress(OSError):
        lines = _stderr_file(session).read_text(errors="replace").splitlines()
        if lines:
            return f": {lines[-1]}"
    return ""


def wake(session: Session, endpoint: str) -> None:
    """Tell the daemon to look at an endpoint now; when the message is lost it looks half a second later."""
    run_dir = session.store.get_meta("run_dir")
    if run_dir is None:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.setblocking(False)
        sender.sendto(endpoint.encode(), str(Path(run_dir) / "wake.sock"))


def is_alive(replica: ReplicaRow) -> bool:
    """Say whether a replica's process runs; its row may be older than its death."""
    if replica.pid is None or replica.start_ticks is None:
        return False
    return is_running(ProcessId(replica.pid, replica.start_ticks))


def warn_if_stopped(session: Session) -> None:
    """Tell that what the registry says is not what runs: the daemon does not, though it has replicas to keep."""
    if _running(session) is not None:
        return
    if schedules.has_any(session.store):
        session.on_notice("the daemon is not running: no schedule runs. Start it: mlctl daemon start")
    if not deployments.has_any(session.store):
        return
    envoy = replicas.get_process(session.store, "envoy")
    is_envoy_alive = envoy is not None and is_running(ProcessId(envoy.pid, envoy.start_ticks))
    what = "what is up serves on, nothing keeps it up" if is_envoy_alive else "nothing is served"
    session.on_notice(f"the daemon is not running: {what}. Start it: mlctl daemon start")


def start(session: Session) -> DaemonStatus:
    """Start the daemon unless it runs."""
    ensure_running(session)
    return get_status(session)


def stop(session: Session) -> None:
    """End the daemon and all it started: replicas finish their requests, then Envoy ends."""
    if _running(session) is None:
        if not _left_behind(session):
            return
        # It was killed: only a daemon knows how to end what it left.
        ensure_running(session)
    _signal(session, signal.SIGTERM)


def restart(session: Session) -> DaemonStatus:
    """Replace the daemon; replicas and Envoy go on serving."""
    if _running(session) is not None:
        _signal(session, signal.SIGHUP)
    return start(session)


def _running(session: Session) -> ProcessId | None:
    row = replicas.get_process(session.store, "daemon")
    if row is None:
        return None
    process = ProcessId(row.pid, row.start_ticks)
    return process if is_running(process) else None


def _left_behind(session: Session) -> bool:
    envoy = replicas.get_process(session.store, "envoy")
    is_envoy_alive = envoy is not None and is_running(ProcessId(envoy.pid, envoy.start_ticks))
    return is_envoy_alive or bool(replicas.list_replicas(session.store))


def _signal(session: Session, number: signal.Signals) -> None:
    process = _running(session)
    if process is None:
        return
    send_signal(process, number)
    if not _wait_until(lambda: not is_running(process), STOP_TIMEOUT_S):
        kill_session(process)
        raise TimedOut(f"the daemon did not end in {STOP_TIMEOUT_S:.0f} s and was killed", hint="mlctl daemon stop")


def _wait_until(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def get_status(session: Session) -> DaemonStatus:
    """Return how the daemon is."""
    process = _running(session)
    row = replicas.get_process(session.store, "daemon")
    envoy = replicas.get_process(session.store, "envoy")
    is_envoy_alive = envoy is not None and is_running(ProcessId(envoy.pid, envoy.start_ticks))
    return DaemonStatus(
        state="stopped" if process is None or row is None else {"ready": "running"}.get(row.state, row.state),
        pid=process.pid if process else None,
        started_at=row.started_at if row and process else None,
        gateway=f"http://{session.gateway_address}",
        gateway_pid=envoy.pid if envoy and is_envoy_alive else None,
        metrics=_metrics_url(session),
        home=str(session.settings.home),
        endpoints=len(endpoints.list_endpoints(session.store)),
        replicas=sum(is_alive(replica) for replica in replicas.list_replicas(session.store)),
        memory_bytes=_memory(process.pid) if process else 0,
    )


def _metrics_url(session: Session) -> str | None:
    port = session.store.get_meta("metrics_port")
    return f"http://127.0.0.1:{port}/metrics" if port and port != "0" else None


def _memory(pid: int) -> int:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def read_log(session: Session, lines: int) -> str:
    """Return the last lines of the daemon's log; NotFound before its first start."""
    path = session.settings.logs / "daemon.log"
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        raise NotFound("the daemon has not written a log yet", hint="mlctl daemon start") from error
