"""From the HTTP loop's thread to the threads that call run(), and back, many requests at a time.

A `queue.SimpleQueue` carries the requests over. The answers go back in bulk: the loop is woken once for all that were
finished while it was busy, and not later than about 2 ms after the first of them was begun.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from mlctl.scoring.answers import CLIENT_LEFT, RUN_FAILED, Answer
from mlctl.scoring.redaction import render_exception

# Shorter costs throughput (at 0.5 ms a seventh, with a model that takes 0.24 ms), since the threads fight for the lock.
_LONGEST_BULK_S = 0.002
_logger = logging.getLogger("azmlinfsrv")


class Connection(Protocol):
    """What a ticket knows of its client."""

    disconnected: bool


class Ticket:
    """One request on its way to run().

    Whoever claims it answers it: a thread that is about to call run(), or the HTTP loop at the ticket's deadline.
    """

    __slots__ = ("_connection", "_unclaimed", "answer", "body", "deadline_s", "headers", "is_admitted")

    def __init__(
        self,
        body: bytes,
        headers: Mapping[bytes, bytes],
        answer: asyncio.Future[Answer],
        connection: Connection,
    ) -> None:
        self.body = body
        self.headers = headers
        self.answer = answer
        self.deadline_s = 0.0
        self.is_admitted = False
        self._connection = connection
        self._unclaimed = threading.Lock()

    def claim(self) -> bool:
        """Take the ticket; True for the first caller only, whatever the thread."""
        return self._unclaimed.acquire(blocking=False)

    def is_abandoned(self) -> bool:
        """Say whether the client has gone."""
        return self._connection.disconnected


Score = Callable[[Ticket], Answer]
Finished = list[tuple[Ticket, Answer]]
HandBack = Callable[[Finished], None]


class Dispatcher:
    """The queue of tickets, and the work that the threads behind it do."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self.put: Callable[[Ticket], None] = self._queue.put

    def stop(self) -> None:
        """End the work of all threads once the tickets before this call are done."""
        self._queue.put(None)

    def start_threads(self, count: int, score: Score, hand_back: HandBack) -> None:
        """Work in `count` more threads."""
        for number in range(count):
            threading.Thread(target=self.work, args=(score, hand_back), name=f"run-{number + 2}", daemon=True).start()

    def work(self, score: Score, hand_back: HandBack) -> None:
        """Answer tickets until `stop`; survives whatever a script throws at this thread.

        score: called here. hand_back: called in the loop with tickets and their answers.
        """
        worker = _Worker(self._queue, score, lambda finished: self._return(hand_back, finished))
        while not worker.is_stopped:
            try:
                worker.work()
            except BaseException as exc:
                # A handler of the script, of SIGALRM for example, raised between two calls of run().
                _logger.error("A signal handler of the script raised outside run(): %s", render_exception(exc))
                worker.recover()
        self.stop()

    def _return(self, hand_back: HandBack, finished: Finished) -> None:
        try:
            self._loop.call_soon_threadsafe(hand_back, finished)
        except RuntimeError:
            return  # the loop has closed: it gave up on these requests after the time allowed for stopping


class _Worker:
    """What one thread has in hand."""

    def __init__(self, tickets: queue.SimpleQueue[Ticket | None], score: Score, give_back: HandBack) -> None:
        self._tickets = tickets
        self._score = score
        self._give_back = give_back
        self._current: Ticket | None = None
        self._finished: Finished = []
        self.is_stopped = False

    def work(self) -> None:
        """Answer tickets until there is a None among them."""
        tickets, clock = self._tickets, time.perf_counter
        hand_back_at = 0.0
        while True:
            try:
                ticket = tickets.get_nowait() if self._finished else tickets.get()
            except queue.Empty:
                self._return_bulk()
                continue
            if ticket is None:
                self.is_stopped = True
                return self._return_bulk()
            if not self._finished:
                hand_back_at = clock() + _LONGEST_BULK_S
            self._answer(ticket)
            if clock() > hand_back_at:
                self._return_bulk()

    def _answer(self, ticket: Ticket) -> None:
        self._current = ticket
        if ticket.claim():
            answer = CLIENT_LEFT if ticket.is_abandoned() else self._score(ticket)
            self._finished.append((ticket, answer))
        self._current = None

    def recover(self) -> None:
        """Give up on the ticket in hand, after an exception from nowhere, and hand back all."""
        if self._current is not None:
            self._finished.append((self._current, RUN_FAILED))
            self._current = None
        self._return_bulk()

    def _return_bulk(self) -> None:
        if self._finished:
            finished, self._finished = self._finished, []
            self._give_back(finished)
