"""The ASGI application: routes, ids, limits and headers. Runs in the HTTP loop; run() is elsewhere (`dispatch`)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from mlctl.scoring.answers import (
    CLIENT_LEFT,
    EMPTY,
    HEALTHY,
    NOT_FOUND,
    STARTING,
    TOO_LARGE,
    Answer,
    answer_options,
    refuse_method,
)
from mlctl.scoring.cors import MakeHeaders
from mlctl.scoring.dispatch import Ticket
from mlctl.scoring.exchange import exchange_of, finish_late, send_answer, send_pieces
from mlctl.scoring.request_ids import RequestIds, assign_ids
from mlctl.scoring.wire import query_to_text

SERVER_VERSION = "mlctl/1"
_PROBE_PATIENCE_S = 0.25
LARGEST_BODY_BYTES = 100 * 1024 * 1024

Scope = dict[str, Any]
Headers = dict[bytes, bytes]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Answered = tuple[Answer, Ticket | None]
StartTask = Callable[[Coroutine[Any, Any, None]], object]
Handler = Callable[[Scope, Headers, Receive], Awaitable[Answered]]
_logger = logging.getLogger("azmlinfsrv")
# What is asked for again and again by whoever looks after the replica.
_UNOBSERVED = frozenset({"/", "/metrics"})
_PROBED = "GET", "HEAD", "OPTIONS"
_SCORED = "GET", "POST", "OPTIONS"
_PROBED_OPTIONS = answer_options(*_PROBED)
# What needs no run(), where run() does not take whole requests.
_SCORED_AT_ONCE = {"OPTIONS": EMPTY, "HEAD": refuse_method(*_SCORED, message="Method not allowed")}


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


class _Routes(dict[str, Route]):
    """The routes by path. As in Azure's server a path may begin with several slashes."""

    def __missing__(self, path: str) -> Route:
        return self.get("/" + path.lstrip("/"), _NO_ROUTE)


async def _answer_nothing(_scope: Scope, _headers: Headers, _receive: Receive) -> Answered:
    return NOT_FOUND, None


