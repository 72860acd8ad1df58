"""What replicas tell of themselves at `/metrics`: read from their sockets, taken apart, added up.

Used by the daemon, for Prometheus, and by `mlctl deployment profile`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import NamedTuple

from mlctl import unix_http

PATH = "/metrics"
_OK = 200
_MOST_THREADS = 32
_SAMPLE = re.compile(r"(\w+)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'(\w+)="([^"]*)"')


class Series(NamedTuple):
    """One line of a metric: its name and its labels, in the order in which they were written."""

    name: str
    labels: tuple[tuple[str, str], ...] = ()

    def label(self, name: str) -> str:
        """Return a label's value; empty where there is none."""
        return next((value for label, value in self.labels if label == name), "")


@dataclass(frozen=True)
class Reading:
    """What was read at one moment. about: the lines `# HELP` and `# TYPE` by the metric's name; kinds: by the same."""

    values: Mapping[Series, float]
    kinds: Mapping[str, str]
    about: Mapping[str, tuple[str, ...]]

    def kind(self, series: Series) -> str:
        """Return counter, gauge or histogram, whose parts count up as counters do."""
        name = series.name
        return self.kinds.get(name) or self.kinds.get(re.sub("_(bucket|sum|count)$", "", name), "")


EMPTY = Reading({}, {}, {})


def parse_metrics(text: str) -> Reading:
    """Read Prometheus' text format, as replicas write it; a line that is anything else is passed over."""
    values: dict[Series, float] = {}
    kinds: dict[str, str] = {}
    about: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        if line.startswith("# "):
            _, what, name, told = [*line.split(" ", 3), "", "", ""][:4]
            about[name] = (*about.get(name, ()), line)
            if what == "TYPE":
                kinds[name] = told
        elif found := _SAMPLE.fullmatch(line):
            labels = tuple((match[1], match[2]) for match in _LABEL.finditer(found[2] or ""))
            values[Series(found[1], labels)] = float(found[3])
    return Reading(values, kinds, about)


def read_metrics(sockets: Sequence[str], *, timeout_s: float) -> dict[str, Reading]:
    """Ask several replicas at once; those that do not answer in time are left out."""
    if not sockets:
        return {}
    pool = ThreadPoolExecutor(min(len(sockets), _MOST_THREADS), thread_name_prefix="metrics")
    asked = {pool.submit(_ask, socket, timeout_s): socket for socket in sockets}
    done, _ = wait(asked, timeout_s)
    # Whoever hangs is left to its own time-out.
    pool.shutdown(wait=False, cancel_futures=True)
    return {asked[future]: reading for future in done if (reading := future.result()) is not None}


def _ask(socket: str, timeout_s: float) -> Reading | None:
    try:
        answer = unix_http.request(socket, "GET", PATH, timeout_s=timeout_s)
        return parse_metrics(answer.body.decode()) if answer.status == _OK else None
    except (OSError, ValueError, unix_http.HTTPException):
        return None


def add_readings(readings: Iterable[Reading]) -> Reading:
    """Add up what several sockets tell."""
    total: dict[Series, float] = {}
    kinds: dict[str, str] = {}
    about: dict[str, tuple[str, ...]] = {}
    for reading in readings:
        kinds |= reading.kinds
        about |= reading.about
        for series, value in reading.values.items():
            total[series] = total.get(series, 0.0) + value
    return Reading(total, kinds, about)
