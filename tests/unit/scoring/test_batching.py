"""Joined requests get the answers that they get alone; what cannot be joined is found out, and left alone."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlctl.scoring.admission import Admission
from mlctl.scoring.answers import CLIENT_LEFT, RUN_FAILED, Answer
from mlctl.scoring.batching import Batching, JoiningWorker, open_batching
from mlctl.scoring.behaviour import ENDPOINT, ENDPOINT_EXACT, Behaviour
from mlctl.scoring.dispatch import Dispatcher, Score, Ticket
from mlctl.scoring.options import MicroBatching
from mlctl.scoring.scorer import build_score
from mlctl.scoring.user_code import Script
from tests.unit.scoring.test_joining import Client, make_ticket

SETTINGS = MicroBatching(max_rows=64, max_wait_s=0.005, input_key="rows")
Run = Callable[..., object]


class Bench:
    """A script, what answers it one by one, and what joins."""

    def __init__(self, run: Run, behaviour: Behaviour = ENDPOINT, *, wants_headers: bool = False) -> None:
        self.calls: list[str] = []
        script = Script(lambda: None, self._call, wants_headers)
        self._run = run
        self.score: Score = build_score(script, behaviour)
        self.batching: Batching = open_batching(SETTINGS, script, self.score, behaviour)

    def _call(self, body: str, *headers: Any) -> object:
        self.calls.append(body)
        return self._run(body, *headers)

    def ask(self, *bodies: bytes, headers: dict[bytes, bytes] | None = None) -> list[Answer]:
        """Ask with requests that wait at the same time."""
        basket = self.batching.open_basket()
        tickets = [make_ticket(body, headers) for body in bodies]
        for ticket in tickets:
            basket.add(ticket)
        answers = {
            ticket: answer
            for batch in basket.batches
            for ticket, answer in zip(batch.tickets, self.batching.score_batch(batch), strict=True)
        }
        return [answers[ticket] for ticket in tickets]

    def teach(self, *bodies: bytes) -> Bench:
        """Go through the batches that are checked."""
        for _ in range(20):
            self.ask(*(bodies or (b'{"rows": [[1.5, 2.5]]}', b'{"rows": [[3.5, 4.5], [5.5, 6.5]]}')))
        self.calls.clear()
        return self


def _rows(body: str) -> list[Any]:
    rows = json.loads(body)["rows"]
    if any(row == "bad" or row[0] == "bad" for row in rows):
        raise ValueError("bad row")
    return rows


def _scale(body: str) -> dict[str, Any]:
    factor = json.loads(body).get("factor", 2)
    rows = np.asarray(_rows(body)) * factor
    return {"prediction": rows.sum(axis=1).tolist(), "rows": rows.tolist(), "classes": ["legit", "fraud"]}


def run_text(body: str) -> str:
    """Answer as most scripts do."""
    return json.dumps(_scale(body))


def run_compact(body: str) -> str:
    """Answer as pydantic writes JSON."""
    named = [f"é{row[0]}" for row in _rows(body)]
    return json.dumps({**_scale(body), "name": named}, separators=(",", ":"), ensure_ascii=False)


def run_dict(body: str) -> dict[str, Any]:
    return {"nested": {"deep": _scale(body)}, "version": np.int64(3), "none": None}


def run_numpy(body: str) -> dict[str, Any]:
    rows = np.asarray(_rows(body))
    return {"prediction": rows[:, 0], "rows": rows / 2, "scale": np.float32(0.5)}


def run_list(body: str) -> list[Any]:
    return [[*row, len(row)] for row in _rows(body)]


def run_tuple(body: str) -> object:
    return tuple(row[0] for row in _rows(body))


def run_python(body: str) -> dict[str, Any]:
    return {"scores": [{"first": row[0], "copy": row} for row in _rows(body)]}


SCRIPTS = (run_text, run_compact, run_dict, run_numpy, run_list, run_tuple, run_python)
PLAIN = {run: Bench(run).teach() for run in SCRIPTS}
EXACT = {run: Bench(run, ENDPOINT_EXACT).teach() for run in SCRIPTS if run is not run_numpy and run is not run_dict}

NUMBERS = st.integers(-(2**40), 2**40) | st.floats(allow_nan=False, allow_infinity=False, width=32)
ROWS = st.lists(st.lists(NUMBERS, min_size=2, max_size=2), min_size=1, max_size=4)
FINE = st.fixed_dictionaries({"rows": ROWS}, optional={"factor": st.sampled_from([2, 3, 0.5])}).map(json.dumps)
ODD = st.sampled_from(
    [
        '{"rows": [["bad", 1]]}',
        '{"rows": ["bad"]}',
        '{"rows": [[1]]}',
        '{"rows": []}',
        "no JSON",
        '{"rows": [[1, 2, "3"]]}',
    ]
)
BODIES = st.lists((FINE | ODD).map(str.encode), min_size=1, max_size=12)


def _strip_time(answer: Answer) -> tuple[int, bytes, bytes]:
    return answer.status, answer.body, answer.headers.partition(b"x-ms-run-fn-exec-ms")[0]


@pytest.mark.parametrize(
    "bench",
    [*PLAIN.values(), *EXACT.values()],
    ids=[*(run.__name__ for run in PLAIN), *(f"{run.__name__}-exact" for run in EXACT)],
)
@settings(deadline=None)  # other work on the machine is no fault
@given(bodies=BODIES)
def test_joined_requests_are_answered_as_alone_byte_for_byte(bench: Bench, bodies: list[bytes]) -> None:
    alone = [bench.score(make_ticket(body)) for body in bodies]
    assert list(map(_strip_time, bench.ask(*bodies))) == list(map(_strip_time, alone))
    assert bench.batching.is_on


@pytest.mark.parametrize("run", SCRIPTS)
def test_run_is_called_once_for_a_batch(run: Run) -> None:
    bench = Bench(run).teach()
    answers = bench.ask(b'{"rows": [[1.5, 2]]}', b'{"rows": [[3, 4.5], [5, 6.5]]}')
    assert bench.calls == ['{"rows": [[1.5, 2],[3, 4.5], [5, 6.5]]}']
    assert [answer.status for answer in answers] == [200, 200]


def test_first_twenty_batches_are_scored_both_ways_and_answered_with_the_single_results() -> None:
    bench = Bench(run_text)
    for number in range(20):
        bench.ask(b'{"rows": [[1, 2]]}', b'{"rows": [[3, 4]]}')
        assert len(bench.calls) == 3 * (number + 1)
    bench.ask(b'{"rows": [[1, 2]]}', b'{"rows": [[3, 4]]}')
    assert len(bench.calls) == 61


def test_failing_batch_is_run_again_so_that_only_the_guilty_has_the_error() -> None:
    bench = Bench(run_text).teach()
    good, bad = b'{"rows": [["1", 2]]}', b'{"rows": [["bad", 2]]}'
    for _ in range(5):
        assert [answer.status for answer in bench.ask(bad, bad)] == [424, 424]
    assert bench.batching.is_on
    run = Bench(run_list).teach(b'{"rows": [["a", 1]]}', b'{"rows": [["b", 2]]}')
    for _ in range(5):
        assert [answer.status for answer in run.ask(good, bad, good)] == [200, 424, 200]
    assert run.batching.is_on


def _refuse_odd(body: str) -> object:
    rows = _rows(body)
    if any(row[0] % 2 for row in rows):
        return json.dumps({"error": "odd"}), 400
    return json.dumps({"half": [row[0] // 2 for row in rows]})


def test_refusal_reaches_the_one_that_it_is_for() -> None:
    bench = Bench(_refuse_odd).teach(b'{"rows": [[2, 1]]}', b'{"rows": [[4, 1]]}')
    for _ in range(5):
        answers = bench.ask(b'{"rows": [[2, 1]]}', b'{"rows": [[3, 1]]}', b'{"rows": [[6, 1], [8, 1]]}')
        assert [(answer.status, json.loads(answer.body)) for answer in answers] == [
            (200, {"half": [1]}),
            (400, {"error": "odd"}),
            (200, {"half": [3, 4]}),
        ]
    assert bench.batching.is_on


def _count(body: str) -> dict[str, Any]:
    return {"rows": len(_rows(body))}


def _normalise(body: str) -> dict[str, Any]:
    rows = np.asarray(_rows(body), dtype=float)
    return {"score": (rows[:, 0] - rows[:, 0].mean()).tolist()}


def _always_two(_body: str) -> dict[str, Any]:
    return {"classes": ["legit", "fraud"]}


def _prose(body: str) -> str:
    return f"{len(_rows(body))} rows, all fine"


def _indented(body: str) -> str:
    return json.dumps(_scale(body), indent=2)


def _keyed(body: str) -> dict[str, Any]:
    return {f"customer-{row[0]}": 0.5 for row in _rows(body)}


def _one_at_a_time(body: str) -> dict[str, Any]:
    (row,) = _rows(body)
    return {"score": [row[0]]}


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (_count, "neither equal for all"),
        (_normalise, "other results when they are scored together"),
        (_always_two, "no list"),
        (_prose, "does not return JSON"),
        (_indented, "unusual form"),
        (_keyed, "fields of the result change"),
        (_one_at_a_time, "run() fails for joined"),
    ],
)
def test_script_that_cannot_be_joined_is_told_once_and_answers_stay_right(
    run: Run, reason: str, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(run)
    bodies = [b'{"rows": [[1.5, 4321.125]]}', b'{"rows": [[3.5, 4321.125]]}']
    alone = [_strip_time(bench.score(make_ticket(body))) for body in bodies]
    with caplog.at_level(logging.WARNING, "azmlinfsrv"):
        for _ in range(30):
            assert list(map(_strip_time, bench.ask(*bodies))) == alone
    assert not bench.batching.is_on
    (record,) = caplog.records
    assert reason in record.getMessage()
    assert not any(value in record.getMessage() for value in ("4321", "customer-", "legit"))


def test_constant_list_as_long_as_the_batch_by_chance_is_not_cut() -> None:
    bench = Bench(run_dict).teach(b'{"rows": [[1, 2]]}', b'{"rows": [[3, 4]]}')
    answers = bench.ask(b'{"rows": [[1, 2]]}', b'{"rows": [[3, 4]]}')
    assert [json.loads(answer.body)["nested"]["deep"]["classes"] for answer in answers] == [["legit", "fraud"]] * 2
    assert len(bench.calls) == 1


def test_constant_that_changes_is_learned_anew() -> None:
    version = ["1"]

    def run(body: str) -> dict[str, Any]:
        return {"score": [row[0] for row in _rows(body)], "version": version[0]}

    bench = Bench(run).teach()
    version[0] = "2"
    for calls in (3, 4, 5):
        answers = bench.ask(b'{"rows": [[1, 2]]}', b'{"rows": [[3, 4]]}')
        assert [json.loads(answer.body) for answer in answers] == [
            {"score": [1], "version": "2"},
            {"score": [3], "version": "2"},
        ]
        assert len(bench.calls) == calls
    assert bench.batching.is_on


def test_text_whose_form_shows_late_is_still_written_as_alone() -> None:
    def run(body: str) -> str:
        return json.dumps({"name": [row[0] for row in _rows(body)]}, ensure_ascii=False)

    bench = Bench(run).teach(b'{"rows": [["a", 2]]}', b'{"rows": [["b", 4]]}')
    for _ in range(3):
        answers = bench.ask('{"rows": [["é", 2]]}'.encode(), b'{"rows": [["b", 4]]}')
        assert [answer.body for answer in answers] == ['{"name": ["é"]}'.encode(), b'{"name": ["b"]}']
    assert bench.batching.is_on


def test_rounding_of_a_model_is_no_mismatch() -> None:
    def run(body: str) -> dict[str, Any]:
        rows = _rows(body)
        return {"score": [row[0] * (1 + 1e-7 * len(rows)) for row in rows]}

    assert Bench(run).teach().batching.is_on


def test_headers_that_differ_are_not_joined() -> None:
    def run(body: str, headers: dict[str, str]) -> dict[str, Any]:
        return {"score": [headers["X-Tenant"] for _ in _rows(body)]}

    bench = Bench(run, wants_headers=True)
    body = b'{"rows": [[1, 2]]}'
    for _ in range(21):
        bench.calls.clear()
        bench.ask(body, body, headers={b"x-tenant": b"a"})
    assert len(bench.calls) == 1
    basket = bench.batching.open_basket()
    for tenant in (b"a", b"b", b"a"):
        basket.add(make_ticket(body, {b"x-tenant": tenant}))
    assert [len(batch.tickets) for batch in basket.batches] == [2, 1]


class Replica:
    """Threads behind a real loop that join what waits."""

    def __init__(self, bench: Bench, threads: int = 1, max_concurrent: int = 1000) -> None:
        self.loop = asyncio.get_running_loop()
        self.admission = Admission(self.loop, max_concurrent=max_concurrent, max_queue_wait_s=60)
        self.dispatcher = Dispatcher(self.loop, self.admission.leave, RUN_FAILED)
        self._bench = bench
        self._threads = threads
        self._max_concurrent = max_concurrent

    def start(self) -> None:
        self.admission.open()
        self.dispatcher.start_threads(
            self._threads, self._bench.score, partial(JoiningWorker, self._bench.batching, self._max_concurrent)
        )

    def enter(self, body: bytes, *, is_gone: bool = False) -> asyncio.Future[Answer]:
        client = Client()
        client.disconnected = is_gone
        answer: asyncio.Future[Answer] = self.loop.create_future()
        ticket = Ticket(body, {}, {}, answer, client)
        self.admission.enter(ticket)
        self.dispatcher.put(ticket)
        return answer


@pytest.mark.parametrize("threads", [1, 4])
@settings(deadline=None, max_examples=20)
@given(bodies=st.lists((FINE | ODD).map(str.encode), min_size=20, max_size=60))
def test_threads_answer_each_request_as_alone(threads: int, bodies: list[bytes]) -> None:
    bench = PLAIN[run_text]

    async def scenario() -> None:
        replica = Replica(bench, threads)
        entered = [replica.enter(body) for body in bodies]
        replica.start()
        answers = await asyncio.gather(*entered)
        alone = [bench.score(make_ticket(body)) for body in bodies]
        assert list(map(_strip_time, answers)) == list(map(_strip_time, alone))
        replica.dispatcher.stop()

    asyncio.run(asyncio.wait_for(scenario(), 15))


def test_client_that_left_is_dropped_from_the_batch() -> None:
    bench = Bench(run_text).teach()

    async def scenario() -> None:
        replica = Replica(bench)
        first = replica.enter(b'{"rows": [[1, 2]]}')
        gone = replica.enter(b'{"rows": [[9, 9]]}', is_gone=True)
        last = replica.enter(b'{"rows": [[3, 4]]}')
        replica.start()
        assert await gone is CLIENT_LEFT
        assert json.loads((await first).body)["prediction"] == [6]
        assert json.loads((await last).body)["prediction"] == [14]
        assert bench.calls == ['{"rows": [[1, 2],[3, 4]]}']
        replica.dispatcher.stop()

    asyncio.run(asyncio.wait_for(scenario(), 15))


def test_no_more_requests_are_joined_than_may_run_at_a_time() -> None:
    bench = Bench(run_text).teach()

    async def scenario() -> None:
        replica = Replica(bench, max_concurrent=3)
        entered = [replica.enter(b'{"rows": [[%d, 2]]}' % number) for number in range(6)]
        replica.start()
        await asyncio.gather(*entered)
        assert bench.calls == ['{"rows": [[0, 2],[1, 2],[2, 2]]}', '{"rows": [[3, 2],[4, 2],[5, 2]]}']
        replica.dispatcher.stop()

    asyncio.run(asyncio.wait_for(scenario(), 15))


def test_request_on_its_own_is_neither_looked_at_nor_kept() -> None:
    bench = Bench(run_text).teach()

    async def scenario() -> None:
        replica = Replica(bench)
        replica.start()
        for _ in range(3):
            await replica.enter(b'{"rows": [[1, 2]] }')
        assert bench.calls == ['{"rows": [[1, 2]] }'] * 3
        replica.dispatcher.stop()

    asyncio.run(asyncio.wait_for(scenario(), 15))


def test_exception_from_nowhere_loses_no_request_of_a_batch() -> None:
    bench = Bench(run_text).teach()
    score_batch, raised = bench.batching.score_batch, threading.Event()

    def interrupted(batch: Any) -> Any:
        if not raised.is_set():
            raised.set()
            raise KeyboardInterrupt
        return score_batch(batch)

    async def scenario() -> None:
        bench.batching.score_batch = interrupted
        replica = Replica(bench)
        bodies = [b'{"rows": [[%d, 2]], "factor": %d}' % (number, 1 + number % 2) for number in range(8)]
        entered = [replica.enter(body) for body in bodies]
        replica.start()
        answers = await asyncio.gather(*entered)
        assert [json.loads(answer.body)["rows"][0][0] for answer in answers] == [0, 2, 2, 6, 4, 10, 6, 14]
        replica.dispatcher.stop()

    asyncio.run(asyncio.wait_for(scenario(), 15))


def test_stop_behind_requests_that_are_joined_ends_all_threads() -> None:
    bench = Bench(run_text).teach()

    async def scenario() -> None:
        replica = Replica(bench, threads=3)
        entered = [replica.enter(b'{"rows": [[1, 2]]}') for _ in range(20)]
        replica.dispatcher.stop()
        replica.start()
        assert {answer.status for answer in await asyncio.gather(*entered)} == {200}
        for thread in threading.enumerate():
            if thread.name.startswith("run-"):
                await asyncio.to_thread(thread.join, 15)
                assert not thread.is_alive()

    asyncio.run(asyncio.wait_for(scenario(), 15))


def run_echo(body: str) -> dict[str, Any]:
    return {"sums": [row[0] for row in _rows(body)], "factor": json.loads(body)["factor"]}


def test_what_stands_beside_the_rows_may_stand_in_the_result() -> None:
    bench = Bench(run_echo).teach(b'{"rows": [[1]], "factor": 0}', b'{"rows": [[2]], "factor": 0}')
    for turn in range(40):
        factor = turn % 8
        bodies = [b'{"rows": [[%d]], "factor": %d}' % (number, factor) for number in (turn, turn + 1)]
        answers = bench.ask(*bodies)
        assert [json.loads(answer.body) for answer in answers] == [
            {"sums": [number], "factor": factor} for number in (turn, turn + 1)
        ]
    assert bench.batching.is_on
    # Each factor but the first was looked at once, request by request.
    assert len(bench.calls) == 40 + 7 * 2


def test_result_with_ever_new_values_beside_the_rows_is_given_up() -> None:
    bench = Bench(run_echo).teach(b'{"rows": [[1]], "factor": 0}', b'{"rows": [[2]], "factor": 0}')
    for turn in range(1, 70):
        bench.ask(*[b'{"rows": [[%d]], "factor": %d}' % (number, turn) for number in range(2)])
    assert not bench.batching.is_on
