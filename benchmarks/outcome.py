"""What a benchmark is given and what it comes to. Used by every benchmark and by `__main__`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal


class BenchmarkFailed(Exception):
    """A figure could not be had: something is missing, or a run was void. The text says what to do."""


@dataclass(frozen=True)
class Effort:
    """How much is measured.

    runs, run_s, warm_up_s: wrk's, for each peer. blocks, block_requests: alternating blocks of requests on one
    connection. starts: of each command.
    """

    runs: int
    run_s: int
    warm_up_s: int
    blocks: int
    block_requests: int
    starts: int


FULL = Effort(runs=5, run_s=5, warm_up_s=3, blocks=10, block_requests=300, starts=20)
QUICK = Effort(runs=2, run_s=1, warm_up_s=1, blocks=4, block_requests=100, starts=5)


@dataclass(frozen=True)
class Target:
    """A figure and the bound that it must keep."""

    name: str
    value: float
    demand: Literal["at least", "at most"]
    bound: float
    unit: str

    @property
    def is_met(self) -> bool:
        """Say whether the bound is kept."""
        return self.value >= self.bound if self.demand == "at least" else self.value <= self.bound

    def render(self) -> str:
        """Write the verdict as one line."""
        verdict = "met" if self.is_met else "MISSED"
        return f"{verdict:<6}  {self.name}: {self.value:.2f} {self.unit}, target {self.demand} {self.bound:g}"


def render_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Align columns: the first to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [header, ["-" * width for width in widths], *rows]
    return "\n".join(_render_line(line, widths) for line in lines)


def _render_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)])
