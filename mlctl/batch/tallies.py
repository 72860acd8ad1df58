"""The table of all tries, summed by process and by node: the two summaries beside it. Used by `reports`."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlctl.batch.folder import NODE

_COLUMNS = (
    *("Tries", "Total", "Succeeded", "Failed", "Elapsed Seconds", "Process Seconds", "Run Method Seconds"),
    *("Failed Tries", "Timeouts"),
)


@dataclass
class Tally:
    """Sums of tries."""

    tries: int = 0
    total: int = 0
    succeeded: int = 0
    failed: int = 0
    elapsed_s: float = 0.0
    process_s: float = 0.0
    run_s: float = 0.0
    failed_tries: int = 0
    timeouts: int = 0

    def merge(self, other: Tally) -> None:
        """Add the sums of another."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    @property
    def row(self) -> tuple[object, ...]:
        """The sums, as they are written."""
        return tuple(round(value, 6) if isinstance(value, float) else value for value in vars(self).values())


def tally_try(items: tuple[int, int, int], times_s: tuple[float, float], status: str) -> Tally:
    """Return the sums of one try. items: given, succeeded, failed. times_s: of all of it, of run()."""
    total_s, run_s = times_s
    return Tally(1, *items, total_s, total_s, run_s, int(status != "RUN_DONE"), int(status.endswith("_TIMEOUT")))


class Tallies:
    """By the name of the process."""

    def __init__(self) -> None:
        self._found: dict[str, Tally] = {}

    def of(self, process: str) -> Tally:
        """Return a process's tally."""
        return self._found.setdefault(process, Tally())

    def read(self, report: Path) -> None:
        """Take in the tries of an earlier run of the job; a line that was torn when it was killed is left out."""
        with report.open(encoding="utf-8", errors="replace", newline="") as file:
            for line in csv.DictReader(text.replace("\0", "") for text in file):
                with suppress(ValueError, TypeError, KeyError):
                    items = (int(line["Total"]), int(line["Succeeded"]), int(line["Failed"]))
                    times_s = (float(line["Elapsed Seconds"]), float(line["Run Method Seconds"]))
                    self.of(line["Process"]).merge(tally_try(items, times_s, line["Status"]))

    def write(self, folder: Path) -> None:
        """Write both summaries."""
        node = Tally()
        for tally in self._found.values():
            node.merge(tally)
        _write(folder / "process_summary.csv", "Process", [(name, self._found[name]) for name in sorted(self._found)])
        _write(folder / "node_summary.csv", "Node", [(NODE, node)])


def _write(file: Path, name: str, rows: Iterable[tuple[str, Tally]]) -> None:
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow((name, *_COLUMNS))
        writer.writerows((label, *tally.row) for label, tally in rows)
