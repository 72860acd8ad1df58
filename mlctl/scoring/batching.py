"""Micro-batching: requests that wait at the same time are scored by one call of run(). Between `dispatch` and `scorer`.

It changes no answer. What is joined can be cut again, or is scored one by one: the first 20 batches are scored both
ways, answered with the single results, and taught from; a batch that fails is scored again one by one, so that only the
request at fault has the error. Where joining does no good it is switched off for the replica's lifetime, which the log
tells once. run() therefore sees some requests twice, as it would see those that a client repeats.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

from mlctl.scoring.answers import CLIENT_LEFT, Answer, answer_result
from mlctl.scoring.behaviour import Behaviour
from mlctl.scoring.cutting import Form, Plan, Unlike, find_form, learn_plan
from mlctl.scoring.dispatch import Channel, Score, Ticket, Worker
from mlctl.scoring.inputs import choose_joined_reader, minds_type
from mlctl.scoring.joining import Basket, Batch, Frame, RowFinder
from mlctl.scoring.options import MicroBatching
from mlctl.scoring.scorer import headers_for_script
from mlctl.scoring.text_cutting import TextPlan, plan_text
from mlctl.scoring.user_code import Kind, Script
from mlctl.scoring.wire import Encoded

_CHECKED_BATCHES = 20
# So many batches in a row that fail, though each of their requests is fine alone, are a script that cannot be joined.
_MOST_FAILURES = 3
# What is beside the rows in a body may stand in the result as well: results are cut by what is known of such bodies.
_MOST_WAYS = 64
_LONGEST_GAP_S = 0.0002
_OK = 200
_FAILS = "run() fails for joined requests that are fine alone"
_logger = logging.getLogger("azmlinfsrv")

RunJoined = Callable[[str, Ticket], object]


class _Way(NamedTuple):
    """How results are cut. form: how they are written where they are text. text: how such text is cut undecoded."""

    plan: Plan
    form: Form | None
    text: TextPlan | None


class Batching:
    """Scores batches. One for all threads of a replica.

    score: answers a single request. run: calls the script for a batch, with one of its tickets for what is equal in
    all. encode: see `Behaviour`. kin_of: see `Basket`.
    """

    def __init__(
        self,
        settings: MicroBatching,
        score: Score,
        run: RunJoined,
        encode: Callable[[object], Encoded],
        kin_of: Callable[[Ticket], Hashable] | None = None,
    ) -> None:
        self.settings = settings
        self.score = score
        self.is_on = True
        self.threads = 0
        self._run = run
        self._encode = encode
        self._kin_of = kin_of
        self._finder = RowFinder(settings.input_key)
        self._ways: dict[Frame, _Way] = {}
        self._unchecked_left = _CHECKED_BATCHES
        self._failures = 0
        self._lock = threading.Lock()

    def open_basket(self) -> Basket:
        """Return what takes requests and sorts them into batches."""
        return Basket(self._finder, self.settings.max_rows, self._kin_of)

    def score_batch(self, batch: Batch) -> Sequence[Answer]:
        """Score the requests of a batch; the answers are in their order."""
        if len(batch.tickets) < 2:
            return self._score_singly(batch, None)
        clock, first = time.perf_counter, batch.tickets[0]
        try:
            body = batch.write_body()
            first.run_started_s = clock()
            result = self._run(body, first)
        except BaseException:  # which request is at fault shows when they run one by one
            return self._score_singly(batch, _FAILS)
        # The runner knows better when run() was called, if its input had to be made first.
        started_s, ended_s = first.run_started_s, clock()
        if self._unchecked_left:
            return self._check(batch, result)
        encoded = self._cut(batch, result)
        if encoded is None:
            return self._check(batch, result)
        self._failures = 0
        first.call, encoded_s = (len(batch.tickets), batch.row_count), clock()
        for ticket in batch.tickets:
            ticket.run_started_s, ticket.run_ended_s, ticket.encoded_s = started_s, ended_s, encoded_s
        headers = answer_result(_OK, b"", (ended_s - started_s) * 1000).headers
        return [Answer(status, body, headers) for status, body in encoded]

    def _cut(self, batch: Batch, result: Any) -> list[Encoded] | None:
        """Return each request's status and body; None where the result is not as those before."""
        way, encode = self._ways.get(batch.frame), self._encode
        if way is None or (way.form is not None) != isinstance(result, str):
            return None
        spans = [slice(*ends) for ends in pairwise(accumulate([rows.row_count for rows in batch.rows], initial=0))]
        try:
            if way.form is None:
                parts = way.plan.cut(result, spans, batch.row_count)
                return None if parts is None else list(map(encode, parts))
            if not way.form.may_have_written(result):
                return None
            if way.text is not None and (texts := way.text.cut(result, spans, batch.row_count)) is not None:
                return list(map(encode, texts))
            parts = way.plan.cut(json.loads(result), spans, batch.row_count)
            return None if parts is None else [encode(way.form.write(part)) for part in parts]
        except Exception:  # objects of the script take part in the encoding
            return None

    def _check(self, batch: Batch, result: Any) -> Sequence[Answer]:
        """Answer with the single results, and learn from them how joined ones are cut."""
        try:
            status, body = self._encode(result)
        except Exception:  # as above
            return self._score_singly(batch, _FAILS)
        if status != _OK:
            return self._score_singly(batch, "run() refuses joined requests that are fine alone")
        answers = self._score_singly(batch, None)
        if all(answer.status == _OK for answer in answers):
            self._learn(isinstance(result, str), body, [answer.body for answer in answers], batch)
        return answers

    def _learn(self, is_text: bool, joined: bytes, singles: Sequence[bytes], batch: Batch) -> None:
        try:
            texts = [_read_text(body, is_text) for body in (joined, *singles)]
            first, *others = map(json.loads, texts)
            plan = learn_plan(first, others, [rows.row_count for rows in batch.rows])
            form = find_form(texts) if is_text else None
            way = _Way(plan, form, plan_text(plan, form) if form else None)
        except (ValueError, RecursionError):
            self._switch_off("run() does not return JSON")
        except Unlike as exc:
            self._switch_off(str(exc))
        else:
            with self._lock:
                is_known = batch.frame in self._ways or len(self._ways) >= _MOST_WAYS
                self._ways[batch.frame] = way
                if len(self._ways) > _MOST_WAYS:
                    del self._ways[next(iter(self._ways))]
                if self._unchecked_left:
                    self._unchecked_left -= 1
                    return
            if is_known:
                self._count_failure("the result keeps changing its form")

    def _score_singly(self, batch: Batch, failure: str | None) -> Sequence[Answer]:
        """Score one by one. failure: what went wrong with the batch, which is its own fault if all is well now."""
        answers: list[Answer] = []
        for ticket in batch.tickets:
            # Until now it has waited, whatever was done for the batch.
            ticket.call, ticket.claimed_s = (1, ticket.rows or 0), time.perf_counter()
            answers.append(self.score(ticket))
        if failure and all(answer.status == _OK for answer in answers):
            self._count_failure(failure)
        return answers

    def _count_failure(self, failure: str) -> None:
        with self._lock:
            self._failures += 1
            is_hopeless = self._failures >= _MOST_FAILURES
        if is_hopeless:
            self._switch_off(failure)

    def _switch_off(self, reason: str) -> None:
        with self._lock:
            was_on, self.is_on = self.is_on, False
        if was_on:
            _logger.warning("Micro-batching is off, requests are scored one by one from now on: %s.", reason)


