"""A lease: some mini-batches that a worker runs, with all tries of each, down to the items that cannot be scored.

This is what joblib dispatches, here to a thread that drives a child process, on a cluster to a process that does.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from math import log2
from typing import Any

from mlctl.batch.children import Child, StartFailed, WorkerLost
from mlctl.batch.inputs import MiniBatch, count_items, halve, name_items, render_range
from mlctl.batch.journal import BadItem, Outcome, Piece
from mlctl.errors import InvalidInput

# Of the script's own doing is neither a full disk nor a table that cannot be read: no item is to blame.
_DISK, _LOAD = "disk", "load"
# Starts in a row that may fail before the job is given up.
_MOST_FAILED_STARTS = 3
_LONGEST_ERROR = 1000


@dataclass
class _Attempts:
    """A mini-batch that has failed so far."""

    mini_batch: MiniBatch
    error: str
    stage: str = ""
    count: int = 1
    tries: list[tuple[Any, ...]] = field(default_factory=list[tuple[Any, ...]])


class LeaseRunner:
    """Runs leases in one worker. max_retries: further tries of a mini-batch that failed.

    Raises StartFailed when no worker starts, Dismissed when the job stops, InvalidInput for rows that cannot be read,
    and OSError for a full disk; of its lease nothing is to be committed then.
    """

    def __init__(self, child: Child, max_retries: int) -> None:
        self.child = child
        self.number = child.number
        self._max_retries = max_retries

    @property
    def pid(self) -> int | None:
        """The worker's process."""
        return self.child.pid

    @property
    def is_ready(self) -> bool:
        """Whether its init() is done."""
        return self.child.is_ready

    @property
    def mini_batch(self) -> int | None:
        """The number of the one that runs."""
        return self.child.mini_batch

    def run(self, lease: Sequence[MiniBatch]) -> list[Outcome]:
        """Run mini-batches until each has succeeded or has no try left."""
        outcomes: list[Outcome] = []
        failed: list[_Attempts] = []
        left = list(lease)
        while left:
            self.ensure_child()
            done = 0
            try:
                for mini_batch, reply in zip(left, self.child.run(left), strict=True):
                    done += 1
                    self._sort(mini_batch, reply, outcomes, failed)
            except WorkerLost as lost:
                failed.append(self._note(left[done], _Attempts(left[done], str(lost), "", 0), lost))
                done += 1
            left = left[done:]
        return [*outcomes, *(self._finish(attempts) for attempts in failed)]

    def _sort(
        self, mini_batch: MiniBatch, reply: dict[str, Any], outcomes: list[Outcome], failed: list[_Attempts]
    ) -> None:
        error = reply.get("error")
        if error is not None:
            self._refuse_disk(error)
        if error is None:
            outcomes.append(_succeed(mini_batch, [reply], [_describe_try(self.child.number, mini_batch, reply)]))
            return
        attempts = _Attempts(mini_batch, error["message"], error["stage"])
        attempts.tries.append(_describe_try(self.child.number, mini_batch, reply))
        failed.append(attempts)

    def _note(self, mini_batch: MiniBatch, attempts: _Attempts, lost: WorkerLost) -> _Attempts:
        attempts.count += 1
        attempts.error, attempts.stage = str(lost), ""
        took_s = round(lost.took_s, 6)
        error = {"message": attempts.error, "stage": lost.status, "trace": ""}
        reply = {"error": error, "run_s": took_s, "total_s": took_s}
        attempts.tries.append(_describe_try(self.child.number, mini_batch, reply))
        return attempts

    def _finish(self, attempts: _Attempts) -> Outcome:
        """Try again as often as allowed, then find the items at fault."""
        while attempts.count <= self._max_retries:
            reply = self._try(attempts.mini_batch, attempts)
            if "error" not in reply:
                return _succeed(attempts.mini_batch, [reply], attempts.tries)
        if attempts.stage == _LOAD:
            raise InvalidInput(
                f"cannot read {name_items(attempts.mini_batch, '')[0].render_place()}: {attempts.error}",
                hint=f"mend the file, then: mlctl batch resume -n {self.child.job} --changed",
            )
        return self._bisect(attempts)

    def _refuse_disk(self, error: dict[str, Any]) -> None:
        if error["stage"] == _DISK:
            raise OSError(errno.ENOSPC, f"no space left for what run() or its worker writes ({error['message']})")

    def _try(self, mini_batch: MiniBatch, attempts: _Attempts) -> dict[str, Any]:
        self.ensure_child()
        try:
            reply = next(iter(self.child.run([mini_batch])))
        except WorkerLost as lost:
            self._note(mini_batch, attempts, lost)
            return {"error": {"message": str(lost)}}
        self.child.mini_batch = None
        attempts.tries.append(_describe_try(self.child.number, mini_batch, reply))
        if "error" in reply:
            self._refuse_disk(reply["error"])
            attempts.count += 1
            attempts.error, attempts.stage = reply["error"]["message"], reply["error"]["stage"]
        return reply

    def _bisect(self, attempts: _Attempts) -> Outcome:
        """Halve what fails until single items are left; those that pass are kept.

        The calls are limited, so that a mini-batch in which everything fails does not cost a call for each item: what
        has not been told apart by then fails as a whole.
        """
        calls_left = int(8 * log2(count_items(attempts.mini_batch)) + 8)
        replies: list[dict[str, Any]] = []
        bad: list[BadItem] = []
        # What is still to be looked at, the first item on top, so that results stay in order; with the error, if known.
        todo: list[tuple[MiniBatch, str | None]] = [(attempts.mini_batch, attempts.error)]
        while todo:
            mini_batch, error = todo.pop()
            if error is None and calls_left > 0:
                calls_left -= 1
                reply = self._try(mini_batch, attempts)
                if "error" not in reply:
                    replies.append(reply)
                    continue
                error = reply["error"]["message"]
            if count_items(mini_batch) < 2 or calls_left <= 0:
                bad.extend(name_items(mini_batch, (error or attempts.error)[:_LONGEST_ERROR]))
                continue
            todo.extend((half, None) for half in reversed(halve(mini_batch)))
        return _succeed(attempts.mini_batch, replies, attempts.tries, tuple(bad))

    def ensure_child(self) -> None:
        """Start the worker unless it runs; raises StartFailed after some starts in a row have failed."""
        failures = 0
        while not self.child.is_running:
            try:
                self.child.start()
            except StartFailed:
                failures += 1
                if failures >= _MOST_FAILED_STARTS:
                    raise


