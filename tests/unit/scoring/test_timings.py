"""The steps of requests are counted, whatever became of them, and written as Prometheus reads them."""

from __future__ import annotations

import re
from bisect import bisect_left
from inspect import Parameter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.runtimes.metrics import Series, parse_metrics
from mlctl.scoring.answers import NOT_FOUND, RUN_FAILED, Answer
from mlctl.scoring.app import Handled
from mlctl.scoring.dispatch import Ticket
from mlctl.scoring.inputs import SchemaReader
from mlctl.scoring.metrics import Metrics
from mlctl.scoring.timings import BOUNDS_S, BatchSizes, Histogram, Timings
from tests.unit.scoring.test_joining import make_ticket

OK = Answer(200, b"{}", b"")


def make_handled(ticket: Ticket | None, answer: Answer = OK) -> Handled:
    return Handled({}, {}, b"id", ticket, answer, 0.0)


def make_scored(
    *, queue_s: float = 0.001, decode_s: float = 0.0, run_s: float = 0.02, encode_s: float = 0.003
) -> Ticket:
    ticket = make_ticket(b"{}")
    ticket.claimed_s = ticket.entered_s + queue_s
    ticket.run_started_s = ticket.claimed_s + decode_s
    ticket.run_ended_s = ticket.run_started_s + run_s
    ticket.encoded_s = ticket.run_ended_s + encode_s
    return ticket


def counts_of(timings: Timings) -> dict[str, int]:
    timings.fold()
    return {step: sum(getattr(timings, step).counts) for step in ("queue", "decode", "run", "encode")}


@given(st.lists(st.floats(0, 1000), min_size=1))
def test_values_are_counted_alike_one_by_one_and_at_once(values: list[float]) -> None:
    singly, at_once = Histogram(), Histogram()
    for value in values:
        singly.add(value)
    at_once.add_all(list(values))
    assert singly.counts == at_once.counts
    assert at_once.total == pytest.approx(singly.total)


def test_a_value_on_a_bound_belongs_below_it() -> None:
    histogram = Histogram((1.0, 2.0))
    histogram.add_all([1.0, 2.0, 2.5])
    assert histogram.counts == [1, 1, 1]


def test_each_step_is_counted_in_its_bucket() -> None:
    timings = Timings()
    timings.observe(make_handled(make_scored()))
    assert counts_of(timings) == {"queue": 1, "decode": 1, "run": 1, "encode": 1}
    assert timings.run.total == pytest.approx(0.02)
    assert timings.run.counts[bisect_left(BOUNDS_S, 0.02)] == 1
    assert timings.decode.counts[0] == 1


def test_nothing_waits_for_a_reader_without_limit() -> None:
    timings = Timings()
    for _ in range(1000):
        timings.observe(make_handled(make_scored()))
    assert sum(timings.run.counts) >= 768
    assert counts_of(timings)["run"] == timings.statuses[200] == 1000


def test_a_failed_run_has_no_encoding() -> None:
    timings, ticket = Timings(), make_scored()
    ticket.encoded_s = 0.0
    timings.observe(make_handled(ticket, RUN_FAILED))
    assert counts_of(timings) == {"queue": 1, "decode": 1, "run": 1, "encode": 0}
    assert timings.statuses == {424: 1}


def test_a_request_that_never_had_its_turn_is_counted_by_status_only() -> None:
    timings = Timings()
    timings.observe(make_handled(make_ticket(b"{}"), Answer(429, b"", b"")))
    timings.observe(make_handled(None, NOT_FOUND))
    assert counts_of(timings) == {"queue": 0, "decode": 0, "run": 0, "encode": 0}
    assert timings.statuses == {429: 1, 404: 1}


def test_rows_are_added_up_where_they_are_known() -> None:
    timings = Timings()
    for rows in (3, None, 4):
        ticket = make_scored()
        ticket.rows = rows
        timings.observe(make_handled(ticket))
    timings.fold()
    assert timings.rows == 7


@pytest.mark.parametrize(
    ("body", "rows"),
    [
        ('{"data": [[1, 2], [3, 4]]}', 2),
        ('{"data": {"columns": ["a"], "data": [[1], [2], [3]]}}', 3),
        ('{"data": "text"}', None),
    ],
)
def test_the_rows_of_a_scripts_schema_are_known(body: str, rows: int | None) -> None:
    ticket = make_ticket(body.encode(), {b"content-type": b"application/json"})
    SchemaReader((Parameter("data", Parameter.KEYWORD_ONLY),)).read(ticket)
    assert ticket.rows == rows


def test_a_call_for_several_requests_is_counted_once() -> None:
    sizes, tickets = BatchSizes(), [make_scored(), make_scored(), make_scored()]
    tickets[0].call = (3, 12)
    for ticket in tickets:
        sizes.observe(make_handled(ticket))
    assert (sum(sizes.requests.counts), sizes.requests.total, sizes.rows.total) == (1, 3, 12)


def test_metrics_are_written_as_prometheus_reads_them() -> None:
    timings, sizes = Timings(), BatchSizes()
    timings.observe(make_handled(make_scored(run_s=0.02)))
    timings.observe(make_handled(make_scored(run_s=200.0)))
    answer = Metrics(timings, lambda: 5, sizes, lambda: 2).answer()
    assert b"content-type: text/plain; version=0.0.4" in answer.headers
    reading = parse_metrics(answer.body.decode())
    run = ("step", "run")
    bucket = "mlctl_scoring_step_seconds_bucket"
    assert reading.values[Series(bucket, (run, ("le", "0.016")))] == 0
    assert reading.values[Series(bucket, (run, ("le", "0.025")))] == 1
    assert reading.values[Series(bucket, (run, ("le", "100")))] == 1
    assert reading.values[Series(bucket, (run, ("le", "+Inf")))] == 2
    assert reading.values[Series("mlctl_scoring_step_seconds_count", (run,))] == 2
    assert reading.values[Series("mlctl_scoring_step_seconds_sum", (run,))] == pytest.approx(200.02)
    assert reading.values[Series("mlctl_scoring_requests_total", (("status", "200"),))] == 2
    assert reading.values[Series("mlctl_scoring_in_flight")] == 5
    assert reading.values[Series("mlctl_scoring_collector_lost_total")] == 2
    assert reading.kinds["mlctl_scoring_step_seconds"] == "histogram"
    told = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text()
    for name in reading.kinds:
        assert re.search(rf"^\| `{name.removeprefix('mlctl_scoring_')}[`{{]", told, re.MULTILINE), name
    assert {line.split()[2] for line in answer.body.decode().splitlines() if line.startswith("# HELP")} == set(
        reading.kinds
    )
