"""uvicorn's HTTP protocol with bounds that it lacks: how large a head is, how long a request may take to arrive.

The gateway has the same bounds; they are here for those who talk to the scoring server without one.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine
from http import HTTPStatus
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

_LARGEST_HEAD_BYTES = 60 * 1024
_HEAD_WITHIN_S = 30.0
_REQUEST_WITHIN_S = 300.0
_INVALID = "The request is not valid HTTP."
_TOO_LARGE = "The headers are larger than 60 KiB."
_TOO_SLOW = "The request took too long to arrive."


StartTask = Callable[[Coroutine[Any, Any, None]], object]
Begin = Callable[[RequestResponseCycle, StartTask], bool]


def _begin_nothing(_cycle: RequestResponseCycle, _start_task: StartTask) -> bool:
    return False


class BoundedProtocol(HttpToolsProtocol):
    """A connection. What costs time is done only where a request does not arrive in one piece."""

    url = b""
    # The head that has not arrived as a whole yet, as its request's scope, and how long it is at least.
    _watched: Any = None
    _head_bytes = 0
    _limit_s = 0.0
    _timer: asyncio.TimerHandle | None = None

    _begun: tuple[RequestResponseCycle, Any] | None = None
    _is_at_head = False
    _idle_since_s: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, and close the connection if nothing comes."""
        self._begin: Begin = getattr(self.config.app, "begin", _begin_nothing)
        super().connection_made(transport)
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._disarm()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take what has arrived, and see to what has not."""
        self._parse(data)
        if self._begun is not None:
            (cycle, app), self._begun = self._begun, None
            if cycle.more_body or cycle.disconnected or not self._begin(cycle, self._start_task):
                super()._start_asgi_task(cycle, app)

    def on_headers_complete(self) -> None:
        """Note a request; how it is begun with depends on whether its body is there as well."""
        self._is_at_head = True
        super().on_headers_complete()
        self._is_at_head = False

    def on_response_complete(self) -> None:
        """Go on with the next request, or wait for one."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._wait_for_request()

    def _wait_for_request(self) -> None:
        """Note since when nothing is asked for. One timer serves all such times: most are over long before it."""
        self._idle_since_s = self.loop.time()
        if self.timeout_keep_alive_task is None:
            self._watch_idle(self.timeout_keep_alive)

    def _watch_idle(self, wait_s: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(wait_s, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        """Close a connection over which nothing has come for long."""
        self.timeout_keep_alive_task = None
        if self._idle_since_s is None:
            return
        left_s = self._idle_since_s + self.timeout_keep_alive - self.loop.time()
        if left_s > 0.001:  # what the loop's clock counts in
            self._watch_idle(left_s)
        elif not self.transport.is_closing():
            self.transport.close()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if self._is_at_head:
            self._begun = (cycle, app)
        else:
            super()._start_asgi_task(cycle, app)

    def _start_task(self, rest: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(rest)
        task.add_done_callback(self.tasks.discard)
        self.tasks.add(task)

    def _parse(self, data: bytes) -> None:
        self._idle_since_s = None
        parser = self.parser
        if parser is None:  # the connection is lost
            return
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if not self._parse_on(parser, data, upgrade.args[0]):
                return
        except httptools.HttpParserError:
            self._refuse_broken()
            return
        cycle = self.cycle
        if not cycle or cycle.scope is not self.scope:
            self._watch_head(len(data))
        elif len(data) > _LARGEST_HEAD_BYTES and self._measure_head() > _LARGEST_HEAD_BYTES:
            self._refuse(431, _TOO_LARGE)
        elif cycle.more_body or cycle.response_complete:
            self._head_bytes = 0
            self._arm(_REQUEST_WITHIN_S)
        elif self._timer is not None:
            self._disarm()

    def _should_upgrade(self) -> bool:
        """Put a request off that asks for another protocol: the parser would take it to have no body."""
        return True

    def _parse_on(self, parser: httptools.HttpRequestParser, data: bytes, offset: int) -> bool:
        """Parse what follows a head that asks for another protocol, as if it did not; False where that is refused.

        Such a wish may be passed over, and `curl --http2` has one in its first request.
        """
        rest = memoryview(data)[offset:]
        try:
            while True:
                parser.feed_data(self._render_without_upgrade())
                try:
                    parser.feed_data(rest)
                except httptools.HttpParserUpgrade as upgrade:
                    rest = rest[upgrade.args[0] :]
                else:
                    return True
        except httptools.HttpParserError:
            self._refuse_broken()
            return False

    def _render_without_upgrade(self) -> bytes:
        headers = [header for header in self.headers if header[0] != b"upgrade"]
        if len(headers) == len(self.headers):  # CONNECT
            raise httptools.HttpParserInvalidMethodError
        lines = [b"%b %b HTTP/%b" % (self.scope["method"].encode(), self.url, self.scope["http_version"].encode())]
        return b"\r\n".join([*lines, *(b"%b: %b" % header for header in headers), b"", b""])

    def _watch_head(self, more_bytes: int) -> None:
        if self._watched is self.scope:
            self._head_bytes += more_bytes
        else:  # what came with its beginning may be a large request before it
            self._watched, self._head_bytes = self.scope, self._measure_head()
        if self._head_bytes > _LARGEST_HEAD_BYTES:
            self._refuse(431, _TOO_LARGE)
        else:
            self._arm(_HEAD_WITHIN_S)

    def _refuse_broken(self) -> None:
        # The parser refuses a path of more than 64 KiB as it refuses nonsense.
        if self._measure_head() > _LARGEST_HEAD_BYTES:
            self._refuse(431, _TOO_LARGE)
        else:
            self._refuse(400, _INVALID)

    def _measure_head(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers or ())

    def _arm(self, limit_s: float) -> None:
        """Bound the time from now, unless it is bounded in the same way already."""
        if self._timer is None or self._limit_s != limit_s:
            self._disarm()
            self._limit_s = limit_s
            self._timer = self.loop.call_later(limit_s, self._expire)

    def _disarm(self) -> None:
        self._head_bytes = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self) -> None:
        self._timer = None
        if self.transport.is_closing():
            return
        if self.flow.read_paused:  # it is not the client who is late: init() has not ended
            self._arm(self._limit_s)
        else:
            self._refuse(408, _TOO_SLOW)

    def _refuse(self, status: int, message: str) -> None:
        """Answer and close; a request before this one that is being answered comes first, and closes then."""
        self.logger.warning("%d: %s", status, message)
        self._disarm()
        cycle = self.cycle
        if cycle and cycle.scope is not self.scope and not cycle.response_complete:
            cycle.keep_alive = False
            self.flow.pause_reading()
            return
        if cycle and not cycle.response_complete:
            cycle.disconnected = True
        # What stands in the pipeline waits for an answer that comes first.
        if not self.pipeline and not self.transport.is_closing() and not (cycle and cycle.response_started):
            self.transport.write(_render(status, message))
        self.transport.close()


def _render(status: int, message: str) -> bytes:
    body = json.dumps({"message": message}).encode()
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