def _succeed(
    mini_batch: MiniBatch,
    replies: Sequence[dict[str, Any]],
    tries: Sequence[tuple[Any, ...]],
    bad: tuple[BadItem, ...] = (),
) -> Outcome:
    pieces = tuple(
        Piece(reply["part"], reply["offset"], reply["length"], reply["crc"]) for reply in replies if "part" in reply
    )
    succeeded = sum(reply["succeeded"] for reply in replies)
    short = sum(reply["items"] - reply["succeeded"] for reply in replies)
    if short:
        given = sum(reply["items"] for reply in replies)
        error = f"run() returned {succeeded:,} results for {given:,} items: which of them are missing cannot be told"
        bad = (*bad, BadItem(render_range(mini_batch), None, error, short))
    return Outcome(mini_batch["index"], pieces, count_items(mini_batch), succeeded, bad, tuple(tries))


def _describe_try(number: int, mini_batch: MiniBatch, reply: dict[str, Any]) -> tuple[Any, ...]:
    """Return a row of the report: see `reports`."""
    error = reply.get("error")
    items = count_items(mini_batch)
    succeeded = reply.get("succeeded", 0)
    status = "RUN_DONE" if error is None else error["stage"] if error["stage"].endswith("_TIMEOUT") else "RUN_EXCEPTION"
    message = "" if error is None else error["message"]
    return (
        mini_batch["index"],
        number,
        time.time(),
        items,
        succeeded,
        items - succeeded,
        reply["total_s"],
        reply["run_s"],
        status,
        message,
        "" if error is None else error["trace"],
        render_range(mini_batch),
    )
