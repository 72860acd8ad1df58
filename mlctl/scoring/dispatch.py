"""From the HTTP loop's thread to the threads that call run(), and back, many requests at a time.

A `queue.SimpleQueue` carries the requests over. The answers come back in bulk, since each time the loop is woken the
threads fight for the interpreter's lock: it is woken when nothing is left to do, or 2 ms after the first answer that it
does not have yet. A fast request may be followed by a slow one: every 5 ms the loop looks for itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from mlctl.scoring.answers import CLIENT_LEFT, Answer
from mlctl.scoring.redaction import render_exception

# At 0.5 ms a model that takes 0.24 ms loses a seventh of its throughput.
_LONGEST_BULK_S = 0.002
_LOOK_EVERY_S = 0.005
_logger = logging.getLogger("azmlinfsrv")
_clock = time.perf_counter


class Connection(Protocol):
    """What a ticket knows of its client."""

    disconnected: bool


class Reply(Protocol):
    """Where an answer is set, in the loop: a future, or what does as one."""

    def done(self) -> bool:
        """Say whether there is an answer."""
        ...

    def cancelled(self) -> bool:
        """Say whether nobody waits for one any more."""
        ...

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop that the answer is set in."""
        ...

    def set_result(self, result: Answer, /) -> None:
        """Set the answer."""
        ...


class Ticket:
    """One request on its way to run().

    Whoever claims it answers it: a thread that is about to call run(), or the HTTP loop at the ticket's deadline.
    scope: ASGI's. rows: how many the request has, where that is known. entered_s, claimed_s, run_started_s,
    run_ended_s, encoded_s: when it was made, a thread took it, run() was called and done, and the answer was made, on
    time.perf_counter's clock; 0 for what never happened. call: how many requests and rows the call of run() was made
    for; None for all but the first of them.
    """

    __slots__ = (
        "_unclaimed",
        "answer",
        "body",
        "call",
        "claimed_s",
        "connection",
        "deadline_s",
        "encoded_s",
        "entered_s",
        "headers",
        "is_admitted",
        "rows",
        "run_ended_s",
        "run_started_s",
        "scope",
    )

    def __init__(
        self,
        body: bytes,
        headers: Mapping[bytes, bytes],
        scope: Mapping[str, Any],
        answer: Reply,
        connection: Any,
    ) -> None:
        self.body = body
        self.headers = headers
        self.scope = scope
        self.answer = answer
        self.rows: int | None = None
        self.call: tuple[int, int] | None = None
        self.entered_s = _clock()
        self.claimed_s = self.run_started_s = self.run_ended_s = self.encoded_s = 0.0
        self.deadline_s = 0.0
        self.is_admitted = False
        self.connection = connection
        self._unclaimed = threading.Lock()

    def claim(self) -> bool:
        """Take the ticket; True for the first caller only, whatever the thread."""
        return self._unclaimed.acquire(blocking=False)

    def is_abandoned(self) -> bool:
        """Say whether the client has gone."""
        return self.connection.disconnected


Score = Callable[[Ticket], Answer]
Finished = list[tuple[Ticket, Answer]]
HandBack = Callable[[Finished], None]


class Channel(NamedTuple):
    """What the threads of a dispatcher share: tickets in, None to stop; answers out; how to wake the loop for them.

    get: waits for a ticket. failed: as in `Dispatcher`.
    """

    tickets: queue.SimpleQueue[Ticket | None]
    get: Callable[[], Ticket | None]
    finished: deque[tuple[Ticket, Answer]]
    wake_loop: Callable[[], None]
    failed: Answer


