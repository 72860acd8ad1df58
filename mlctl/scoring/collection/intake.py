"""Where an installed azureml-ai-monitoring delivers: `POST /modeldata/log` on the loopback address."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from mlctl.scoring.collection.records import OwnData

_PATH = "/modeldata/log"
_LARGEST_BODY_BYTES = 100 * 1024 * 1024
_TYPE_PREFIX = "azureml.inference."
# What the package sends of itself; the other `ce-` headers are those of the correlation context.
_OWN_HEADERS = frozenset(
    {"ce-time", "ce-type", "ce-collect-data-type", "ce-agent", "ce-x-request-id", "ce-model-version"}
)


class Sink(Protocol):
    """What takes the data."""

    def write(self, records: list[Any], /) -> None:
        """Write records."""
        ...


def read_delivery(headers: list[tuple[str, str]], body: bytes, names: frozenset[str]) -> OwnData | None:
    """Turn a delivery into a record; None for a collection that is not on."""
    found = {name.lower(): value for name, value in headers}
    collection = found.get("ce-type", "").removeprefix(_TYPE_PREFIX)
    if collection not in names:
        return None
    extra = {
        name.removeprefix("ce-"): value
        for name, value in found.items()
        if name.startswith("ce-") and name not in _OWN_HEADERS
    }
    try:
        at = float(found.get("ce-time", ""))
    except ValueError:
        at = time.time()
    text = body.decode("utf-8", "backslashreplace")
    return OwnData(at, collection, found.get("ce-x-request-id", ""), found.get("ce-collect-data-type", ""), extra, text)


def _make_handler(take: Callable[[list[tuple[str, str]], bytes], int]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if self.path != _PATH or not 0 <= length <= _LARGEST_BODY_BYTES:
                self._reply(404 if self.path != _PATH else 413)
                return
            self._reply(take(self.headers.items(), self.rfile.read(length)))

        def _reply(self, status: int) -> None:
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: the replica's log is not for this."""

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that left."""


def listen(descriptor: int, names: frozenset[str], sink: Sink) -> None:
    """Take deliveries in threads of their own. descriptor: a socket that is bound and listening."""

    def take(headers: list[tuple[str, str]], body: bytes) -> int:
        record = read_delivery(headers, body, names)
        if record is None:
            return 404
        sink.write([record])
        return 200

    server = _Server(("127.0.0.1", 0), _make_handler(take), bind_and_activate=False)
    server.socket.close()
    server.socket = socket.socket(fileno=descriptor)
    threading.Thread(target=server.serve_forever, daemon=True).start()
