"""azmlinfsrv, the HTTP server inside Azure's inference images, in a venv of its own below `.bench/`."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from benchmarks.http_client import ask_once
from benchmarks.local_mlctl import find_free_port
from benchmarks.outcome import BenchmarkFailed
from mlctl.runtimes.process import PASSED_ON
from mlctl.runtimes.processes import ProcessId, is_running, kill_session, send_signal, spawn

VENV = Path(__file__).parents[1] / ".bench" / "azmlinfsrv"
SERVER = "azureml-inference-server-http==1.5.1"
# As in mlctl's venv, so that the same model does the same work. pydantic is not among them: azmlinfsrv 1.5.1 demands
# pydantic ~=2.12.0.
SAME = ("scikit-learn", "numpy", "scipy", "joblib", "threadpoolctl")
INSTALL_TIMEOUT_S = 600
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 10
# Its command line knows no address and listens on all of them: the constant is set before anything reads it.
_LAUNCHER = """
from azureml_inference_server_http import constants
constants.DEFAULT_HOST = "127.0.0.1"
from azureml_inference_server_http.amlserver import run
run()
"""


def ensure_venv() -> Path:
    """Return the interpreter of the peer's venv, made on first use and whenever the versions have changed."""
    python, marker = VENV / "bin" / "python", VENV / ".ready"
    try:
        wanted = [SERVER, *(f"{name}=={metadata.version(name)}" for name in SAME)]
    except metadata.PackageNotFoundError as error:
        raise BenchmarkFailed(f"{error.name} is not installed beside mlctl: make setup") from error
    if marker.exists() and marker.read_text().split() == wanted:
        return python
    shutil.rmtree(VENV, ignore_errors=True)
    print(f"making {VENV} with {' '.join(wanted)}", flush=True)
    _install([sys.executable, "-m", "venv", str(VENV)])
    _install([str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted])
    marker.write_text("\n".join(wanted))
    return python


def _install(words: list[str]) -> None:
    ended = subprocess.run(words, timeout=INSTALL_TIMEOUT_S, capture_output=True, text=True, check=False)
    if ended.returncode != 0:
        last = (ended.stderr or ended.stdout).rstrip().rsplit("\n", 1)[-1]
        raise BenchmarkFailed(f"{last}\ntry it by hand: {' '.join(words)}")


@dataclass(frozen=True)
class Azmlinfsrv:
    """A server that runs: the leader of its session, and its port on the loopback address."""

    process: ProcessId
    port: int


@contextmanager
def run_azmlinfsrv(script: Path, model_dir: Path, folder: Path) -> Generator[Azmlinfsrv]:
    """Serve a script with one worker. folder: takes the server's log."""
    python, port, log_file = ensure_venv(), find_free_port(), folder / "azmlinfsrv.log"
    words = ["--entry_script", script.name, "--model_dir", str(model_dir), "--port", str(port), "--worker_count", "1"]
    # The same of the environment as a replica of mlctl gets.
    environ = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environ |= {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "AML_APP_ROOT": str(script.parent)}
    server = spawn([str(python), "-c", _LAUNCHER, *words], env=environ, cwd=script.parent, log_file=log_file)
    try:
        _wait_until_ready(server, port, log_file)
        yield Azmlinfsrv(server, port)
    finally:
        _end(server)


def _wait_until_ready(server: ProcessId, port: int, log_file: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and is_running(server):
        try:
            ask_once(("127.0.0.1", port), b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return
        except (OSError, BenchmarkFailed):
            time.sleep(0.1)
    tail = "\n".join(log_file.read_text(errors="replace").splitlines()[-5:])
    raise BenchmarkFailed(f"azmlinfsrv does not come up:\n{tail}")


def _end(server: ProcessId) -> None:
    send_signal(server, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while is_running(server) and time.monotonic() < deadline:
        time.sleep(0.05)
    kill_session(server)
