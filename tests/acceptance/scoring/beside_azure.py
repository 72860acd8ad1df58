"""Azure's own server and mlctl's, started on the same files and asked the same things, side by side."""

from __future__ import annotations

import fcntl
import http.client
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from benchmarks.outcome import BenchmarkFailed
from benchmarks.peers import LAUNCHER, ROOT, SERVER, ensure_venv
from tests.acceptance.scoring.replicas import DEADLINE_S, wait_until
from tests.acceptance.scoring.serving import Serving, Servings, find_free_port

SERVES = "serves"
FREE_PORT = "a free port"
# In mlctl's versions: scripts of both sides use them.
_SAME = ("numpy", "pandas")
# Of this moment, this connection, or this server's name.
_PASSING = frozenset({"connection", "date", "keep-alive", "server"})
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_EXEC_MS = re.compile(r"\d+\.\d{3}")
_NOISE = (
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} "), "TIME "),
    (re.compile(r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\]"), "[TIME]"),
    (re.compile(r"\[\d+\]"), "[PID]"),
    (re.compile(r"\bpid:? ?\d+"), "pid PID"),
    (re.compile(r" \(\d+\)$", re.MULTILINE), " (PID)"),
    (re.compile(r"\b\d+\.\d{3}ms\b"), "N.NNNms"),
)


@dataclass(frozen=True)
class Ask:
    """A request. headers: in this order, `Host: localhost` before them; no others are sent but the body's length."""

    method: str = "POST"
    path: str = "/score"
    body: bytes | None = None
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Heard:
    """An answer without what differs from one moment to the next. headers: sorted, names in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def allows(self) -> set[str]:
        return set((self.header("allow") or "").split(", "))

    def header(self, name: str) -> str | None:
        return dict(self.headers).get(name)

    def without(self, *names: str) -> Heard:
        return replace(self, headers=tuple(header for header in self.headers if header[0] not in names))


class Broken(OSError):
    """The answer broke off, or there was none."""


def send(port: int, ask: Ask) -> Heard:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_S)
    try:
        connection.putrequest(ask.method, ask.path, skip_host=True, skip_accept_encoding=True)
        for name, value in (("Host", "localhost"), *ask.headers):
            connection.putheader(name, value)
        if ask.body is not None:
            connection.putheader("Content-Length", str(len(ask.body)))
        connection.endheaders(ask.body)
        response = connection.getresponse()
        return _keep(response, response.read())
    except (http.client.IncompleteRead, http.client.RemoteDisconnected) as error:
        raise Broken(repr(error)) from error
    finally:
        connection.close()


def _keep(response: http.client.HTTPResponse, body: bytes) -> Heard:
    named = [(name.lower(), value) for name, value in response.getheaders()]
    kept = [(name, _still(name, value)) for name, value in named if name not in _PASSING]
    return Heard(response.status, tuple(sorted(kept)), body)


def _still(name: str, value: str) -> str:
    if name == "x-ms-run-fn-exec-ms" and _EXEC_MS.fullmatch(value):
        return "N.NNN"
    if name == "allow":  # Flask's has no order
        return ", ".join(sorted(value.split(", ")))
    return "UUID" if name.endswith("-request-id") and _UUID.fullmatch(value) else value


@dataclass(frozen=True)
class Pair:
    """Two servers of one script."""

    azure: Serving
    mlctl: Serving

    def wait_ready(self) -> Pair:
        self.azure.wait_ready()
        self.mlctl.wait_ready()
        return self

    def ask(self, ask: Ask) -> tuple[Heard, Heard]:
        """Return Azure's answer and mlctl's."""
        return send(self.azure.port, ask), send(self.mlctl.port, ask)

    def outcomes(self) -> tuple[int | str, int | str]:
        """Wait until it is clear what becomes of them; return the exit codes, or that they serve."""
        return _await_outcome(self.azure), _await_outcome(self.mlctl)


def _await_outcome(serving: Serving) -> int | str:
    wait_until(lambda: serving.process.poll() is not None or serving.is_healthy(), "an end or readiness")
    code = serving.process.poll()
    return SERVES if code is None else code


def read_lines(serving: Serving, text: str) -> list[str]:
    """Return what a server printed without what differs from one run to the next."""
    text = keep_places(serving, text)
    for pattern, word in _NOISE:
        text = pattern.sub(word, text)
    return text.splitlines()


def keep_places(serving: Serving, text: str) -> str:
    """Return text without the names of this server's folder and port."""
    return text.replace(str(serving.folder.resolve()), "FOLDER").replace(str(serving.port), "PORT")


class Pairs:
    """Starts both servers, and ends them."""

    def __init__(self, python: Path) -> None:
        self._azure, self._mlctl = Servings((str(python), "-c", LAUNCHER)), Servings()
        self._home = tempfile.TemporaryDirectory(prefix="mlctl-home-")

    def start(
        self,
        script: str | None,
        *words: str,
        files: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Pair:
        # gunicorn has a socket in the home folder.
        surroundings = {"HOME": self._home.name, **(environment or {})}
        azure, mlctl = (
            servings.start(script, *_fill_in(words), files=files, environment=surroundings)
            for servings in (self._azure, self._mlctl)
        )
        return Pair(azure, mlctl)

    def close(self) -> None:
        with ExitStack() as stack:
            stack.callback(self._home.cleanup)
            stack.callback(self._azure.close)
            stack.callback(self._mlctl.close)


def _fill_in(words: Sequence[str]) -> list[str]:
    return [str(find_free_port()) if word == FREE_PORT else word for word in words]


def start_pairs() -> Iterator[Pairs]:
    """Install Azure's server on first use; skips where that cannot be done, as without a network."""
    pairs = Pairs(install(SERVER, "azmlinfsrv-tests", same=_SAME))
    yield pairs
    pairs.close()


def install(package: str, name: str, *, same: Sequence[str]) -> Path:
    """Return the interpreter of a venv with a package; skips where that cannot be made. name: of the venv's folder."""
    ROOT.mkdir(exist_ok=True)
    with (ROOT / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two processes of pytest may want it at once
        try:
            return ensure_venv(package, same=same, name=name)
        except BenchmarkFailed as error:
            pytest.skip(f"{package} cannot be installed: {error}")
