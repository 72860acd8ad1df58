"""Pieces on their way from the thread that makes them to the loop that writes them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from mlctl.scoring.answers import Answer
from mlctl.scoring.dispatch import Ticket
from mlctl.scoring.streaming import Stream


class Client:
    disconnected = False


class Bench:
    """A stream, the ticket that it answers, and what happened."""

    def __init__(self, pieces: Iterator[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self.client = Client()
        self.answered: asyncio.Future[Answer] = loop.create_future()
        self.ticket = Ticket(b"", {}, {}, self.answered, self.client)
        self.closed = 0
        self.stream = Stream(pieces, None, self._close)
        self.answer = Answer(200, b"", b"", self.stream)
        self.error: BaseException | None = None

    def _close(self) -> None:
        self.closed += 1

    def feed(self) -> None:
        try:
            self.stream.feed(self.ticket, self.answer)
        except BaseException as exc:
            self.error = exc

    def start(self) -> threading.Thread:
        thread = threading.Thread(target=self.feed)
        thread.start()
        return thread


async def take_all(stream: Stream) -> bytes:
    taken: list[bytes] = []
    while piece := await stream.take():
        taken.append(piece)
    return b"".join(taken)


def run(test: Callable[[asyncio.AbstractEventLoop], Coroutine[Any, Any, None]]) -> None:
    async def main() -> None:
        await asyncio.wait_for(test(asyncio.get_running_loop()), 20)

    asyncio.run(main())


def count(pieces: int, size: int = 1) -> Iterator[bytes]:
    for number in range(pieces):
        yield bytes([number % 256]) * size


@pytest.mark.parametrize(("pieces", "size"), [(0, 1), (1, 1), (1000, 1), (40, 50_000), (3, 1_000_000)])
def test_all_pieces_arrive_in_order(pieces: int, size: int) -> None:
    async def test(loop: asyncio.AbstractEventLoop) -> None:
        bench = Bench(count(pieces, size), loop)
        thread = bench.start()
        assert await bench.answered is bench.answer
        assert await take_all(bench.stream) == b"".join(count(pieces, size))
        thread.join(10)
        assert (bench.closed, bench.stream.has_failed, bench.error) == (1, False, None)

    run(test)


def test_pieces_stay_though_the_answer_is_handed_over_by_another_way_first() -> None:
    async def test(loop: asyncio.AbstractEventLoop) -> None:
        bench = Bench(count(3), loop)
        bench.start().join(10)  # the loop has not run since
        bench.answered.set_result(bench.answer)
        await asyncio.sleep(0)
        assert await take_all(bench.stream) == b"\0\1\2"

    run(test)


def test_nothing_is_made_for_a_request_that_was_given_up() -> None:
    async def test(loop: asyncio.AbstractEventLoop) -> None:
        bench = Bench(iter(lambda: b"x" * 10_000, None), loop)  # without an end
        bench.answered.cancel()
        thread = bench.start()
        await loop.run_in_executor(None, thread.join, 10)
        assert not thread.is_alive()
        assert bench.closed == 1

    run(test)


def test_maker_waits_for_a_slow_reader_and_ends_when_it_leaves() -> None:
    async def test(loop: asyncio.AbstractEventLoop) -> None:
        made: list[int] = []

        def make() -> Iterator[bytes]:
            while True:
                made.append(1)
                yield b"x" * 10_000

        bench = Bench(make(), loop)
        thread = bench.start()
        await bench.answered
        taken = 0
        while taken < 1_000_000:
            taken += len(await bench.stream.take())
            # One more is made and waits for room.
            assert len(made) * 10_000 <= taken + 64 * 1024 + 2 * 10_000
        bench.client.disconnected = True
        bench.stream.stop()
        await loop.run_in_executor(None, thread.join, 10)
        assert (thread.is_alive(), bench.closed, bench.stream.has_failed) == (False, 1, False)

    run(test)


def test_maker_that_breaks_off_is_told_from_one_that_ends() -> None:
    async def test(loop: asyncio.AbstractEventLoop) -> None:
        def make() -> Iterator[bytes]:
            yield b"x"
            raise ValueError("no")

        bench = Bench(make(), loop)
        thread = bench.start()
        await bench.answered
        assert await take_all(bench.stream) == b"x"
        thread.join(10)
        assert bench.stream.has_failed
        assert isinstance(bench.error, ValueError)
        assert bench.closed == 1

    run(test)


def test_loop_that_is_closed_ends_the_maker() -> None:
    loop = asyncio.new_event_loop()
    bench = Bench(count(3), loop)
    loop.close()
    bench.feed()
    assert isinstance(bench.error, RuntimeError)
    assert bench.closed == 1
