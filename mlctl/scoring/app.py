"""The ASGI application: routes, ids, limits and headers. Runs in the HTTP loop; run() is elsewhere (`dispatch`)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from mlctl.scoring.answers import (
    CLIENT_LEFT,
    EMPTY,
    HEALTHY,
    NOT_FOUND,
    STARTING,
    TOO_LARGE,
    Answer,
    refuse_method,
)
from mlctl.scoring.dispatch import Ticket
from mlctl.scoring.exchange import exchange_of, send_answer
from mlctl.scoring.request_ids import assign_ids
from mlctl.scoring.request_log import RequestLog
from mlctl.scoring.wire import query_to_text

SERVER_VERSION = "mlctl/1"
LARGEST_BODY_BYTES = 100 * 1024 * 1024

Scope = dict[str, Any]
Headers = dict[bytes, bytes]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Handler = Callable[[Scope, Headers, Receive], Awaitable[Answer]]


class Route(NamedTuple):
    """What answers a path, and the answer to other methods than these."""

    handle: Handler
    methods: frozenset[str]
    wrong_method: Answer


def _route(handle: Handler, *methods: str) -> Route:
    return Route(handle, frozenset(methods), refuse_method(*methods))


class ScoringApp:
    """Answers `/` itself and hands `/score` to `enter`, which sets the ticket's answer in its time."""

    def __init__(
        self, deployment: str, loop: asyncio.AbstractEventLoop, enter: Callable[[Ticket], None], log: RequestLog
    ) -> None:
        self._loop = loop
        self._enter = enter
        self._log = log
        own = f"azureml-model-deployment: {deployment}\r\nx-ms-server-version: {SERVER_VERSION}\r\n"
        self._own_headers = own.encode()
        self._routes = {
            "/": _route(self._answer_probe, "GET", "HEAD", "OPTIONS"),
            "/score": _route(self._answer_score, "GET", "POST", "OPTIONS"),
        }
        self.is_ready = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started_s = time.perf_counter()
        headers: Headers = dict(scope["headers"])
        ids = assign_ids(headers)
        route = self._routes.get(scope["path"])
        if route is None or scope["method"] not in route.methods:
            answer, added = route.wrong_method if route else NOT_FOUND, b""
        else:
            answer = ids.refusal or await route.handle(scope, headers, receive)
            added = ids.headers + self._own_headers
        if answer is not CLIENT_LEFT:
            send_answer(exchange_of(receive), answer, added)
        if scope["path"] != "/":
            self._log.add(
                scope["method"],
                scope["raw_path"],
                answer.status,
                started_s=started_s,
                size_bytes=len(answer.body),
                request_id=ids.request_id,
            )

    async def _answer_probe(self, scope: Scope, headers: Headers, receive: Receive) -> Answer:
        if scope["method"] == "OPTIONS":
            return EMPTY
        return HEALTHY if self.is_ready else STARTING

    async def _answer_score(self, scope: Scope, headers: Headers, receive: Receive) -> Answer:
        method = scope["method"]
        if method == "OPTIONS":
            return EMPTY
        body = await _read_body(headers, receive) if method == "POST" else query_to_text(scope["query_string"])
        if isinstance(body, Answer):
            return body
        ticket = Ticket(body, headers, self._loop.create_future(), exchange_of(receive))
        self._enter(ticket)
        return await ticket.answer


async def _read_body(headers: Headers, receive: Receive) -> bytes | Answer:
    """Return the whole body, or the answer to a body that is too long or whose sender left."""
    if int(headers.get(b"content-length", b"0")) > LARGEST_BODY_BYTES:
        return TOO_LARGE
    message = await receive()
    if message["type"] == "http.request" and not message["more_body"]:
        return message["body"]
    return await _read_parts(message, receive)


async def _read_parts(message: dict[str, Any], receive: Receive) -> bytes | Answer:
    parts: list[bytes] = []
    size_bytes = 0
    while message["type"] == "http.request":
        parts.append(message["body"])
        size_bytes += len(message["body"])
        if size_bytes > LARGEST_BODY_BYTES:
            return TOO_LARGE
        if not message["more_body"]:
            return b"".join(parts)
        message = await receive()
    return CLIENT_LEFT
