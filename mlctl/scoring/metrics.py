"""What a replica tells of itself at `GET /metrics`, in Prometheus' text format. docs/metrics.md lists the names.

Whose replica it is, the reader knows: the daemon adds endpoint, deployment and replica.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import accumulate

from mlctl.scoring.answers import Answer
from mlctl.scoring.timings import BatchSizes, Histogram, Timings

_TYPE = b"content-type: text/plain; version=0.0.4; charset=utf-8\r\n"
_PREFIX = "mlctl_scoring"

Count = Callable[[], float]


class Metrics:
    """Puts together what the parts of a replica have counted. Called in the HTTP loop.

    in_flight: how many requests have no answer yet. collected_lost: None where nothing is collected.
    """

    def __init__(
        self, timings: Timings, in_flight: Count, batch_sizes: BatchSizes | None, collected_lost: Count | None
    ) -> None:
        self._timings = timings
        self._in_flight = in_flight
        self._batch_sizes = batch_sizes
        self._collected_lost = collected_lost
        self._began_cpu_s = 0.0

    def begin(self) -> None:
        """Leave out of the processor's time what init() took."""
        self._began_cpu_s = time.process_time()

    def answer(self) -> Answer:
        """Answer with all there is."""
        return Answer(200, "".join(f"{line}\n" for line in self._render()).encode(), _TYPE)

    def _render(self) -> Iterable[str]:
        timings, sizes = self._timings, self._batch_sizes
        timings.fold()
        yield from _describe("step_seconds", "histogram", "Seconds that requests spent in a step.")
        for step in ("queue", "decode", "run", "encode"):
            yield from _render_histogram("step_seconds", getattr(timings, step), f'step="{step}",')
        yield from _describe("requests_total", "counter", "Requests answered, by status; 499: the client had left.")
        for status, count in sorted(timings.statuses.items()):
            yield f'{_PREFIX}_requests_total{{status="{status}"}} {count}'
        yield from _render_number("rows_total", "counter", "Rows of requests whose rows are known.", timings.rows)
        yield from _render_number("in_flight", "gauge", "Requests that have no answer yet.", self._in_flight())
        taken_s = time.process_time() - self._began_cpu_s
        yield from _render_number("cpu_seconds_total", "counter", "Processor time taken since init().", taken_s)
        if sizes is not None:
            yield from _describe("call_requests", "histogram", "Requests that a call of run() answered.")
            yield from _render_histogram("call_requests", sizes.requests)
            yield from _describe("call_rows", "histogram", "Rows in a call of run(), where they are known.")
            yield from _render_histogram("call_rows", sizes.rows)
        if self._collected_lost is not None:
            text = "Requests that the data collector could not keep."
            yield from _render_number("collector_lost_total", "counter", text, self._collected_lost())


def _describe(name: str, kind: str, text: str) -> Iterable[str]:
    yield f"# HELP {_PREFIX}_{name} {text}"
    yield f"# TYPE {_PREFIX}_{name} {kind}"


def _render_number(name: str, kind: str, text: str, value: float) -> Iterable[str]:
    yield from _describe(name, kind, text)
    yield f"{_PREFIX}_{name} {value:.12g}"


def _render_histogram(name: str, histogram: Histogram, labels: str = "") -> Iterable[str]:
    """Write the counts of values up to each bound, as Prometheus has them. labels: with a comma behind each."""
    counts = list(accumulate(histogram.counts))
    for bound, count in zip(histogram.bounds, counts, strict=False):
        yield f'{_PREFIX}_{name}_bucket{{{labels}le="{bound:.12g}"}} {count}'
    yield f'{_PREFIX}_{name}_bucket{{{labels}le="+Inf"}} {counts[-1]}'
    own = f"{{{labels.rstrip(',')}}}" if labels else ""
    yield f"{_PREFIX}_{name}_sum{own} {histogram.total:.12g}"
    yield f"{_PREFIX}_{name}_count{own} {counts[-1]}"
