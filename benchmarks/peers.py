"""Peers in venvs of their own below `.bench/`, and azmlinfsrv, the HTTP server inside Azure's inference images."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from benchmarks.http_client import ask_once
from benchmarks.local_mlctl import find_free_port
from benchmarks.outcome import BenchmarkFailed
from mlctl.runtimes.process import PASSED_ON
from mlctl.runtimes.processes import ProcessId, is_running, kill_session, send_signal, spawn

ROOT = Path(__file__).parents[1] / ".bench"
SERVER = "azureml-inference-server-http==1.5.1"
_NAMES = {SERVER: "azmlinfsrv"}
# As in mlctl's venv, so that the same model does the same work. pydantic is not among them: azmlinfsrv 1.5.1 demands
# pydantic ~=2.12.0.
SAME = ("scikit-learn", "numpy", "scipy", "joblib", "threadpoolctl")
INSTALL_TIMEOUT_S = 600
START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 10
# Its command line knows no address and listens on all of them: the constant is set before anything reads it.
LAUNCHER = """
from azureml_inference_server_http import constants
constants.DEFAULT_HOST = "127.0.0.1"
from azureml_inference_server_http.amlserver import run
run()
"""


def ensure_venv(server: str = SERVER, *, same: Sequence[str] = SAME, name: str | None = None) -> Path:
    """Return the interpreter of a peer's venv, made on first use and whenever the versions have changed.

    server: what is installed, as `name==version`. same: packages that it gets in the versions of mlctl's own venv.
    name: of the venv's folder, where the server's own is another's.
    """
    venv = ROOT / (name or _NAMES.get(server, re.split(r"[\[=]", server)[0]))
    python, marker = venv / "bin" / "python", venv / ".ready"
    try:
        wanted = [server, *(f"{package}=={metadata.version(package)}" for package in same)]
    except metadata.PackageNotFoundError as error:
        raise BenchmarkFailed(f"{error.name} is not installed beside mlctl: make setup") from error
    if marker.exists() and marker.read_text().split() == wanted:
        return python
    shutil.rmtree(venv, ignore_errors=True)
    print(f"making {venv} with {' '.join(wanted)}", flush=True)
    _install([sys.executable, "-m", "venv", str(venv)])
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
    environ = {**make_environ(model_dir), "AML_APP_ROOT": str(script.parent)}
    server = spawn([str(python), "-c", LAUNCHER, *words], env=environ, cwd=script.parent, log_file=log_file)
    with end_at_last(server):
        wait_until_ready("azmlinfsrv", server, port, log_file, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        yield Azmlinfsrv(server, port)


def make_environ(model_dir: Path) -> dict[str, str]:
    """Return the variables for a server: the same of the environment as a replica of mlctl gets."""
    environ = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return environ | {"PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", "AZUREML_MODEL_DIR": str(model_dir)}


def wait_until_ready(name: str, server: ProcessId, port: int, log_file: Path, request: bytes) -> None:
    """Wait until a server answers a request with 200; BenchmarkFailed with the end of its log if it never does."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and is_running(server):
        try:
            ask_once(("127.0.0.1", port), request)
            return
        except (OSError, BenchmarkFailed):
            time.sleep(0.1)
    tail = "\n".join(log_file.read_text(errors="replace").splitlines()[-5:])
    raise BenchmarkFailed(f"{name} does not come up:\n{tail}")


@contextmanager
def end_at_last(server: ProcessId) -> Generator[None]:
    """End a server and all of its session, politely at first."""
    try:
        yield
    finally:
        _end(server)


def _end(server: ProcessId) -> None:
    send_signal(server, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while is_running(server) and time.monotonic() < deadline:
        time.sleep(0.05)
    kill_session(server)
