"""The way of tickets through admission and the threads, on a real loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

import pytest

from mlctl.scoring.admission import Admission
from mlctl.scoring.answers import CLIENT_LEFT, RUN_FAILED, Answer
from mlctl.scoring.dispatch import Dispatcher, Score, Ticket


@dataclass
class Client:
    disconnected: bool = False


def _answer(ticket: Ticket) -> Answer:
    return Answer(200, ticket.body, b"")


class Bench:
    """A loop, its admission and the threads behind it."""

    def __init__(self, *, max_concurrent: int = 1, max_queue_wait_s: float = 60) -> None:
        self.loop = asyncio.get_running_loop()
        self.admission = Admission(self.loop, max_concurrent=max_concurrent, max_queue_wait_s=max_queue_wait_s)
        self.dispatcher = Dispatcher(self.loop, self.admission.leave, RUN_FAILED)

    def start(self, score: Score = _answer, threads: int = 1) -> None:
        self.admission.open()
        self.dispatcher.start_threads(threads, score)

    def enter(self, body: bytes, client: Client | None = None) -> asyncio.Future[Answer]:
        answer: asyncio.Future[Answer] = self.loop.create_future()
        ticket = Ticket(body, {}, {}, answer, client or Client())
        self.admission.enter(ticket)
        self.dispatcher.put(ticket)
        return answer


Scenario = Callable[[], Coroutine[Any, Any, None]]


def _run(scenario: Scenario) -> None:
    asyncio.run(asyncio.wait_for(scenario(), 15))


def test_ticket_is_claimed_once_by_many_threads() -> None:
    for _ in range(50):
        ticket = Ticket(b"", {}, {}, asyncio.Future(loop=asyncio.new_event_loop()), Client())
        ticket.answer.get_loop().close()
        claims: list[bool] = []
        threads = [threading.Thread(target=lambda: claims.append(ticket.claim())) for _ in range(8)]  # noqa: B023 joined below
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert claims.count(True) == 1


@pytest.mark.parametrize(("max_concurrent", "threads"), [(1, 1), (4, 1), (1, 4), (1000, 4)])
def test_every_ticket_gets_its_own_answer(max_concurrent: int, threads: int) -> None:
    async def scenario() -> None:
        bench = Bench(max_concurrent=max_concurrent)
        bench.start(threads=threads)
        bodies = [b"%d" % number for number in range(500)]
        answers = await asyncio.gather(*[bench.enter(body) for body in bodies])
        assert [answer.body for answer in answers] == bodies
        bench.dispatcher.stop()

    _run(scenario)


def test_one_thread_answers_in_order_of_arrival() -> None:
    async def scenario() -> None:
        seen: list[bytes] = []

        def score(ticket: Ticket) -> Answer:
            seen.append(ticket.body)
            return _answer(ticket)

        bench = Bench()
        entered = [bench.enter(b"%d" % number) for number in range(100)]
        bench.start(score)
        await asyncio.gather(*entered)
        assert seen == [b"%d" % number for number in range(100)]
        bench.dispatcher.stop()

    _run(scenario)


def test_those_that_wait_too_long_are_refused_and_the_admitted_are_not() -> None:
    async def scenario() -> None:
        release = threading.Event()

        def score(ticket: Ticket) -> Answer:
            release.wait()
            return _answer(ticket)

        bench = Bench(max_concurrent=2, max_queue_wait_s=0.05)
        bench.start(score)
        running, admitted, *waiting = [bench.enter(b"%d" % number) for number in range(5)]
        assert [answer.status for answer in await asyncio.gather(*waiting)] == [429, 429, 429]
        assert not running.done()
        assert not admitted.done()
        release.set()
        assert [answer.status for answer in await asyncio.gather(running, admitted)] == [200, 200]
        assert (await bench.enter(b"later")).body == b"later"
        bench.dispatcher.stop()

    _run(scenario)


def test_place_that_becomes_free_admits_the_next() -> None:
    async def scenario() -> None:
        steps = threading.Semaphore(0)

        def score(ticket: Ticket) -> Answer:
            steps.acquire()
            return _answer(ticket)

        bench = Bench(max_concurrent=1, max_queue_wait_s=0.3)
        bench.start(score)
        first, second, third = (bench.enter(body) for body in (b"1", b"2", b"3"))
        steps.release()
        assert (await first).status == 200
        # Now the second runs, without a deadline, and the third waits.
        assert (await third).status == 429
        assert not second.done()
        steps.release()
        assert (await second).status == 200
        bench.dispatcher.stop()

    _run(scenario)


def test_fast_answer_is_not_kept_by_a_slow_request_behind_it() -> None:
    async def scenario() -> None:
        release = threading.Event()

        def score(ticket: Ticket) -> Answer:
            if ticket.body == b"slow":
                release.wait()
            return _answer(ticket)

        bench = Bench(max_concurrent=2)
        fast, slow = bench.enter(b"fast"), bench.enter(b"slow")
        bench.start(score)
        assert (await fast).body == b"fast"
        assert not slow.done()
        release.set()
        assert (await slow).body == b"slow"
        bench.dispatcher.stop()

    _run(scenario)


def test_waiting_counts_from_readiness_on() -> None:
    async def scenario() -> None:
        bench = Bench(max_queue_wait_s=0.01)
        entered = [bench.enter(b"%d" % number) for number in range(3)]
        done, _ = await asyncio.wait(entered, timeout=0.05)
        assert not done
        bench.start()
        assert (await entered[0]).status == 200
        bench.dispatcher.stop()

    _run(scenario)


def test_ticket_whose_client_left_is_not_scored() -> None:
    async def scenario() -> None:
        scored: list[bytes] = []

        def score(ticket: Ticket) -> Answer:
            scored.append(ticket.body)
            return _answer(ticket)

        bench = Bench()
        gone = bench.enter(b"gone", Client(disconnected=True))
        there = bench.enter(b"there")
        bench.start(score)
        assert await gone is CLIENT_LEFT
        assert (await there).body == b"there"
        assert scored == [b"there"]
        bench.dispatcher.stop()

    _run(scenario)


def test_exception_from_nowhere_costs_one_request() -> None:
    async def scenario() -> None:
        def score(ticket: Ticket) -> Answer:
            if ticket.body == b"bad":
                raise KeyboardInterrupt
            return _answer(ticket)

        bench = Bench(max_concurrent=3)
        entered = [bench.enter(body) for body in (b"1", b"bad", b"3")]
        bench.start(score)
        assert [answer.status for answer in await asyncio.gather(*entered)] == [200, 424, 200]
        bench.dispatcher.stop()

    _run(scenario)


def test_stop_ends_all_threads_after_the_tickets_before_it() -> None:
    async def scenario() -> None:
        bench = Bench()
        entered = [bench.enter(b"%d" % number) for number in range(20)]
        bench.dispatcher.stop()
        bench.start(threads=3)
        assert all(answer.status == 200 for answer in await asyncio.gather(*entered))
        for thread in threading.enumerate():
            if thread.name.startswith("run-"):
                await asyncio.to_thread(thread.join, 15)
                assert not thread.is_alive()

    _run(scenario)


def test_answer_to_a_cancelled_request_is_dropped() -> None:
    async def scenario() -> None:
        bench = Bench()
        cancelled, other = bench.enter(b"1"), bench.enter(b"2")
        cancelled.cancel()
        bench.start()
        assert (await other).status == 200
        bench.dispatcher.stop()

    _run(scenario)
