"""Bounded load on an endpoint of this machine: threads with a connection each, and what every request came to."""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Outcome:
    """One request. status 0: the connection broke, `error` says how. Times are of the monotonic clock."""

    started: float
    ended: float
    status: int
    deployment: str
    error: str = ""

    @property
    def is_good(self) -> bool:
        return self.status == 200


class Load:
    """Sends requests from `with` to its end (never longer than `limit_s`); key() is asked for before each request."""

    def __init__(
        self, uri: str, key: Callable[[], str], *, threads: int = 4, limit_s: float = 90.0, body: bytes = b"{}"
    ) -> None:
        self._address = urlsplit(uri)
        self._key = key
        self._body = body
        self._ends_at = time.monotonic() + limit_s
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._send, daemon=True) for _ in range(threads)]
        self.outcomes: list[Outcome] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(30)

    @property
    def bad(self) -> list[Outcome]:
        return [outcome for outcome in self.outcomes if not outcome.is_good]

    @property
    def rate(self) -> float:
        return len(self.outcomes) / (self.outcomes[-1].ended - self.outcomes[0].started)

    def _send(self) -> None:
        connection = self._connect()
        while not self._stopping.is_set() and time.monotonic() < self._ends_at:
            started = time.monotonic()
            try:
                headers = {"Authorization": f"Bearer {self._key()}", "Content-Type": "application/json"}
                connection.request("POST", self._address.path, self._body, headers)
                answer = connection.getresponse()
                answer.read()
                name = answer.getheader("azureml-model-deployment", "")
                self.outcomes.append(Outcome(started, time.monotonic(), answer.status, name))
            except (OSError, http.client.HTTPException) as error:
                self.outcomes.append(Outcome(started, time.monotonic(), 0, "", repr(error)))
                connection.close()
                connection = self._connect()
        connection.close()

    def _connect(self) -> http.client.HTTPConnection:
        assert self._address.hostname == "127.0.0.1"
        return http.client.HTTPConnection("127.0.0.1", self._address.port, timeout=30)
