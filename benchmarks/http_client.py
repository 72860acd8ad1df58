"""HTTP on a raw socket: as little of the client as possible in what is measured. TCP and Unix sockets alike."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from benchmarks.outcome import BenchmarkFailed

Address = tuple[str, int] | str
TIMEOUT_S = 30.0


def render_request(path: str, body: bytes, *, key: str | None = None) -> bytes:
    """Write a POST of JSON, with the key where there is one."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    return "\r\n".join([*lines, "", ""]).encode() + body


class Connection:
    """One connection, kept alive between requests."""

    def __init__(self, address: Address) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_STREAM)
        try:
            self._socket.settimeout(TIMEOUT_S)
            if family == socket.AF_INET:
                self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket.connect(address)
        except OSError:
            self._socket.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def ask(self, request: bytes) -> bytes:
        """Send a request and return the body of its answer; BenchmarkFailed unless that is a 200."""
        self._socket.sendall(request)
        received = self._receive_until(b"", lambda data: b"\r\n\r\n" in data)
        head, _, body = received.partition(b"\r\n\r\n")
        length = _find_length(head)
        body = self._receive_until(body, lambda data: len(data) >= length)
        if head.split(b" ", 2)[1] != b"200":
            raise BenchmarkFailed(f"answered {head.splitlines()[0].decode()}: {body[:200].decode(errors='replace')}")
        return body

    def time(self, request: bytes, count: int) -> list[float]:
        """Send a request so many times, one after the other, and return how many milliseconds each took."""
        took_ms: list[float] = []
        for _ in range(count):
            started_s = time.perf_counter()
            self.ask(request)
            took_ms.append((time.perf_counter() - started_s) * 1000)
        return took_ms

    def _receive_until(self, data: bytes, is_complete: Callable[[bytes], bool]) -> bytes:
        while not is_complete(data):
            more = self._socket.recv(65536)
            if not more:
                raise BenchmarkFailed("the connection was closed within an answer")
            data += more
        return data


def _find_length(head: bytes) -> int:
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise BenchmarkFailed("an answer without Content-Length")


def ask_once(address: Address, request: bytes) -> bytes:
    """Send one request on a connection of its own and return the body of its 200."""
    with Connection(address) as connection:
        return connection.ask(request)
