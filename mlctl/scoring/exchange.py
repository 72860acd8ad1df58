"""uvicorn's record of one request and its answer, used without the detour through ASGI's messages.

ASGI's send() takes head and body one after the other, searches each header with two regular expressions and makes two
system calls; its only sign of a client that left is a receive() that somebody waits in. Here an answer is one write and
`disconnected` is looked at when it matters. That doubles the throughput of a script that does little.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from mlctl.scoring.answers import Answer
from mlctl.scoring.streaming import Stream

_BODILESS = frozenset({204, 304})


def _status_line(status: int) -> bytes:
    known = {int(member): member.phrase for member in HTTPStatus}
    return f"HTTP/1.1 {status} {known.get(status, '')}\r\n".encode()


_STATUS_LINES = {status: _status_line(status) for status in range(200, 600)}


def exchange_of(receive: Any) -> RequestResponseCycle:
    """Return the record that ASGI's receive() belongs to."""
    return receive.__self__


def is_gone(exchange: RequestResponseCycle) -> bool:
    """Say whether nobody is left to answer, and note it: of requests in a row uvicorn tells the last one only."""
    if exchange.transport.is_closing():
        exchange.disconnected = True
    return exchange.disconnected


def send_answer(exchange: RequestResponseCycle, answer: Answer, headers: bytes) -> None:
    """Write an answer, of a stream what comes before its pieces. headers: more of them, rendered."""
    if is_gone(exchange):
        return
    exchange.response_started = True
    exchange.waiting_for_100_continue = False
    if answer.stream is not None:
        exchange.transport.write(_render_head(answer, headers, answer.stream, exchange))
        return
    exchange.transport.write(_render(answer, headers, exchange))
    if not exchange.flow.write_paused:
        _finish(exchange)


async def finish_late(exchange: RequestResponseCycle) -> None:
    """End an answer that its client is slow to read: not before most of it is read is a next request looked at."""
    await exchange.flow.drain()
    _finish(exchange)


async def send_pieces(exchange: RequestResponseCycle, stream: Stream) -> None:
    """Write the body of an answer as it is made. One that breaks off ends with the connection: its reader sees it."""
    is_whole = False
    try:
        is_whole = await _write_pieces(exchange, stream)
    finally:
        stream.stop()
        if not is_whole:
            exchange.keep_alive = False
        _finish(exchange)


async def _write_pieces(exchange: RequestResponseCycle, stream: Stream) -> bool:
    """Return whether all of the body was written."""
    is_chunked, left = _is_chunked(stream, exchange), stream.length
    while not is_gone(exchange) and (piece := await stream.take()):
        if left is not None:
            piece = piece[:left]
            left -= len(piece)
        exchange.transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)
        await exchange.flow.drain()
    if stream.has_failed or is_gone(exchange) or left:
        return False
    if is_chunked:
        exchange.transport.write(b"0\r\n\r\n")
    return True


def _is_chunked(stream: Stream, exchange: RequestResponseCycle) -> bool:
    return stream.length is None and exchange.scope["http_version"] != "1.0"


def _finish(exchange: RequestResponseCycle) -> None:
    exchange.response_complete = True
    if is_gone(exchange):
        return
    exchange.message_event.set()
    if not exchange.keep_alive:
        exchange.transport.close()
    exchange.on_response()


def _render_head(answer: Answer, headers: bytes, stream: Stream, exchange: RequestResponseCycle) -> bytes:
    length = b"" if stream.length is None else b"content-length: %d\r\n" % stream.length
    return b"".join(
        [
            _STATUS_LINES[answer.status],
            answer.headers,
            b"transfer-encoding: chunked\r\n" if _is_chunked(stream, exchange) else length,
            headers,
            _end_of_head(exchange),
        ]
    )


def _render(answer: Answer, headers: bytes, exchange: RequestResponseCycle) -> bytes:
    has_body = answer.status not in _BODILESS
    return b"".join(
        [
            _STATUS_LINES[answer.status],
            answer.headers,
            b"content-length: %d\r\n" % len(answer.body) if has_body else b"",
            headers,
            _end_of_head(exchange),
            answer.body if has_body and exchange.scope["method"] != "HEAD" else b"",
        ]
    )


def _end_of_head(exchange: RequestResponseCycle) -> bytes:
    return b"\r\n" if exchange.keep_alive else b"connection: close\r\n\r\n"
