"""Accepting connections in place of uvicorn: from when the script is ready, and in turn with other workers.

Workers that share a socket each take one connection at a time, and none while they have a request: what they cannot do
yet waits in the socket for whoever is free first, as with Azure's server. A connection carries one request then.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from mlctl.scoring.protocol import BoundedProtocol

# A client that has connected and says nothing keeps nobody busy.
_PATIENCE_S = 0.05
# The limit of open files is reached: others may close some.
_PAUSE_S = 0.1


class OneRequestProtocol(BoundedProtocol):
    """A connection that is closed behind its first answer."""

    on_lost: Callable[[], None] | None = None

    def on_headers_complete(self) -> None:
        """Begin with a request."""
        super().on_headers_complete()
        if self.cycle:  # not yet, where another protocol is asked for
            self.cycle.keep_alive = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the worker take another one."""
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()


class Acceptor:
    """Takes connections from listening sockets between `open` and `close`. Lives in the loop.

    connect: makes the protocol of a connection. is_idle: whether the worker has no request.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listeners: Sequence[socket.socket],
        connect: Callable[[], HttpToolsProtocol],
        is_idle: Callable[[], bool] | None,
    ) -> None:
        self._loop = loop
        self._listeners = listeners
        self._connect = connect
        self._is_idle = is_idle
        self._tasks: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._is_open = self._is_reading = False
        for listener in listeners:
            listener.setblocking(False)

    def open(self) -> None:
        """Begin to accept."""
        self._is_open = True
        self._resume()

    def close(self) -> None:
        """Accept no more; what has connected but was not accepted is the other workers', or is refused."""
        self._is_open = False
        self._pause()
        for listener in self._listeners:
            listener.close()

    def look(self) -> None:
        """See whether there is time for another connection: after a request, or when a client has left."""
        if self._is_open and (self._is_idle is None or self._is_idle()):
            self._resume()

    def _resume(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._is_reading:
            self._is_reading = True
            for listener in self._listeners:
                self._loop.add_reader(listener, self._accept, listener)

    def _pause(self) -> None:
        if self._is_reading:
            self._is_reading = False
            for listener in self._listeners:
                self._loop.remove_reader(listener)

    def _accept(self, listener: socket.socket) -> None:
        if self._is_idle is not None and not self._is_idle():
            self._pause()  # a request came over a connection that had been silent; its answer resumes
            return
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, ConnectionAbortedError):
            return  # another worker was faster, or the client has left
        except OSError:
            self._pause()
            self._timer = self._loop.call_later(_PAUSE_S, self.look)
            return
        connection.setblocking(False)
        if self._is_idle is not None:
            self._pause()
            self._timer = self._loop.call_later(_PATIENCE_S, self.look)
        task = self._loop.create_task(self._serve(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: socket.socket) -> None:
        protocol = self._connect()
        if isinstance(protocol, OneRequestProtocol):
            protocol.on_lost = self.look
        with contextlib.suppress(OSError):  # the client has left already
            await self._loop.connect_accepted_socket(lambda: protocol, connection)