def _read_text(body: bytes, is_text: bool) -> str:
    """Return the JSON that the script made; of text, Azure's way of encoding makes a JSON string."""
    if not is_text:
        return body.decode()
    value = json.loads(body)
    return value if isinstance(value, str) else body.decode()


class JoiningWorker(Worker):
    """A thread's work that takes what else waits, and scores it together.

    One request on its own never waits. Where there are two at least, but fewer than the last time, the others are
    probably on their way: they are waited for as long as one comes within 0.2 ms after the other, and `max_wait_s` at
    most. That lets the loop have the interpreter, and makes for a third fewer batches under steady load.

    max_concurrent: how many requests are taken at most, as the script was promised.
    """

    def __init__(self, batching: Batching, max_concurrent: int, channel: Channel, score: Score) -> None:
        super().__init__(channel, score)
        self._batching = batching
        self._max_concurrent = max_concurrent
        self._unanswered: set[Ticket] = set()
        self._expected = 1
        batching.threads += 1

    def work(self) -> None:
        """Answer tickets until there is a None among them, first those that an exception from nowhere left over."""
        while self._unanswered:
            self._answer_again(self._unanswered.pop())
        super().work()

    def _answer(self, ticket: Ticket) -> None:
        if self._channel.tickets.empty() or not self._batching.is_on:
            self._expected = 1
            ticket.call = (1, 0)
            super()._answer(ticket)
            return
        for batch in self._gather(ticket):
            self._answer_batch(batch)

    def _gather(self, ticket: Ticket) -> Sequence[Batch]:
        """Take what waits, as much as there is room for."""
        basket = self._batching.open_basket()
        give_up_at = time.perf_counter() + self._batching.settings.max_wait_s
        count = 0
        following: Ticket | None = ticket
        while following is not None:
            count += 1
            self._unanswered.add(following)
            has_room = basket.add(following) and count < self._max_concurrent
            following = self._take(give_up_at if count < self._expected else 0) if has_room else None
        self._expected = count
        return basket.batches

    def _take(self, give_up_at: float) -> Ticket | None:
        """Take one more ticket if there is one, or comes soon."""
        tickets = self._channel.tickets
        wait_s = min(_LONGEST_GAP_S, give_up_at - time.perf_counter()) if tickets.empty() else 0
        if wait_s > 0 and self._batching.threads > 1:
            # CPython's queue, up to 3.12, forgets the time limit when another thread takes what this one was woken for.
            time.sleep(wait_s)
            wait_s = 0
        try:
            ticket = tickets.get(timeout=wait_s) if wait_s > 0 else tickets.get_nowait()
        except queue.Empty:
            return None
        if ticket is None:
            tickets.put(None)  # time to stop, when these are done
        return ticket

    def _answer_batch(self, batch: Batch) -> None:
        claimed = [ticket for ticket in batch.tickets if self._claim(ticket)]
        if len(claimed) < len(batch.tickets):
            batch.keep(claimed)
        answers = self._batching.score_batch(batch)
        self._channel.finished.extend(zip(claimed, answers, strict=True))
        self._unanswered.difference_update(claimed)

    def _claim(self, ticket: Ticket) -> bool:
        ticket.claimed_s = time.perf_counter()
        if ticket.claim() and not ticket.is_abandoned():
            return True
        self._channel.finished.append((ticket, CLIENT_LEFT))
        self._unanswered.discard(ticket)
        return False

    def _answer_again(self, ticket: Ticket) -> None:
        self._current = ticket
        ticket.claim()  # whoever had it before: this thread as well, or the loop, which then has answered it
        answer = CLIENT_LEFT if ticket.answer.done() else self._score(ticket)
        self._channel.finished.append((ticket, answer))
        self._current = None


