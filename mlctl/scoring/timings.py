"""How long requests take, step by step, in histograms. `Timings` is an observer of `app`; `metrics` writes it out.

Everything here happens in the HTTP loop's thread, with neither locks nor a clock of its own. A request leaves its times
in a list; 256 at once they are sorted into the buckets, which costs a third of what one after the other does.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from operator import sub
from typing import Any

from mlctl.scoring.answers import Answer
from mlctl.scoring.app import Handled
from mlctl.scoring.dispatch import Ticket

_DIGITS = (1.0, 1.6, 2.5, 4.0, 6.3)
# From 10 µs to 100 s: a quantile read from them is off by a fifth at most.
BOUNDS_S = (*[round(digit * 10.0**exponent, 8) for exponent in range(-5, 2) for digit in _DIGITS], 100.0)
BOUNDS_OF_COUNTS = tuple([float(2**power) for power in range(15)])
_FIELDS = 7
_MOST_WAITING = 256 * _FIELDS


class Histogram:
    """counts: of values up to each bound, less those up to the bound before; the last count is of larger ones."""

    def __init__(self, bounds: Sequence[float] = BOUNDS_S) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def add_all(self, values: list[float]) -> None:
        """Count values, of which there is one at least, and sort them meanwhile."""
        self.total += sum(values)
        values.sort()
        done = 0
        for index in range(bisect_left(self.bounds, values[0]), len(self.bounds)):
            if done == len(values):
                return
            upto = bisect_right(values, self.bounds[index], done)
            self.counts[index] += upto - done
            done = upto
        self.counts[-1] += len(values) - done


class Timings:
    """What has been measured since the start.

    queue: from the whole request's arrival until a thread takes it. decode: making run()'s input of it. run: run()
    itself. encode: from its result to the answer. Of joined requests each counts, with the times of the joint call.
    """

    def __init__(self) -> None:
        self.queue, self.decode, self.run, self.encode = Histogram(), Histogram(), Histogram(), Histogram()
        self.statuses: Counter[int] = Counter()
        self.rows = 0
        self._waiting: list[Any] = []
        self._add = self._waiting.extend

    def observe(self, handled: Handled) -> None:
        """Note an answer, and the steps that its request has been through."""
        _, _, _, ticket, answer, _ = handled
        if ticket is None or not ticket.encoded_s:
            self._note_failed(ticket, answer)
            return
        self._add(
            (
                answer[0],
                ticket.rows,
                ticket.entered_s,
                ticket.claimed_s,
                ticket.run_started_s,
                ticket.run_ended_s,
                ticket.encoded_s,
            )
        )
        if len(self._waiting) >= _MOST_WAITING:
            self.fold()

    def fold(self) -> None:
        """Count what has been noted but not counted yet."""
        if not self._waiting:
            return
        statuses, rows, *moments = [self._waiting[column::_FIELDS] for column in range(_FIELDS)]
        self._waiting.clear()
        self.statuses.update(statuses)
        self.rows += int(sum(filter(None, rows)))
        for step, begun, ended in zip(
            (self.queue, self.decode, self.run, self.encode), moments, moments[1:], strict=False
        ):
            step.add_all(list(map(sub, ended, begun)))

    def _note_failed(self, ticket: Ticket | None, answer: Answer) -> None:
        """Note the steps that came to an end before something went wrong; those of a late request have not begun."""
        self.statuses[answer.status] += 1
        if ticket is None:
            return
        self.rows += ticket.rows or 0
        if ticket.claimed_s:
            self.queue.add(ticket.claimed_s - ticket.entered_s)
        if ticket.run_started_s:
            self.decode.add(ticket.run_started_s - ticket.claimed_s)
        if ticket.run_ended_s:
            self.run.add(ticket.run_ended_s - ticket.run_started_s)


class BatchSizes:
    """Requests and rows in the calls of run() of a replica that joins requests.

    Those that it makes to check are left out.
    """

    def __init__(self) -> None:
        self.requests, self.rows = Histogram(BOUNDS_OF_COUNTS), Histogram(BOUNDS_OF_COUNTS)

    def observe(self, handled: Handled) -> None:
        """Note a call of run() when its first request has been answered."""
        if handled.ticket is not None and handled.ticket.call is not None:
            requests, rows = handled.ticket.call
            self.requests.add(requests)
            if rows:
                self.rows.add(rows)