class Worker:
    """The work of one thread: one ticket at a time. `batching` has a worker that takes several."""

    def __init__(self, channel: Channel, score: Score) -> None:
        self.is_stopped = False
        self._channel = channel
        self._score = score
        self._current: Ticket | None = None

    def work(self) -> None:
        """Answer tickets until there is a None among them."""
        channel, clock = self._channel, time.perf_counter
        tickets, get, wake_loop = channel.tickets, channel.get, channel.wake_loop
        wake_at, is_owing = 0.0, False
        while (ticket := get()) is not None:
            if not is_owing:
                wake_at, is_owing = clock() + _LONGEST_BULK_S, True
            self._answer(ticket)
            del ticket  # its body may be large, and the next one far
            if tickets.empty() or clock() > wake_at:
                wake_loop()
                is_owing = False
        self.is_stopped = True

    def recover(self) -> None:
        """Give up on the ticket in hand, after an exception from nowhere, and wake the loop."""
        if self._current is not None:
            self._channel.finished.append((self._current, self._channel.failed))
            self._current = None
        self._channel.wake_loop()

    def _answer(self, ticket: Ticket) -> None:
        self._current = ticket
        ticket.claimed_s = time.perf_counter()
        answer = self._score(ticket) if ticket.claim() and not ticket.is_abandoned() else CLIENT_LEFT
        self._channel.finished.append((ticket, answer))
        self._current = None


MakeWorker = Callable[[Channel, Score], Worker]
Settle = Callable[["queue.SimpleQueue[Ticket | None]"], Callable[[], "Ticket | None"]]


def _wait_anywhere(tickets: queue.SimpleQueue[Ticket | None]) -> Callable[[], Ticket | None]:
    return tickets.get


class Dispatcher:
    """The queue of tickets, and the work that the threads behind it do.

    failed: the answer to a request whose thread was interrupted from outside run(). answered: how many were handed
    back.

    hand_back: is called in the loop with tickets and their answers, once for each ticket; for one that the loop has
    answered meanwhile, the answer means nothing.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, hand_back: HandBack, failed: Answer) -> None:
        self._loop = loop
        self._failed = failed
        self._hand_back = hand_back
        self._queue: queue.SimpleQueue[Ticket | None] = queue.SimpleQueue()
        self._finished: deque[tuple[Ticket, Answer]] = deque()
        self._outstanding = 0
        self._is_looking = False
        self.answered = 0

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to be answered. Asked in the loop."""
        return self._outstanding == 0

    def put(self, ticket: Ticket) -> None:
        """Pass a ticket on. Called in the loop."""
        self._outstanding += 1
        if not self._is_looking:
            self._is_looking = True
            self._loop.call_later(_LOOK_EVERY_S, self._look)
        self._queue.put(ticket)

    def stop(self) -> None:
        """End the work of all threads once the tickets before this call are done."""
        self._queue.put(None)

    def start_threads(self, count: int, score: Score, make_worker: MakeWorker = Worker) -> None:
        """Work in `count` more threads."""
        for number in range(count):
            threading.Thread(target=self.work, args=(score, make_worker), name=f"run-{number + 2}", daemon=True).start()

    def work(self, score: Score, make_worker: MakeWorker = Worker, settle: Settle = _wait_anywhere) -> None:
        """Answer tickets until `stop`; survives whatever a script throws at this thread.

        settle: returns what waits for the next ticket.
        """
        channel = Channel(self._queue, settle(self._queue), self._finished, self._wake_loop, self._failed)
        worker = make_worker(channel, score)
        while not worker.is_stopped:
            try:
                worker.work()
            except BaseException as exc:
                # A handler of the script, of SIGALRM for example, raised between two calls of run().
                _logger.error("A signal handler of the script raised outside run(): %s", render_exception(exc))
                worker.recover()
        self.stop()

    def _wake_loop(self) -> None:
        # A closed loop gave up on these requests, after the time allowed for stopping.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._collect)

    def _collect(self) -> None:
        """Hand back what is finished."""
        finished = [self._finished.popleft() for _ in range(len(self._finished))]
        if finished:
            self._outstanding -= len(finished)
            self.answered += len(finished)
            self._hand_back(finished)

    def _look(self) -> None:
        self._collect()
        self._is_looking = self._outstanding > 0
        if self._is_looking:
            self._loop.call_later(_LOOK_EVERY_S, self._look)
