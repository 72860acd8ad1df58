"""Replicas as processes of this machine, each on a Unix socket that only this user can reach."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlctl.errors import BackendUnavailable
from mlctl.runtimes.base import ReplicaHandle, ReplicaOrder
from mlctl.runtimes.collection import collection_file, write_collection
from mlctl.runtimes.environments import find_environment, start_words
from mlctl.runtimes.processes import (
    ProcessId,
    describe_exit,
    find_spawned,
    is_running,
    kill_session,
    run_quietly,
    send_signal,
    spawn,
)

BACKLOG = 2048
# What a replica may see of the environment that the daemon was started in.
PASSED_ON = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CUDA_VISIBLE_DEVICES"),
    *("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"),
)


class ProcessRuntime:
    """Starts `mlctl.scoring` on a socket that was bound here."""

    def __init__(self, *, label: str, environ: Mapping[str, str]) -> None:
        self._label = label
        self._environ = {key: environ[key] for key in PASSED_ON if key in environ}

    def start(self, order: ReplicaOrder) -> ReplicaHandle:
        """Bind the order's sockets, over older ones if need be, and start a replica on them."""
        listeners: list[socket.socket] = []
        try:
            listeners += [_listen(path) for path in order.sockets]
            descriptors = [listener.fileno() for listener in listeners]
            order.work_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
            started = spawn(
                self._arguments(order, descriptors),
                env=self._environment(order),
                cwd=order.work_dir,
                log_file=order.log_file,
                pass_fds=descriptors,
            )
        except OSError as error:
            raise BackendUnavailable(f"cannot start a replica of {order.deployment}: {error}") from error
        finally:
            # Not kept here: when the replica dies, connecting must fail at once, so that Envoy tries another.
            for listener in listeners:
                listener.close()
        return ReplicaHandle(order.id, started.pid, started.start_ticks)

    def _arguments(self, order: ReplicaOrder, descriptors: Sequence[int]) -> list[str]:
        words: list[str] = [
            *(() if order.has_network else isolation_prefix()),
            *(*start_words(order.python), *[f"--fd={descriptor}" for descriptor in descriptors]),
            *("--registry", self._label, "--replica", order.id),
            *("--endpoint", order.endpoint, "--deployment", order.deployment),
            *("--max-concurrent", str(order.max_concurrent), "--max-queue-wait-ms", str(order.max_queue_wait_ms)),
            *("--run-threads", str(order.run_threads), "--failure-file", str(order.failure_file)),
        ]
        if len(descriptors) > 1:
            words += [f"--socket={path}" for path in order.sockets]
        if order.collection is not None:
            file = collection_file(order.failure_file, order.id)
            write_collection(file, order.collection)
            words += ["--collection", str(file)]
        if order.micro_batching is not None:
            max_rows, max_wait_ms, input_key = order.micro_batching
            words += ["--batch-max-rows", str(max_rows), "--batch-max-wait-ms", str(max_wait_ms)]
            words += [f"--batch-input-key={input_key}"]
        words += ["--request-schema", order.request_schema, *(("--no-code", order.no_code) if order.no_code else ())]
        return [*words, "--azure-exact"] if order.is_azure_exact else words

    def _environment(self, order: ReplicaOrder) -> dict[str, str]:
        script = Path(order.entry_script) if order.entry_script else None
        own = {
            "AML_APP_ROOT": str(order.app_root / script.parent if script else order.app_root),
            **({"AZUREML_ENTRY_SCRIPT": script.name} if script else {}),
            # The code lies in a copy kept by its content: nothing is written there.
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        }
        if find_environment(order.python) is not None:
            own["PATH"] = f"{order.python.parent}{os.pathsep}{self._environ.get('PATH', os.defpath)}"
        if order.model_dir is not None:
            own["AZUREML_MODEL_DIR"] = str(order.model_dir)
        return {**self._environ, **own, **order.environment_variables}

    def is_alive(self, handle: ReplicaHandle) -> bool:
        """Say whether the replica's process runs."""
        return is_running(ProcessId(handle.pid, handle.start_ticks))

    def request_stop(self, handle: ReplicaHandle) -> None:
        """Send SIGTERM: the scoring server finishes what it has and ends."""
        send_signal(ProcessId(handle.pid, handle.start_ticks), signal.SIGTERM)

    def kill(self, handle: ReplicaHandle) -> None:
        """Kill the replica's whole session."""
        kill_session(ProcessId(handle.pid, handle.start_ticks))

    def describe_exit(self, handle: ReplicaHandle) -> str:
        """Tell the exit code or the signal, of replicas that this process started."""
        return describe_exit(handle.pid)

    def find(self, replica: str) -> ReplicaHandle | None:
        """Find a replica of this registry by the id in its arguments."""
        found = find_spawned("mlctl.scoring", self._label, replica)
        return ReplicaHandle(replica, found[0].pid, found[0].start_ticks) if found else None

    def find_all(self) -> list[ReplicaHandle]:
        """Find all replicas of this registry that run, known or not."""
        return [ReplicaHandle("", found.pid, found.start_ticks) for found in find_spawned("mlctl.scoring", self._label)]


def isolation_prefix() -> tuple[str, ...]:
    """Return what starts a program in a network namespace of its own, in which there is nothing to reach."""
    if os.geteuid() == 0:
        return ("unshare", "--net", "--")
    # Who is not root may do so as root of a user namespace of its own, where the system allows that.
    return ("unshare", "--map-root-user", "--net", "--")


def can_isolate_network(environ: Mapping[str, str]) -> bool:
    """Say whether a replica without network can be started here, by trying it."""
    path = environ.get("PATH", os.defpath)
    if shutil.which("unshare", path=path) is None:
        return False
    return run_quietly([*isolation_prefix(), "true"], env={"PATH": path}) == 0


def _listen(path: Path) -> socket.socket:
    """Bind and listen beside `path`, then rename over it: at no moment is there no socket."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    # What a master put aside that has died.
    path.with_name(f"{path.name}.away").unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(str(draft))
        draft.chmod(0o600)
        listener.listen(BACKLOG)
        draft.rename(path)
    except OSError as error:
        listener.close()
        draft.unlink(missing_ok=True)
        raise BackendUnavailable(f"cannot listen on {path}: {error.strerror}", hint=f"ls -ld {path.parent}") from error
    return listener
