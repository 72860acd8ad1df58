"""An answer that a script makes piece by piece: pulled in the thread that calls run(), written by the HTTP loop.

Little is on its way between the two: the script's thread waits while a client does not take what it was sent. The
answer is handed over ahead of all others', since the thread is busy with its pieces until the last one is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from itertools import chain, islice

from mlctl.scoring.answers import Answer
from mlctl.scoring.dispatch import Ticket

_MOST_WAITING_BYTES = 64 * 1024


class Stream:
    """Pieces of a body on their way from one thread to the other.

    length: how many bytes there will be; None where nobody knows. close: ends what makes the pieces.
    """

    def __init__(self, pieces: Iterator[bytes], length: int | None, close: Callable[[], None]) -> None:
        self.length = length
        self.has_failed = self.is_begun = False
        self._pieces = pieces
        self._close = close
        self._waiting: list[bytes] = []
        self._waiting_bytes = self._taken_bytes = 0
        self._is_ended = self._is_stopped = False
        self._changed = threading.Condition()
        self._arrived = asyncio.Event()

    def feed(self, ticket: Ticket, answer: Answer) -> None:
        """Hand the answer over with its first piece, and pull on until there are no more, or nobody wants them.

        Raises what the script raises meanwhile; the answer is cut short then, or never handed over: `is_begun`.
        """
        loop = ticket.answer.get_loop()

        def begin() -> None:
            if ticket.answer.cancelled():  # the time for stopping is over
                self.stop()
            elif not ticket.answer.done():  # a short stream may have been handed over as a whole
                ticket.answer.set_result(answer)

        def wake() -> None:
            loop.call_soon_threadsafe(self._arrived.set)

        self.has_failed = True
        try:
            first = list(islice(self._pieces, 1))
            self.is_begun = True
            loop.call_soon_threadsafe(begin)
            for piece in chain(first, self._pieces):
                if ticket.is_abandoned() or not self._put(piece, wake):
                    break
            self.has_failed = False
        finally:
            self._is_ended = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: the time for stopping is over
                wake()
            self._close()

    def _put(self, piece: bytes, wake: Callable[[], None]) -> bool:
        """Pass a piece on, when there is room; False when nobody takes it."""
        with self._changed:
            while self._waiting_bytes >= _MOST_WAITING_BYTES and not self._is_stopped:
                self._changed.wait()
            self._waiting.append(piece)
            self._waiting_bytes += len(piece)
            is_first = len(self._waiting) == 1
        if is_first:
            wake()
        return not self._is_stopped

    async def take(self) -> bytes:
        """Return what has arrived, once something has; nothing after the last piece.

        What was taken before counts as written: as much is let in anew.
        """
        self._make_room()
        while not self._waiting and not self._is_ended:
            await self._arrived.wait()
            self._arrived.clear()
        with self._changed:
            taken = b"".join(self._waiting)
            self._waiting.clear()
        self._taken_bytes = len(taken)
        return taken

    def _make_room(self) -> None:
        with self._changed:
            self._waiting_bytes -= self._taken_bytes
            self._changed.notify()

    def stop(self) -> None:
        """Take no more: the client has gone, or the time for stopping is over. Called in the loop."""
        with self._changed:
            self._is_stopped = True
            self._waiting.clear()
            self._changed.notify()
