"""Which replicas of a deployment to start and which to drain, given what runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

GIVE_UP_AFTER = 3
FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.2, 30.0
# Ready for so long, a replica that dies is no crash loop: it is replaced at once.
STABLE_AFTER_S = 1.0


class ReplicaState(StrEnum):
    """How far a replica is."""

    STARTING = "starting"
    """Its process was started, or is about to be; no probe has passed yet."""
    READY = "ready"
    """Probes pass: it gets requests."""
    UNREADY = "unready"
    """It was ready, but its readiness probe fails now: no requests, no restart."""
    DRAINING = "draining"
    """It gets no new requests, finishes those it has, then ends."""


@dataclass(frozen=True)
class Replica:
    """A replica that runs, as planning sees it. Sequences of them are ordered oldest first."""

    id: str
    generation: int
    state: ReplicaState


@dataclass(frozen=True)
class Wanted:
    """What a deployment asks for.

    serving: the generation that last became ready, with serving_count replicas; None before the first.
    may_start: False while a crash loop's back-off lasts. has_given_up: `generation` failed for good.
    """

    generation: int
    count: int
    serving: int | None
    serving_count: int
    may_start: bool = True
    has_given_up: bool = False
    is_deleting: bool = False


@dataclass(frozen=True)
class ReplicaPlan:
    """start: generations to start a replica of, one entry each. drain: ids. is_complete: the newest is all ready.

    routed: ids of the replicas that the gateway sends requests to.
    """

    start: tuple[int, ...]
    drain: tuple[str, ...]
    routed: tuple[str, ...]
    is_complete: bool


def plan_replicas(wanted: Wanted, replicas: Sequence[Replica]) -> ReplicaPlan:
    """Plan one step: the new generation comes up beside the old, takes over when complete, then the old one drains."""
    if wanted.is_deleting:
        return ReplicaPlan((), _ids(replicas), (), is_complete=False)
    is_complete = _count_ready(replicas, wanted.generation) >= wanted.count and not wanted.has_given_up
    counts = _counts(wanted, is_complete=is_complete)
    start: list[int] = []
    drain: list[str] = list(_ids([replica for replica in replicas if replica.generation not in counts]))
    for generation, count in counts.items():
        alive = [replica for replica in replicas if replica.generation == generation and not _is_draining(replica)]
        if wanted.may_start or generation != wanted.generation:
            start += [generation] * (count - len(alive))
        drain += _ids(_surplus(alive, count))
    routed_generation = wanted.generation if is_complete or wanted.serving is None else wanted.serving
    routed = tuple(
        replica.id
        for replica in replicas
        if replica.generation == routed_generation and replica.state is ReplicaState.READY and replica.id not in drain
    )
    return ReplicaPlan(tuple(start), tuple(drain), routed, is_complete)


def _counts(wanted: Wanted, *, is_complete: bool) -> dict[int, int]:
    counts: dict[int, int] = {}
    if not wanted.has_given_up or wanted.serving == wanted.generation:
        counts[wanted.generation] = wanted.count
    if wanted.serving is not None and wanted.serving != wanted.generation and not is_complete:
        counts[wanted.serving] = wanted.serving_count
    return counts


def _surplus(alive: Sequence[Replica], count: int) -> list[Replica]:
    """Pick what is too much: those that are not ready first, then the newest."""
    by_worth = sorted(enumerate(alive), key=lambda pair: (pair[1].state is not ReplicaState.READY, pair[0]))
    return [replica for _, replica in by_worth[count:]]


def _count_ready(replicas: Sequence[Replica], generation: int) -> int:
    return sum(replica.generation == generation and replica.state is ReplicaState.READY for replica in replicas)


def _is_draining(replica: Replica) -> bool:
    return replica.state is ReplicaState.DRAINING


def _ids(replicas: Sequence[Replica]) -> tuple[str, ...]:
    return tuple(replica.id for replica in replicas if not _is_draining(replica))


def back_off_s(failures: int, *, was_ready: bool = False) -> float:
    """Return how long to wait before start number `failures` + 1: nothing at first, then doubling up to 30 s.

    was_ready: the replica served before it died; requests wait for the next one, so the first few come at once.
    """
    if was_ready:
        failures -= GIVE_UP_AFTER
    if failures <= 0:
        return 0.0
    return min(FIRST_BACKOFF_S * 2 ** min(failures - 1, 16), LONGEST_BACKOFF_S)
