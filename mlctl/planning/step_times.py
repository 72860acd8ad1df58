"""From histograms of step times to quantiles and shares, and to the step that deserves attention."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

STEPS = ("queue", "decode", "run", "encode")
# What takes less is no reason to change anything.
NOTABLE_S = 0.001
# A run() that has the processor for less of its time waits for something else.
WAITING_BELOW = 0.5


@dataclass(frozen=True)
class StepTimes:
    """How long a step took. bounds: upper ends of the buckets in seconds, without the last, endless one.

    counts: how many values each bucket has. total_s: all of them together.
    """

    bounds: Sequence[float]
    counts: Sequence[int]
    total_s: float

    @property
    def count(self) -> int:
        """How often it was taken."""
        return sum(self.counts)

    def quantile(self, share: float) -> float:
        """Return the seconds below which this share of the values is, even within a bucket; 0 without values."""
        wanted, before = share * self.count, 0
        for (least, most), count in zip(pairwise((0.0, *self.bounds)), self.counts, strict=False):
            if count and before + count >= wanted:
                return least + (most - least) * (wanted - before) / count
            before += count
        return self.bounds[-1] if before < self.count else 0.0


class Remedy(StrEnum):
    """What shortens a step."""

    INSTANCES = "instances"
    """More replicas."""
    MICRO_BATCHING = "micro_batching"
    """Joining waiting requests into one call of run()."""
    CONCURRENCY = "concurrency"
    """More requests admitted at a time, without which none can be joined."""
    RUN_THREADS = "run_threads"
    """More threads that call run(), for scripts that wait."""
    FASTER_MODEL = "faster_model"
    """ONNX, or a smaller model."""
    SMALLER_BODIES = "smaller_bodies"
    """Less to decode."""
    SMALLER_ANSWERS = "smaller_answers"
    """Less to encode."""


@dataclass(frozen=True)
class Serving:
    """How a deployment is served now. is_joining: micro-batching is asked for."""

    max_concurrent: int
    is_joining: bool


def shares(times: Mapping[str, StepTimes]) -> dict[str, float]:
    """Return each step's share of all steps' time; zeros where no time was taken."""
    whole = sum(step.total_s for step in times.values())
    return {name: step.total_s / whole if whole > 0 else 0.0 for name, step in times.items()}


def is_notable(times: Mapping[str, StepTimes]) -> bool:
    """Say whether a request spends enough time here for a change to be felt."""
    requests = max((step.count for step in times.values()), default=0)
    return requests > 0 and sum(step.total_s for step in times.values()) / requests >= NOTABLE_S


def choose_remedies(step: str, serving: Serving, *, run_s: float, cpu_s: float) -> tuple[Remedy, ...]:
    """Return what to try, the most promising first.

    run_s: what run() took, of joined requests once for each. cpu_s: what the processor was busy meanwhile.
    """
    is_waiting = cpu_s < WAITING_BELOW * run_s / (serving.max_concurrent if serving.is_joining else 1)
    threads = (Remedy.RUN_THREADS,) if is_waiting else ()
    match step:
        case "queue":
            return (*threads, *_join(serving), Remedy.INSTANCES)
        case "run":
            return (*threads, *_join(serving), Remedy.FASTER_MODEL)
        case "decode":
            return (Remedy.SMALLER_BODIES,)
        case _:
            return (Remedy.SMALLER_ANSWERS,)


def _join(serving: Serving) -> tuple[Remedy, ...]:
    if serving.is_joining:
        return (Remedy.CONCURRENCY,) if serving.max_concurrent < 2 else ()
    return (Remedy.MICRO_BATCHING,)
