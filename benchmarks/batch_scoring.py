"""Batch jobs beside a hand-written loop and beside Ray Data, in the same run: start-up is left out for all of them.

A job is timed from the first call of run() to the moment when its output has its name.
"""

from __future__ import annotations

import importlib
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.batch_jobs import Job, Runner
from benchmarks.batch_peers import ensure_ray, run_loop, run_ray
from benchmarks.machine import Quiet
from benchmarks.outcome import FULL, BenchmarkFailed, Effort, Target, render_table

COLUMNS = ("amount", "hour", "distance_km", "account_age", "count", "is_foreign")
GROUP_ROWS = 131_072
QUIET_LIMIT_S = 120.0
SCORE = """
import os
import joblib
import pandas as pd

def init():
    global model
    model = joblib.load(os.environ["MODEL"])

def run(mini_batch):
    rows = mini_batch.to_numpy()
    probability = model.predict_proba(rows)
    return pd.DataFrame({"prediction": model.predict(rows), "p0": probability[:, 0], "p1": probability[:, 1]})
"""
TRIVIAL = "def run(mini_batch): return mini_batch"
BUSY = """
def run(mini_batch):
    total = 0
    for number in range(400_000):
        total += number * number
    return [total] * len(mini_batch)
"""
# Slow enough that a hundred kills hit it before it is done.
DELAYED = """
import time

def run(mini_batch):
    time.sleep(0.004)
    return [path.rsplit("/", 1)[1] for path in mini_batch]
"""


def measure(effort: Effort) -> list[Target]:
    """Measure everything that batch jobs promise."""
    is_full = effort == FULL
    with tempfile.TemporaryDirectory(prefix="mlb-") as scratch:
        runner = Runner(Path(scratch))
        runs = Repeated(5, QUIET_LIMIT_S) if is_full else Repeated(1, 0.0)
        rows = 2_000_000 if is_full else 500_000
        table = make_table(runner, "payments.parquet", rows)
        job = Job(runner.write_script("score", SCORE), table, "rows", size=1000, format="parquet")
        targets = [
            *_measure_table(runner, runs, job, rows),
            *_measure_scaling(runner, runs),
            *_measure_files(runner, runs),
            *_measure_memory(runner, job, rows, 10 * rows),
            *_measure_kills(runner, 100 if is_full else 10),
        ]
        print(runs.quiet.render(), flush=True)
        return targets


class Repeated:
    """Repeats measurements, each at a quiet moment if one comes. limit_s: so long it waits for those, in all."""

    def __init__(self, runs: int, limit_s: float) -> None:
        self._runs = runs
        self.quiet = Quiet(limit_s)

    def take_turns(self, contenders: Sequence[Callable[[], float]]) -> list[list[float]]:
        """Return each contender's seconds. They take turns: what else goes on in the machine hits all of them."""
        found: list[list[float]] = [[] for _ in contenders]
        for _ in range(self._runs):
            for took_s, contender in zip(found, contenders, strict=True):
                self.quiet.wait()
                took_s.append(contender())
        return found


def make_table(runner: Runner, name: str, rows: int) -> Path:
    """Write payments, and the model that scores them beside them."""
    numpy: Any = importlib.import_module("numpy")
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    linear: Any = importlib.import_module("sklearn.linear_model")
    joblib: Any = importlib.import_module("joblib")
    chance = numpy.random.default_rng(0)
    sample = chance.normal(size=(5000, len(COLUMNS)))
    model = linear.LogisticRegression().fit(sample, sample @ numpy.array([1, -2, 0.5, 0.3, 0, 1]) > 0)
    joblib.dump(model, runner.model)
    path = runner.folder / name
    schema = arrow.schema([(column, arrow.float64()) for column in COLUMNS])
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, GROUP_ROWS):
            values = chance.normal(size=(min(GROUP_ROWS, rows - start), len(COLUMNS)))
            writer.write_table(arrow.table([values[:, index] for index in range(len(COLUMNS))], schema=schema))
    return path