def open_batching(settings: MicroBatching, script: Script, score: Score, behaviour: Behaviour) -> Batching:
    """Make ready for the requests of a script. One that asks for headers is given those that all have alike."""

    read = choose_joined_reader(script, eats_forms=behaviour.eats_forms)

    def run(body: str, ticket: Ticket) -> object:
        given = read(body, ticket)
        ticket.run_started_s = time.perf_counter()
        return script.run(given, headers_for_script(ticket)) if script.wants_headers else script.run(given)

    kin_of: Callable[[Ticket], Hashable] | None = None
    if script.wants_headers:
        kin_of = _headers_of
    elif minds_type(script, eats_forms=behaviour.eats_forms):
        kin_of = _type_of
    _tell_key(settings, script)
    return Batching(settings, score, run, behaviour.encode, kin_of)


def _tell_key(settings: MicroBatching, script: Script) -> None:
    """Say what is joined. Requests to a script with a schema have its parameters' names as keys."""
    names = [parameter.name for parameter in script.parameters]
    if script.kind is not Kind.SCHEMA or settings.input_key in names:
        _logger.info('Joining waiting requests, up to %d rows of "%s"', settings.max_rows, settings.input_key)
        return
    _logger.warning(
        'Micro-batching joins nothing: run() has no parameter "%s", set mlctl.micro_batching.input_key to the one that'
        " takes the rows: %s",
        settings.input_key,
        ", ".join(names),
    )


def _headers_of(ticket: Ticket) -> Hashable:
    return ticket.scope["method"], frozenset(ticket.headers.items())


def _type_of(ticket: Ticket) -> Hashable:
    return ticket.scope["method"], ticket.headers.get(b"content-type")
