"""uvicorn in a side thread, on a socket that somebody else made. Started by `__main__` before the script is loaded."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mlctl.scoring.protocol import BoundedProtocol

_KEEP_ALIVE_S = 75  # longer than the gateway keeps an idle connection, so that the gateway is who closes it
_STOP_WITHIN_S = 30
_logger = logging.getLogger("azmlinfsrv")

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def _configure(app: Any, protocol: type[HttpToolsProtocol]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="none",
        http=protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_STOP_WITHIN_S,
    )


def open_listener(fd: int) -> socket.socket:
    """Wrap the socket passed by the daemon; child processes of the script do not get it."""
    listener = socket.socket(fileno=fd)
    listener.set_inheritable(False)
    return listener


class HttpThread:
    """Runs the loop and the HTTP server until `stop`; calls `on_end` in the thread when both have ended.

    listeners: none where somebody else accepts the connections, and has `connect` make what reads them.
    """

    def __init__(
        self,
        app: Any,
        loop: asyncio.AbstractEventLoop,
        listeners: Sequence[socket.socket],
        on_end: Callable[[], None],
        protocol: type[HttpToolsProtocol] = BoundedProtocol,
    ) -> None:
        self._loop = loop
        self._listeners = listeners
        self._protocol = protocol
        self._server = uvicorn.Server(_configure(app, protocol))
        self._on_end = on_end
        self.has_failed = False

    def start(self) -> None:
        """Begin to answer."""
        threading.Thread(target=self._run, name="http", daemon=True).start()

    def connect(self) -> HttpToolsProtocol:
        """Make the protocol of one connection. Called in the loop, after `start`."""
        server = self._server
        return self._protocol(
            config=server.config, server_state=server.server_state, app_state=server.lifespan.state, _loop=self._loop
        )

    def stop(self) -> None:
        """Stop accepting, answer what has arrived within 30 s, close. Called in the loop."""
        self._server.should_exit = True

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._server.serve(sockets=list(self._listeners)))
        except BaseException:
            self.has_failed = True
            _logger.exception("The HTTP server ended unexpectedly")
        finally:
            self._on_end()


def watch_signals(loop: asyncio.AbstractEventLoop, on_stop: Callable[[], None]) -> None:
    """Have `on_stop` called in the loop when the process shall stop. Called in the main thread.

    The interpreter runs signal handlers in the main thread only, which may be inside run(); the byte that it writes
    into the wake-up descriptor arrives at once. The handler is there for scripts that take that descriptor away.
    """
    receiver, sender = socket.socketpair()
    receiver.setblocking(False)
    sender.setblocking(False)

    def read_signals() -> None:
        if any(number in STOP_SIGNALS for number in receiver.recv(4096)):
            on_stop()

    def handle_stop(_number: int, _frame: object) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(on_stop)

    for number in STOP_SIGNALS:
        signal.signal(number, handle_stop)
    signal.set_wakeup_fd(sender.detach(), warn_on_full_buffer=False)
    loop.call_soon_threadsafe(loop.add_reader, receiver, read_signals)