def _measure_table(runner: Runner, runs: Repeated, job: Job, rows: int) -> list[Target]:
    python = ensure_ray()
    fewer = replace(job, size=100)
    ray, loop, mine = runs.take_turns(
        [
            lambda: run_ray(python, job, runner.model),
            lambda: run_loop(job, runner.model),
            lambda: runner.run(job).took_s,
        ]
    )
    fine_loop, fine = runs.take_turns([lambda: run_loop(fewer, runner.model), lambda: runner.run(fewer).took_s])
    shown = {
        "mlctl, mini-batch 1,000": mine,
        "hand-written loop, mini-batch 1,000": loop,
        "Ray Data, mini-batch 1,000": ray,
        "mlctl, mini-batch 100": fine,
        "hand-written loop, mini-batch 100": fine_loop,
    }
    lines = [_describe(name, took_s, rows) for name, took_s in shown.items()]
    print(render_table((f"{rows:,} rows, 2 workers", "median", "from", "to", "rows/s"), lines), flush=True)
    return [
        Target("batch, mini-batch 1,000", _ratio(loop, mine), "at least", 0.85, "of a hand-written loop"),
        Target("batch, mini-batch 1,000", _ratio(ray, mine), "at least", 4, "x Ray Data"),
        Target("batch, mini-batch 100", _ratio(fine_loop, fine), "at least", 0.6, "of a hand-written loop"),
    ]


def _ratio(theirs: Sequence[float], mine: Sequence[float]) -> float:
    return statistics.median(theirs) / statistics.median(mine)


def _describe(name: str, took_s: Sequence[float], rows: int) -> list[str]:
    median = statistics.median(took_s)
    return [name, *(f"{value:.2f} s" for value in (median, min(took_s), max(took_s))), f"{rows / median:,.0f}"]


def _measure_scaling(runner: Runner, runs: Repeated) -> list[Target]:
    job = Job(runner.write_script("busy", BUSY), runner.make_files("few", 400), "files", size=2)
    contenders = [lambda workers=workers: runner.run(replace(job, workers=workers)).took_s for workers in (1, 2)]
    one, two = runs.take_turns(contenders)
    print(f"a model that computes: 1 worker {statistics.median(one):.2f} s, 2 workers {statistics.median(two):.2f} s")
    return [Target("batch, 1 to 2 workers on a CPU-bound model", _ratio(one, two), "at least", 1.8, "times as fast")]


def _measure_files(runner: Runner, runs: Repeated) -> list[Target]:
    job = Job(runner.write_script("trivial", TRIVIAL), runner.make_files("many", 10_000), "files", size=10)
    (took_s,) = runs.take_turns([lambda: runner.run(job).took_s])
    rate = 1000 / statistics.median(took_s)
    return [Target("batch, 10,000 small files", rate, "at least", 1000, "mini-batches/s")]


def _measure_memory(runner: Runner, job: Job, rows: int, more_rows: int) -> list[Target]:
    few = runner.run(job)
    many = runner.run(replace(job, source=make_table(runner, "many.parquet", more_rows)))
    shown = [
        ["coordinator", *(f"{ended.coordinator_bytes / 1e6:.0f} MB" for ended in (few, many))],
        ["worker", *(f"{ended.worker_bytes / 1e6:.0f} MB" for ended in (few, many))],
    ]
    print(render_table(("most memory of its own", f"{rows:,} rows", f"{more_rows:,} rows"), shown), flush=True)
    pairs = {
        "coordinator": (few.coordinator_bytes, many.coordinator_bytes),
        "worker": (few.worker_bytes, many.worker_bytes),
    }
    return [
        Target(f"batch, memory of the {name} for ten times the rows", after / before, "at most", 1.1, "times as much")
        for name, (before, after) in pairs.items()
    ]


def _measure_kills(runner: Runner, kills: int) -> list[Target]:
    job = Job(runner.write_script("delayed", DELAYED), runner.make_files("killed", 60 * kills), "files", size=2)
    undisturbed = runner.read_undisturbed(job)
    disturbed, done = runner.run_disturbed(job, kills)
    if done < kills / 2:
        raise BenchmarkFailed(f"the job was done after {done} of {kills} kills")
    print(f"killed {done} times: {len(disturbed):,} bytes of output, undisturbed {len(undisturbed):,}", flush=True)
    return [Target("batch, outputs unlike the undisturbed one", disturbed != undisturbed, "at most", 0, f"of {done}")]