_NO_ROUTE = Route(_answer_nothing, frozenset(), NOT_FOUND)


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
        self.loop = loop
        self._enter = enter
        self._observers = tuple(observers)
        self._own_headers = own_headers
        self._answer_own_metrics = answer_metrics
        self._opened = asyncio.Event()
        self._make_cors: MakeHeaders | None = None
        self._routes = _Routes(
            {
                "/": _route(self._answer_probe, *_PROBED),
                "/score": _route(self._await_script, "GET", "HEAD", "POST", "OPTIONS"),
                "/swagger.json": _route(self._await_script, *_PROBED),
                **self._metrics_route(),
            }
        )
        self.is_ready = False
        self._is_direct = False
        self._arrived: list[Ticket] = []

    def open(self, describe: Callable[[bytes], Answer], make_cors: MakeHeaders | None, *, is_raw: bool) -> None:
        """Begin to score. describe: answers `/swagger.json`, given the query. is_raw: run() takes whole requests.

        make_cors: adds headers for pages of other origins.
        """

        async def answer_swagger(scope: Scope, headers: Headers, receive: Receive) -> Answered:
            return _PROBED_OPTIONS if scope["method"] == "OPTIONS" else describe(scope["query_string"]), None

        def route(handle: Handler, *methods: str) -> Route:
            return _route(_let_origins_read(handle, make_cors) if make_cors else handle, *methods)

        score = route(self._answer_raw_score if is_raw else self._answer_score, "GET", "HEAD", "POST", "OPTIONS")
        self._make_cors = make_cors
        self._routes = _Routes(
            {
                "/": route(self._answer_probe, *_PROBED),
                "/score": score if is_raw else score._replace(wrong_method=refuse_method(*_SCORED)),
                "/swagger.json": route(answer_swagger, *_PROBED),
                **self._metrics_route(),
            }
        )
        self._is_direct = not is_raw and make_cors is None
        self.is_ready = True
        self._opened.set()

    def begin(self, exchange: RequestResponseCycle, start_task: StartTask) -> bool:
        """Take a request that has arrived as a whole, without a task for it; False: it needs one.

        Such a request waits for nothing but its turn. start_task: for what is left to do where an answer cannot be
        written at once.
        """
        scope: Any = exchange.scope
        if not self._is_direct or scope["path"] != "/score" or scope["method"] != "POST":
            return False
        started_s = time.perf_counter()
        headers: Headers = dict(scope["headers"])
        ids = assign_ids(headers)
        if ids.refusal:
            return False
        exchange.flow.resume_reading()  # paused at 64 KiB
        delivery = Delivery(self, ids, started_s, start_task)
        delivery.ticket = ticket = Ticket(bytes(exchange.body), headers, scope, delivery, exchange)
        if not self._arrived:
            # Those of other connections that are read in this turn of the loop come along: run()'s thread wakes once.
            self.loop.call_soon(self._enter_all)
        self._arrived.append(ticket)
        return True

    def _enter_all(self) -> None:
        arrived, self._arrived = self._arrived, []
        for ticket in arrived:
            self._enter(ticket)

    def deliver(
        self, ticket: Ticket, answer: Answer, ids: RequestIds, started_s: float
    ) -> Coroutine[Any, Any, None] | None:
        """Write an answer of `/score` and tell the observers; returns what is still to be awaited."""
        exchange: RequestResponseCycle = ticket.connection
        if answer is not CLIENT_LEFT:
            send_answer(exchange, answer, self._add_headers(ids, ticket.headers))
        handled = _make_handled((ticket.scope, ticket.headers, ids.request_id, ticket, answer, started_s))
        for observe in self._observers:
            observe(handled)
        if answer.stream is not None:
            return send_pieces(exchange, answer.stream)
        return None if exchange.response_complete else finish_late(exchange)

    def _add_headers(self, ids: RequestIds, headers: Mapping[bytes, bytes]) -> bytes:
        added = ids.headers + self._own_headers
        return added + b"TraceId: %b\r\n" % headers[b"traceid"] if b"traceid" in headers else added

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started_s = time.perf_counter()
        ticket = None
        headers: Headers = dict(scope["headers"])
        ids = assign_ids(headers)
        route = self._routes[scope["path"]]
        if scope["method"] not in route.methods:
            answer, added = route.wrong_method, b""
        else:
            if ids.refusal:
                answer = _let_origin_read(ids.refusal, self._make_cors, scope["method"], headers)
            else:
                answer, ticket = await route.handle(scope, headers, receive)
            added = self._add_headers(ids, headers)
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
            return _PROBED_OPTIONS, None
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
        if method in _SCORED_AT_ONCE:
            return _SCORED_AT_ONCE[method], None
        body = await _read_body(headers, receive) if method == "POST" else query_to_text(scope["query_string"])
        if isinstance(body, Answer):
            return body, None
        answer: asyncio.Future[Answer] = self.loop.create_future()
        ticket = Ticket(body, headers, scope, answer, exchange_of(receive))
        self._enter(ticket)
        return await answer, ticket

    async def _answer_raw_score(self, scope: Scope, headers: Headers, receive: Receive) -> Answered:
        body = await _read_body(headers, receive)
        if isinstance(body, Answer):
            return body, None
        answer: asyncio.Future[Answer] = self.loop.create_future()
        ticket = Ticket(body, headers, scope, answer, exchange_of(receive))
        self._enter(ticket)
        return await answer, ticket


class Delivery:
    """Where the answer to a request without a task goes: stands in its ticket in place of a future."""

    __slots__ = ("_app", "_ids", "_is_done", "_start_task", "_started_s", "ticket")

    def __init__(self, app: ScoringApp, ids: RequestIds, started_s: float, start_task: StartTask) -> None:
        self._app = app
        self._ids = ids
        self._started_s = started_s
        self._start_task = start_task
        self._is_done = False
        self.ticket: Ticket | None = None

    def done(self) -> bool:
        """Say whether there is an answer."""
        return self._is_done

    def cancelled(self) -> bool:
        """Say whether nobody waits any more: a client that has left is noticed later."""
        return False

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop that the answer is set in."""
        return self._app.loop

    def set_result(self, result: Answer, /) -> None:
        """Send the answer. Whatever happens here must not reach who hands out the other requests' answers."""
        self._is_done = True
        ticket, self.ticket = self.ticket, None  # they hold each other, which only the garbage collector would end
        if ticket is None:
            return
        try:
            rest = self._app.deliver(ticket, result, self._ids, self._started_s)
        except Exception:
            _logger.exception("An answer could not be sent")
            ticket.connection.transport.close()
        else:
            if rest is not None:
                self._start_task(rest)


def _let_origins_read(handle: Handler, make_cors: MakeHeaders) -> Handler:
    """Add the headers that a browser asks for, unless the script has set them."""

    async def answer(scope: Scope, headers: Headers, receive: Receive) -> Answered:
        answer, ticket = await handle(scope, headers, receive)
        return _let_origin_read(answer, make_cors, scope["method"], headers), ticket

    return answer


def _let_origin_read(answer: Answer, make_cors: MakeHeaders | None, method: str, headers: Headers) -> Answer:
    if make_cors is None or answer is CLIENT_LEFT or b"access-control-allow-origin:" in answer.headers.lower():
        return answer
    return answer._replace(headers=answer.headers + make_cors(method, headers))


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
