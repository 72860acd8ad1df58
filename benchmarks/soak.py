"""Ten minutes at 70 % of what the scoring server can do: does its memory grow, does it keep file handles?"""

from __future__ import annotations

import os
import statistics
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.outcome import FULL, Effort, Target, render_table
from benchmarks.scoring_server import JOINING
from benchmarks.servers import Server, serve_mlctl
from benchmarks.subjects import train_fraud
from benchmarks.wrk import ensure_wrk, run_wrk, write_script
from mlctl.runtimes.processes import is_running

LOAD = 0.7
CONNECTIONS = 128  # wrk pauses for whole milliseconds: the more of them, the finer the rate
MOST_MB_PER_MINUTE = 1.0
MOST_NEW_HANDLES = 2
_LOOK_EVERY_S = 2.0
_PACE_TRIES = 3
_PACE_S = 3
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 1e6


@dataclass(frozen=True)
class Look:
    """What a process held at a moment."""

    at_s: float
    memory_mb: float
    handles: int


def measure(effort: Effort) -> list[Target]:
    """Find the most it can do, load it with 70 % of that, and watch it."""
    ensure_wrk()
    soak_s, warm_up_s = (600, 120) if effort == FULL else (30, 10)
    with tempfile.TemporaryDirectory(prefix="mlb-") as scratch:
        folder = Path(scratch)
        work = train_fraud(folder / "fraud")
        targets: list[Target] = []
        for name, options in (("alone", ()), ("micro-batching", JOINING)):
            with serve_mlctl(work, folder, *options, name=name) as server:
                targets += _soak(name, server, work.body, folder, (soak_s, warm_up_s))
    return targets


def _soak(name: str, server: Server, body: bytes, folder: Path, times_s: tuple[int, int]) -> list[Target]:
    soak_s, warm_up_s = times_s
    url = f"http://127.0.0.1:{server.port}/score"
    most = run_wrk(url, write_script(folder / f"{name}-most.lua", body), 5, connections=CONNECTIONS)
    script = _find_pace(url, folder / name, body, LOAD * most.requests_per_s)
    looks: list[Look] = []
    is_over = threading.Event()
    watcher = threading.Thread(target=_watch, args=(server, looks, is_over))
    watcher.start()
    try:
        run = run_wrk(url, script, soak_s, connections=CONNECTIONS)
    finally:
        is_over.set()
        watcher.join()
    kept = [look for look in looks if look.at_s >= looks[0].at_s + warm_up_s]
    slope = _find_slope(kept)
    new = max(look.handles for look in kept) - min(look.handles for look in kept)
    share = run.requests_per_s / most.requests_per_s
    cells = [f"{run.requests_per_s:,.0f}", f"{share:.0%}", f"{kept[0].memory_mb:.1f}", f"{kept[-1].memory_mb:.1f}"]
    header = (f"soak, {name}", "req/s", "of the most", "MB at first", "MB at last", "MB/min", "handles")
    print(render_table(header, [[f"{soak_s} s", *cells, f"{slope:.2f}", f"{kept[-1].handles}"]]), flush=True)
    return [
        Target(f"soak, {name}: memory", slope, "at most", MOST_MB_PER_MINUTE, "MB/min"),
        Target(f"soak, {name}: file handles", new, "at most", MOST_NEW_HANDLES, "more or fewer"),
    ]


def _find_pace(url: str, folder: Path, body: bytes, wanted_per_s: float) -> Path:
    """Return a script whose pauses bring about the wanted rate. Each connection asks, waits for its answer, pauses."""
    folder.mkdir()
    wanted_ms = CONNECTIONS / wanted_per_s * 1000
    pause_ms = (1 - LOAD) * wanted_ms
    for number in range(_PACE_TRIES):
        script = write_script(folder / f"{number}.lua", body, pause_ms=max(1, round(pause_ms)))
        run = run_wrk(url, script, _PACE_S, connections=CONNECTIONS)
        pause_ms += wanted_ms - CONNECTIONS / run.requests_per_s * 1000
    return write_script(folder / "found.lua", body, pause_ms=max(1, round(pause_ms)))


def _watch(server: Server, looks: list[Look], is_over: threading.Event) -> None:
    folder = Path(f"/proc/{server.process.pid}")
    while not is_over.wait(_LOOK_EVERY_S) and is_running(server.process):
        resident = int((folder / "statm").read_text().split()[1])
        looks.append(Look(time.monotonic(), resident * _PAGE_MB, len(list((folder / "fd").iterdir()))))


def _find_slope(looks: Sequence[Look]) -> float:
    """Return by how many MB a minute the memory grows, by least squares."""
    return statistics.linear_regression([look.at_s / 60 for look in looks], [look.memory_mb for look in looks]).slope
