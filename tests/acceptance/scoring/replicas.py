"""Real replica processes on real Unix sockets, and a client for them."""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from textwrap import dedent
from typing import Any

DEADLINE_S = 40


def wait_until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, f"waited {DEADLINE_S} s in vain for: {what}"
        time.sleep(0.005)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("replica", timeout=DEADLINE_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Message
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Replica:
    folder: Path
    process: subprocess.Popen[bytes]
    connections: list[UnixConnection] = field(default_factory=list[UnixConnection])

    @property
    def socket_path(self) -> Path:
        return self.folder / "s"

    @property
    def failure_file(self) -> Path:
        return self.folder / "failure.json"

    @property
    def code(self) -> Path:
        return self.folder / "code"

    def connect(self) -> UnixConnection:
        connection = UnixConnection(self.socket_path)
        self.connections.append(connection)
        return connection

    def open_socket(self) -> socket.socket:
        connection = self.connect()
        connection.connect()
        return connection.sock

    def call(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, **options: Any
    ) -> Reply:
        connection = self.connect()
        connection.request(method, path, body, headers or {}, **options)
        response = connection.getresponse()
        return Reply(response.status, response.headers, response.read())

    def score(self, body: Any = "", headers: Mapping[str, str] | None = None, **options: Any) -> Reply:
        return self.call("POST", "/score", body, {"Content-Type": "application/json", **(headers or {})}, **options)

    def health(self) -> Reply:
        return self.call("GET", "/")

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def wait_for_log(self, text: str) -> None:
        wait_until(lambda: text in self.log(), f"{text!r} in the log, which is:\n{self.log()}")

    def wait_ready(self) -> Replica:
        wait_until(lambda: self.process.poll() is not None or self.health().status == 200, "readiness")
        assert self.process.poll() is None, self.log()
        return self

    def touch(self, name: str) -> None:
        (self.code / name).touch()

    def wait_for_file(self, name: str) -> None:
        wait_until((self.code / name).exists, name)

    def terminate(self) -> None:
        self.process.terminate()

    def exit_code(self) -> int:
        return self.process.wait(DEADLINE_S)

    def failure(self) -> Any:
        assert self.exit_code() == 3, self.log()
        return json.loads(self.failure_file.read_text())

    def close(self) -> None:
        for connection in self.connections:
            connection.close()
        self.process.kill()
        self.process.wait()


def start_process(
    folder: Path,
    script: str | None,
    *options: str,
    files: Mapping[str, str],
    environment: Mapping[str, str],
    start: Sequence[str] = (sys.executable, "-P", "-m", "mlctl.scoring"),
) -> Replica:
    """Start a replica as the daemon does: on a socket that is bound and listening, with the log opened for it.

    start: how, for other interpreters than mlctl's own.
    """
    code = folder / "code"
    for name, text in {**files, **({"code/score.py": script} if script is not None else {})}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text))
    code.mkdir(exist_ok=True)
    (folder / "model").mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as listener, (folder / "log").open("ab") as log:
        listener.bind(str(folder / "s"))
        listener.listen(128)
        names = ["--endpoint", "fraud-endpoint", "--deployment", "blue", "--replica", "blue-1"]
        failure = ["--failure-file", str(folder / "failure.json")]
        command = [*start, "--fd", str(listener.fileno()), *names, *failure]
        process = subprocess.Popen(
            [*command, *options],
            pass_fds=[listener.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=folder,
            env={
                **os.environ,
                "AML_APP_ROOT": str(code),
                "AZUREML_ENTRY_SCRIPT": "score.py",
                "AZUREML_MODEL_DIR": str(folder / "model"),
                **environment,
            },
        )
    return Replica(folder, process)
