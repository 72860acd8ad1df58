"""Who may wait for run() and for how long. Everything here happens in the HTTP loop's thread.

run() is called for one request at a time (per thread). In the order of arrival, the first `max_concurrent` requests
that have no answer yet are admitted: one of them runs, the others are next, however long that takes; the gateway's
request timeout is their limit. The requests behind them wait, each for at most `max_queue_wait_s`: then it is answered
429, though run() be busy. A waiting request is admitted as soon as one before it is done. Before init() has
finished requests wait without limit; their waiting counts from then on.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque

from mlctl.scoring.answers import refuse_late
from mlctl.scoring.dispatch import Finished, Ticket


class Admission:
    """Counts the requests that have no answer yet, and answers those that wait too long.

    One timer serves all: every request may wait equally long, so the first to arrive is the first to expire.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, max_concurrent: int, max_queue_wait_s: float) -> None:
        self._loop = loop
        self._max_concurrent = max_concurrent
        self._max_queue_wait_s = max_queue_wait_s
        self._late = refuse_late(max_queue_wait_s)
        self._admitted = 0
        self._waiting: deque[Ticket] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._is_open = False

    def count_unanswered(self) -> int:
        """Return how many requests have no answer yet."""
        return self._admitted + sum(not ticket.answer.done() for ticket in self._waiting)

    def enter(self, ticket: Ticket) -> None:
        """Note a request that is about to join the queue."""
        if self._admitted < self._max_concurrent:
            self._admit(ticket)
        else:
            ticket.deadline_s = time.monotonic() + self._max_queue_wait_s
            self._waiting.append(ticket)
            self._arm()

    def leave(self, finished: Finished) -> None:
        """Hand out answers, and admit as many requests as that made room for."""
        for ticket, answer in finished:
            if not ticket.answer.done():  # cancelled when the time for stopping is over
                ticket.answer.set_result(answer)
            if ticket.is_admitted:
                ticket.is_admitted = False
                self._admitted -= 1
        while self._waiting and self._admitted < self._max_concurrent:
            ticket = self._waiting.popleft()
            if not ticket.answer.done():
                self._admit(ticket)

    def open(self) -> None:
        """Start the clocks of those who wait: run() is being called from now on."""
        self._is_open = True
        deadline_s = time.monotonic() + self._max_queue_wait_s
        for ticket in self._waiting:
            ticket.deadline_s = deadline_s
        self._arm()

    def _admit(self, ticket: Ticket) -> None:
        ticket.is_admitted = True
        self._admitted += 1

    def _arm(self) -> None:
        if self._timer is None and self._waiting and self._is_open:
            # uvloop's timers may be a fraction of a millisecond early.
            wait_s = max(0.001, self._waiting[0].deadline_s - time.monotonic())
            self._timer = self._loop.call_later(wait_s, self._expire)

    def _expire(self) -> None:
        self._timer = None
        now_s = time.monotonic()
        while self._waiting and self._waiting[0].deadline_s <= now_s:
            ticket = self._waiting.popleft()
            if ticket.claim():
                ticket.body = b""  # the ticket itself stays in the queue until its turn
                if not ticket.answer.done():
                    ticket.answer.set_result(self._late)
        self._arm()
