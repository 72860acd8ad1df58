"""The worker processes of a job on this machine: started, fed, timed, killed and replaced. Used by `leases`.

The other end is `mlctl.scoring.batch`, in the model's environment; `messages` there describes the lines.
"""

from __future__ import annotations

import errno
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.batch.folder import NODE, JobFolder
from mlctl.batch.inputs import MiniBatch
from mlctl.batch.metrics import make_tracking_variables
from mlctl.batch.order import JobOrder
from mlctl.batch.stamps import stamp
from mlctl.runtimes.environments import find_environment, start_words
from mlctl.runtimes.process import PASSED_ON

# Reading a block of rows, or a start, may take as long as that; Azure: task_overhead_timeout, and 3 times the timeout.
OVERHEAD_S = 600.0
_START_OVERHEAD_S = 30
_STOP_WITHIN_S = 30
_LONGEST_LINE = 64 << 20
_REPLIES_TOGETHER_S = 0.01
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "ORT_NUM_THREADS")


class WorkerLost(Exception):
    """The process ended, or was killed because it took too long. status: Azure's word for it. took_s: the call."""

    def __init__(self, message: str, *, status: str, took_s: float = 0.0) -> None:
        super().__init__(message)
        self.status = status
        self.took_s = took_s


class Dismissed(Exception):
    """The worker was ended for good, by another thread: the job stops."""


class StartFailed(Exception):
    """The script could not be imported, or its init() failed. trace: the script's part of the traceback."""

    def __init__(self, message: str, trace: str = "") -> None:
        super().__init__(message)
        self.trace = trace


