"""A client for requests that no HTTP library would send, and one that reads their answers strictly."""

from __future__ import annotations

import contextlib
import http.client
import io
import socket
from pathlib import Path
from typing import Any, cast

from tests.acceptance.scoring.replicas import DEADLINE_S, Replica, Reply


def connect(path: Path, timeout_s: float = DEADLINE_S) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(timeout_s)
    client.connect(str(path))
    return client


class _Source:
    """What http.client takes for a socket: its file stays open, so that the next answer can be read from it."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file

    def makefile(self, _mode: str) -> io.BufferedIOBase:
        return cast("io.BufferedIOBase", _Kept(self._file))


class _Kept:
    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)

    def close(self) -> None:
        pass


def read_reply(file: io.BufferedIOBase, method: str = "POST") -> Reply:
    """Read one answer; raises what http.client raises where it is no HTTP, or where there is none."""
    response = http.client.HTTPResponse(cast("socket.socket", _Source(file)), method=method)
    response.begin()
    reply = Reply(response.status, response.headers, response.read())
    response.close()
    return reply


def receive_all(client: socket.socket) -> bytes:
    """Return what comes until the server closes."""
    received = b""
    try:
        while part := client.recv(65536):
            received += part
    except ConnectionResetError:
        pass
    return received


def send_raw(replica: Replica, data: bytes) -> Reply | None:
    """Send bytes on a connection of their own and return the first answer; None: closed without one."""
    with connect(replica.socket_path) as client:
        # Refused before it was sent: the answer may be there.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(data)
        try:
            with client.makefile("rb") as file:
                return read_reply(file)
        except (http.client.RemoteDisconnected, ConnectionResetError):
            return None


def memory_kib(replica: Replica, field: str = "VmRSS") -> int:
    """Return the memory that a replica takes; VmHWM: the most it ever took."""
    lines = Path(f"/proc/{replica.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))
