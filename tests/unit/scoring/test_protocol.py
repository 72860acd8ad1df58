"""One connection of the scoring server: what has arrived as a whole needs no task, and silence has an end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
import uvloop
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from mlctl.scoring.protocol import BoundedProtocol, StartTask

HEAD = b"POST /score HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n"
KEEP_ALIVE_S = 0.3
DEADLINE_S = 30


class App:
    """Answers with the body; notes which requests it was given whole."""

    def __init__(self) -> None:
        self.whole: list[bytes] = []
        self.in_tasks = 0

    def begin(self, exchange: RequestResponseCycle, start_task: StartTask) -> bool:
        if exchange.scope["path"] != "/score":
            return False
        self.whole.append(bytes(exchange.body))
        start_task(self._answer(exchange))
        return True

    async def _answer(self, exchange: RequestResponseCycle) -> None:
        exchange.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab")
        exchange.response_complete = True
        exchange.on_response()

    async def __call__(self, scope: Any, receive: Callable[[], Awaitable[Any]], send: Any) -> None:
        self.in_tasks += 1
        while (await receive())["more_body"]:
            pass
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"cd"})


class Client:
    """The other end of a connection."""

    def __init__(self, loop: uvloop.Loop, app: App) -> None:
        config = uvicorn.Config(
            app,
            loop="none",
            http=BoundedProtocol,
            lifespan="off",
            interface="asgi3",
            log_config=None,
            timeout_keep_alive=KEEP_ALIVE_S,  # type: ignore[arg-type]
            date_header=False,
            server_header=False,
        )
        config.load()
        server = uvicorn.Server(config)
        self.loop = loop
        self.socket, served = socket.socketpair()
        for end in (self.socket, served):
            end.setblocking(False)
        self.protocol = BoundedProtocol(config=config, server_state=server.server_state, app_state={}, _loop=loop)
        loop.run_until_complete(loop.connect_accepted_socket(lambda: self.protocol, served))

    def send(self, data: bytes) -> None:
        self.loop.run_until_complete(self.loop.sock_sendall(self.socket, data))

    def read(self) -> bytes:
        """Return what comes next; nothing when the connection is closed."""
        return self.loop.run_until_complete(asyncio.wait_for(self.loop.sock_recv(self.socket, 65536), DEADLINE_S))

    def read_answers(self, count: int) -> bytes:
        """Return the bodies of answers."""
        text = b""
        while text.count(b"\r\n\r\n") < count or not text.endswith((b"ab", b"cd")):
            piece = self.read()
            assert piece, text
            text += piece
        return b"".join(part[:2] for part in text.split(b"\r\n\r\n")[1:])


@contextmanager
def connect(app: App) -> Generator[Client]:
    loop = uvloop.new_event_loop()
    client = Client(loop, app)
    try:
        yield client
    finally:
        client.socket.close()
        client.protocol.transport.close()
        loop.run_until_complete(asyncio.sleep(0))
        loop.close()


def test_a_request_that_arrives_as_a_whole_needs_no_task() -> None:
    app = App()
    with connect(app) as client:
        client.send(HEAD + b"12")
        assert client.read_answers(1) == b"ab"
    assert (app.whole, app.in_tasks) == ([b"12"], 0)


@pytest.mark.parametrize("pieces", [(HEAD, b"12"), (HEAD + b"1", b"2"), (HEAD[:20], HEAD[20:], b"12")])
def test_a_body_that_comes_later_is_waited_for_in_a_task(pieces: tuple[bytes, ...]) -> None:
    app = App()
    with connect(app) as client:
        for piece in pieces:
            client.send(piece)
            client.loop.run_until_complete(asyncio.sleep(0.01))  # lets the loop read the piece by itself
        assert client.read_answers(1) == b"cd"
    assert app.whole == []


def test_a_head_in_pieces_with_its_body_behind_it_is_whole() -> None:
    app = App()
    with connect(app) as client:
        client.send(HEAD[:20])
        client.loop.run_until_complete(asyncio.sleep(0.01))
        client.send(HEAD[20:] + b"12")
        assert client.read_answers(1) == b"ab"


def test_requests_in_a_row_are_answered_in_their_order() -> None:
    app = App()
    with connect(app) as client:
        client.send((HEAD + b"12") * 20)
        assert client.read_answers(20) == b"ab" + b"cd" * 19
        client.send(HEAD + b"34")
        assert client.read_answers(1) == b"ab"


def test_a_connection_is_closed_when_nothing_was_ever_asked() -> None:
    with connect(App()) as client:
        assert client.read() == b""


def test_a_connection_is_closed_some_time_after_its_last_answer_only() -> None:
    app = App()
    with connect(app) as client:
        begun = client.loop.time()
        for _ in range(4):
            client.send(HEAD + b"12")
            assert client.read_answers(1) == b"ab"
            client.loop.run_until_complete(asyncio.sleep(KEEP_ALIVE_S / 2))
        last = client.loop.time()
        assert client.read() == b""
        assert last - begun > KEEP_ALIVE_S
    assert len(app.whole) == 4


def test_a_closed_connection_leaves_no_timer() -> None:
    with connect(App()) as client:
        client.send(HEAD + b"12")
        client.read_answers(1)
        assert client.protocol.timeout_keep_alive_task is not None
        client.socket.close()
        client.loop.run_until_complete(asyncio.sleep(0.01))
        assert client.protocol.timeout_keep_alive_task is None


def test_a_half_head_behind_a_large_request_is_measured_alone() -> None:
    body = b"x" * 100_000
    large = b"POST /score HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    app = App()
    with connect(app) as client:

        async def receive(data: bytes) -> None:
            client.protocol.data_received(data)

        # In one piece, as a busy loop reads it.
        client.loop.run_until_complete(receive(large + HEAD[:30]))
        assert client.protocol.cycle.keep_alive  # a head that is too large ends the connection
        client.loop.run_until_complete(receive(HEAD[30:] + b"12"))
        assert client.read_answers(2) == b"abab"
