"""The ASGI application: routes, ids, limits and headers. Runs in the HTTP loop; run() is elsewhere (`dispatch`)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
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
from mlctl.scoring.cors import MakeHeaders
from mlctl.scoring.dispatch import Ticket
from mlctl.scoring.exchange import exchange_of, finish_late, send_answer, send_pieces
from mlctl.scoring.request_ids import assign_ids
from mlctl.scoring.wire import query_to_text

SERVER_VERSION = "mlctl/1"
_PROBE_PATIENCE_S = 0.25
LARGEST_BODY_BYTES = 100 * 1024 * 1024

Scope = dict[str, Any]
Headers = dict[bytes, bytes]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Answered = tuple[Answer, Ticket | None]
Handler = Callable[[Scope, Headers, Receive], Awaitable[Answered]]
# What is asked for again and again by whoever looks after the replica.
_UNOBSERVED = frozenset({"/", "/metrics"})


class Handled(NamedTuple):
    """A request and its answer, as told to the observers. headers: names in lower case. ticket: None if refused before.

    started_s is on time.perf_counter's clock.
    """

    scope: Scope
    headers: Headers
    request_id: bytes
    ticket: Ticket | None
    answer: Answer
    started_s: float


# A named tuple's own constructor takes twice as long.
_make_handled: Callable[[tuple[Any, ...]], Handled] = partial(tuple.__new__, Handled)  # type: ignore

# Called in the HTTP loop for each request but those to `/`, after its answer is on its way: quick, and may not raise.
Observer = Callable[[Handled], None]


class Route(NamedTuple):
    """What answers a path, and the answer to other methods than these."""

    handle: Handler
    methods: frozenset[str]
    wrong_method: Answer


def _route(handle: Handler, *methods: str) -> Route:
    return Route(handle, frozenset(methods), refuse_method(*methods))


class ScoringApp:
    """Answers `/` itself and hands `/score` to `enter`, which sets the ticket's answer in its time.

    own_headers: stand in every answer to a known route, rendered. Requests that come before `open` wait for it.
    answer_metrics: answers `/metrics`; None: there is no such path.
    """

    def __init__(
        self,
        own_headers: bytes,
        loop: asyncio.AbstractEventLoop,
        enter: Callable[[Ticket], None],
        observers: Sequence[Observer],
        answer_metrics: Callable[[], Answer] | None = None,
    ) -> None:
        self._loop = loop
        self._enter = enter
        self._observers = tuple(observers)
        self._own_headers = own_headers
        self._answer_own_metrics = answer_metrics
        self._opened = asyncio.Event()
        self._routes = {
            "/": _route(self._answer_probe, "GET", "HEAD", "OPTIONS"),
            "/score": _route(self._await_script, "GET", "HEAD", "POST", "OPTIONS"),
            "/swagger.json": _route(self._await_script, "GET", "HEAD", "OPTIONS"),
            **self._metrics_route(),
        }
        self.is_ready = False

    def open(self, describe: Callable[[bytes], Answer], make_cors: MakeHeaders | None, *, is_raw: bool) -> None:
        """Begin to score. describe: answers `/swagger.json`, given the query. is_raw: run() takes whole requests.

        make_cors: adds headers for pages of other origins.
        """

        async def answer_swagger(scope: Scope, headers: Headers, receive: Receive) -> Answered:
            return EMPTY if scope["method"] == "OPTIONS" else describe(scope["query_string"]), None

        def route(handle: Handler, *methods: str) -> Route:
            return _route(_let_origins_read(handle, make_cors) if make_cors else handle, *methods)

        probed = "GET", "HEAD", "OPTIONS"
        self._routes = {
            "/": route(self._answer_probe, *probed),
            "/score": route(self._answer_raw_score, "GET", "HEAD", "POST", "OPTIONS")
            if is_raw
            else route(self._answer_score, "GET", "POST", "OPTIONS"),
            "/swagger.json": route(answer_swagger, *probed),
            **self._metrics_route(),
        }
        self.is_ready = True
        self._opened.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started_s = time.perf_counter()
        ticket = None
        headers: Headers = dict(scope["headers"])
        ids = assign_ids(headers)
        route = self._routes.get(scope["path"])
        if route is None or scope["method"] not in route.methods:
            answer, added = route.wrong_method if route else NOT_FOUND, b""
        else:
            if ids.refusal:
                answer = ids.refusal
            else:
                answer, ticket = await route.handle(scope, headers, receive)
            added = ids.headers + self._own_headers
            if b"traceid" in headers:
                added += b"TraceId: %b\r\n" % headers[b"traceid"]
        if answer is not CLIENT_LEFT:
            send_answer(exchange_of(receive), answer, added)
        if scope["path"] not in _UNOBSERVED:
            handled = _make_handled((scope, headers, ids.request_id, ticket, answer, started_s))
            for observe in self._observers:
                observe(handled)
        if answer.stream is not None:
            await send_pieces(exchange_of(receive), answer.stream)
        elif not exchange_of(receive).response_complete:
            await finish_late(exchange_of(receive))

    async def _await_script(self, scope: Scope, headers: Headers, receive: Receive) -> Answered:
        """Let a request wait for init(); what the script is like says what becomes of it."""
        await self._opened.wait()
        route = self._routes[scope["path"]]
        if scope["method"] not in route.methods:
            return route.wrong_method, None
        return await route.handle(scope, headers, receive)

    async def _answer_probe(self, scope: Scope, headers: Headers, receive: Receive) -> Answered:
        if scope["method"] == "OPTIONS":
            return EMPTY, None
        if not self.is_ready:
            # Most scripts are ready in a moment: the next probe may come too late for a strict threshold.
            with contextlib.suppress(asyncio.TimeoutError):  # not yet the built-in one on Python 3.10
                await asyncio.wait_for(self._opened.wait(), _PROBE_PATIENCE_S)
        return (HEALTHY if self.is_ready else STARTING), None

    def _metrics_route(self) -> dict[str, Route]:
        return {"/metrics": _route(self._answer_metrics, "GET", "HEAD")} if self._answer_own_metrics else {}

    async def _answer_metrics(self, scope: Scope, headers: Headers, receive: Receive) -> Answered:
        # Every gateway sets this header, whatever its client sent: metrics are for the machine that the replica is on.
        if self._answer_own_metrics is None or b"x-forwarded-proto" in headers:
            return NOT_FOUND, None
        return self._answer_own_metrics(), None

    async def _answer_score(self, scope: Scope, headers: Headers, receive: Receive) -> Answered:
        method = scope["method"]
        if method == "OPTIONS":
            return EMPTY, None
        body = await _read_body(headers, receive) if method == "POST" else query_to_text(scope["query_string"])
        if isinstance(body, Answer):
            return body, None
        ticket = Ticket(body, headers, scope, self._loop.create_future(), exchange_of(receive))
        self._enter(ticket)
        return await ticket.answer, ticket

    async def _answer_raw_score(self, scope: Scope, headers: Headers, receive: Receive) -> Answered:
        body = await _read_body(headers, receive)
        if isinstance(body, Answer):
            return body, None
        ticket = Ticket(body, headers, scope, self._loop.create_future(), exchange_of(receive))
        self._enter(ticket)
        return await ticket.answer, ticket


def _let_origins_read(handle: Handler, make_cors: MakeHeaders) -> Handler:
    """Add the headers that a browser asks for, unless the script has set them."""

    async def answer(scope: Scope, headers: Headers, receive: Receive) -> Answered:
        answer, ticket = await handle(scope, headers, receive)
        if answer is CLIENT_LEFT or b"access-control-allow-origin:" in answer.headers.lower():
            return answer, ticket
        return answer._replace(headers=answer.headers + make_cors(scope["method"], headers)), ticket

    return answer


async def _read_body(headers: Headers, receive: Receive) -> bytes | Answer:
    """Return the whole body, or the answer to a body that is too long or whose sender left."""
    # Without the leading zeros, of which there may be more than int() takes digits.
    if int(headers.get(b"content-length", b"").lstrip(b"0") or b"0") > LARGEST_BODY_BYTES:
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