@dataclass(frozen=True)
class WorkerPlan:
    """How the workers of a job are started. It can be sent to another machine that sees the same files."""

    order: JobOrder
    folder: JobFolder

    def write_order(self, number: int) -> Path:
        """Write what a worker is told, and return the file."""
        order, folder = self.order, self.folder
        fields = {
            "app_root": order.app_root,
            "entry_script": order.entry_script,
            "model_dir": order.model_dir,
            "no_code": order.no_code,
            "mode": order.input.mode,
            "input_key": order.input.input_key,
            "keeps_rows": order.output.action == "append_row",
            "format": order.output.format,
            "with_input": order.output.with_input,
            "parts": str(folder.parts),
            "name": name_process(number),
            "logs": str(folder.user_logs),
            "life_log": str(folder.find_life(name_process(number), of_itself=True)),
            "output_folder": order.output.folder,
            "logging_level": order.logging_level,
            "arguments": order.arguments,
        }
        file = folder.system_logs / f"{name_process(number)}.json"
        file.write_text(json.dumps(fields), encoding="utf-8")
        return file

    def words(self, number: int, descriptor: int) -> list[str]:
        """Return the command line of a worker."""
        start = start_words(Path(self.order.python), "mlctl.scoring.batch")
        return [*start, "--fd", str(descriptor), "--order", str(self.write_order(number)), "--job", self.order.name]

    def environment(self, number: int, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the variables of a worker: a clean environment, Azure's names, the deployment's own."""
        order, python = self.order, Path(self.order.python)
        script = Path(order.entry_script)
        threads = max(1, (os.cpu_count() or 1) // order.workers)
        own = {
            "AML_APP_ROOT": str(Path(order.app_root) / script.parent),
            "AZUREML_ENTRY_SCRIPT": script.name,
            "AZUREML_BI_OUTPUT_PATH": order.output.folder,
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            # So that the workers do not fight each other for the processors.
            **{name: str(threads) for name in _THREADS},
        }
        if find_environment(python) is not None:
            own["PATH"] = f"{python.parent}{os.pathsep}{environ.get('PATH', os.defpath)}"
        if order.model_dir is not None:
            own["AZUREML_MODEL_DIR"] = order.model_dir
        passed_on = {key: environ[key] for key in PASSED_ON if key in environ}
        return {**passed_on, **own, **make_tracking_variables(self.folder), **order.environment_variables}


def name_process(number: int) -> str:
    """Name a worker as Azure does: `process001`."""
    return f"process{number:03d}"


class Child:
    """One worker at a time, under a number; a lost one is replaced when it is needed next.

    starter: has one thread that lives as long as the job. The system ends a worker with the thread that started it.
    """

    def __init__(self, number: int, plan: WorkerPlan, starter: Executor) -> None:
        self.number = number
        self.mini_batch: int | None = None
        self.pid: int | None = None
        self.is_ready = False
        self._plan = plan
        self._starter = starter
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._buffer = b""
        self._since = time.monotonic()
        # Guards the process: a job that stops ends workers that other threads wait for.
        self._lock = threading.Lock()
        self._is_dismissed = False

    @property
    def job(self) -> str:
        """The name of the job that the worker is for."""
        return self._plan.order.name

    @property
    def is_running(self) -> bool:
        """Whether there is a worker that is ready."""
        return self._process is not None

    def start(self) -> None:
        """Start a worker and wait until its init() is done; raises StartFailed, Dismissed."""
        ours, theirs = socket.socketpair()
        try:
            self._adopt(self._starter.submit(self._spawn, theirs).result(), ours)
        except OSError as error:
            ours.close()
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise StartFailed(f"cannot start {self._plan.order.python}: {error}") from error
        finally:
            theirs.close()
        limit_s = 3 * self._plan.order.timeout_s + _START_OVERHEAD_S
        self._note(f"started as process {self.pid}")
        try:
            message = self._read(time.monotonic() + limit_s, f"init() took longer than {limit_s:g} s")
        except WorkerLost as lost:
            raise StartFailed(str(lost) if lost.status == "RUN_TIMEOUT" else f"{lost} before init() was done") from lost
        if "failed" in message:
            self.kill()
            what = "init()" if message["failed"] == "init" else f"importing {self._plan.order.entry_script}"
            self._note(f"{what} failed: {message['message']}")
            raise StartFailed(f"{what} failed: {message['message']}", message["trace"])
        self.is_ready = True
        self._note("init() is done, ready for mini-batches")

    def _adopt(self, process: subprocess.Popen[bytes], ours: socket.socket) -> None:
        with self._lock:
            self._process, self._socket, self._buffer, self.pid = process, ours, b"", process.pid
            is_dismissed = self._is_dismissed
        if is_dismissed:
            self.kill()
            raise Dismissed

    def _spawn(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        logs = self._plan.folder.user_logs
        name = name_process(self.number)
        files: list[int] = []
        for stream in ("stdout", "stderr"):
            file = logs / stream / NODE / f"{name}.{stream}.txt"
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            files.append(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600))
        try:
            return subprocess.Popen(
                self._plan.words(self.number, theirs.fileno()),
                stdin=subprocess.DEVNULL,
                stdout=files[0],
                stderr=files[1],
                env=self._plan.environment(self.number, os.environ),
                cwd=self._plan.folder.path,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                umask=0o077,
            )
        finally:
            for descriptor in files:
                os.close(descriptor)

    def run(self, lease: Sequence[MiniBatch]) -> Iterator[dict[str, Any]]:
        """Have mini-batches run and yield the reply to each, in order; raises WorkerLost at the one it stopped at.

        Each has `timeout_s` from the reply before it; reading a block of rows is not counted.
        """
        order, began = self._plan.order, time.monotonic()
        self._since = began
        self._send({"do": "run", "lease": lease})
        for number, mini_batch in enumerate(lease):
            self.mini_batch = mini_batch["index"]
            if number and not self._buffer:
                # To be woken for each reply costs more than to read it: let some come together.
                each_s = (time.monotonic() - began) / number
                time.sleep(min(_REPLIES_TOGETHER_S, each_s * (len(lease) - number) / 2))
            late = f"run() took longer than {order.timeout_s:g} s"
            reply = self._read(time.monotonic() + order.timeout_s, late)
            while "loading" in reply:
                if reply["loading"]:
                    text = f"reading the rows took longer than {OVERHEAD_S:g} s"
                    reply = self._read(time.monotonic() + OVERHEAD_S, text, "LOAD_TIMEOUT")
                else:
                    reply = self._read(time.monotonic() + order.timeout_s, late)
            self._since = time.monotonic()
            yield reply
        self.mini_batch = None

    def _send(self, message: Any) -> None:
        connection = self._connection()
        try:
            connection.settimeout(OVERHEAD_S)
            connection.sendall(json.dumps(message, separators=(",", ":")).encode() + b"\n")
        except OSError as error:
            raise self._lose() from error

    def _connection(self) -> socket.socket:
        found = self._socket
        if found is None:
            raise self._lose()
        return found

    def _read(self, deadline: float, late: str, status: str = "RUN_TIMEOUT") -> dict[str, Any]:
        """Return the next line; WorkerLost when the worker ends, or has not written it by the deadline."""
        connection = self._connection()
        while (end := self._buffer.find(b"\n")) < 0:
            left = deadline - time.monotonic()
            if left <= 0:
                self._note(f"{late}: killed")
                self.kill()
                raise WorkerLost(late, status=status, took_s=time.monotonic() - self._since)
            try:
                connection.settimeout(left)
                data = connection.recv(1 << 16)
            except TimeoutError:
                continue
            except OSError:
                data = b""
            if not data or len(self._buffer) > _LONGEST_LINE:
                raise self._lose()
            self._buffer += data
        line, self._buffer = self._buffer[:end], self._buffer[end + 1 :]
        return json.loads(line)

    def _lose(self) -> Exception:
        """Reap a worker that ended, and say how."""
        process = self._process
        if self._is_dismissed or process is None:
            self.kill()
            return Dismissed()
        try:
            process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            process.kill()
        self.kill()
        ending = _describe_exit(process.returncode)
        self._note(f"{process.pid} {ending}")
        return WorkerLost(f"the worker {ending}", status="RUN_EXCEPTION", took_s=time.monotonic() - self._since)

    def _note(self, text: str) -> None:
        """Write down what happened to the worker."""
        file = self._plan.folder.find_life(name_process(self.number))
        with suppress(OSError):  # a log that cannot be written changes no result
            file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with file.open("a", encoding="utf-8") as opened:
                opened.write(f"{stamp()} {text}\n")

    def kill(self) -> None:
        """End the worker and all that it started, at once."""
        with self._lock:
            process, self._process = self._process, None
            connection, self._socket = self._socket, None
            self.mini_batch = self.pid = None
            self.is_ready = False
        if process is not None:
            for end in (lambda: os.killpg(process.pid, signal.SIGKILL), process.kill):
                try:
                    end()
                except OSError:
                    continue
            process.wait()
        if connection is not None:
            connection.close()

    def dismiss(self) -> None:
        """End the worker at once and for good, from any thread: who uses it gets Dismissed."""
        with self._lock:
            self._is_dismissed = True
        self.kill()

    def stop(self) -> None:
        """Let the worker call shutdown() and end."""
        process = self._process
        if process is None or self._socket is None:
            return
        try:
            self._send({"do": "stop"})
            process.wait(timeout=_STOP_WITHIN_S)
            self._note(f"stopped, {_describe_exit(process.returncode)}")
        except subprocess.TimeoutExpired:
            self._note(f"shutdown() took longer than {_STOP_WITHIN_S} s: killed")
        except (WorkerLost, Dismissed):
            pass
        self.kill()


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    return f"was ended by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")
