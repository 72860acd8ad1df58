"""Batch jobs beside a hand-written loop over processes, in the same run: start-up is left out for both.

A job is timed from the first call of run() to the moment when its output has its name.
"""

from __future__ import annotations

import csv
import importlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from textwrap import dedent
from typing import Any

from benchmarks.machine import Quiet
from benchmarks.outcome import FULL, BenchmarkFailed, Effort, Target, render_table
from mlctl.batch.folder import JobFolder
from mlctl.batch.launch import find_folder, is_coordinated, start_coordinator
from mlctl.batch.order import InputMode, JobInput, JobOrder, JobOutput, write_order
from mlctl.registry import jobs
from mlctl.registry.store import Store

COLUMNS = ("amount", "hour", "distance_km", "account_age", "count", "is_foreign")
GROUP_ROWS = 131_072
JOB_TIMEOUT_S = 900.0
QUIET_LIMIT_S = 60.0
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


@dataclass
class Bench:
    """What all measurements of a run share."""

    folder: Path
    runs: int
    quiet: Quiet
    count: int = 0

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def write_script(self, name: str, text: str) -> Path:
        path = self.folder / name / "score.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(text))
        return path

    def run_job(
        self, script: Path, source: Path, *, mode: InputMode, size: int, workers: int, parquet: bool = True
    ) -> tuple[float, int]:
        """Run a job; return its seconds, and the most bytes that its coordinator and workers had together."""
        self.count += 1
        name = f"bench-{self.count}"
        folder = find_folder(self.home, name)
        folder.make()
        output = self.folder / f"out-{self.count}"
        placed = JobOutput(
            "append_row", str(output), "out.parquet" if parquet else "out.csv", "parquet" if parquet else "az"
        )
        order = JobOrder(
            name=name,
            python=sys.executable,
            app_root=str(script.parent),
            entry_script=script.name,
            model_dir=None,
            environment_variables={"MODEL": str(self.folder / "model.pkl")},
            input=JobInput(mode, (str(source),)),
            output=placed,
            mini_batch_size=size,
            instance_count=workers,
        )
        write_order(folder.order, order)
        with Store(self.home / "registry.db") as store:
            jobs.insert(store, name=name, kind="batch", workspace="local", spec={})
        start_coordinator(self.home, name, os.environ)
        most_bytes = self._watch(folder)
        with Store(self.home / "registry.db") as store:
            row = jobs.get(store, name)
        if row.state != "Completed" or row.ended_at is None:
            raise BenchmarkFailed(f"the job is {row.state}: {row.error}")
        took_s = row.ended_at - _find_first_call(folder)
        shutil.rmtree(output)
        shutil.rmtree(folder.path)
        return took_s, most_bytes

    def _watch(self, folder: JobFolder) -> int:
        deadline, most_bytes = time.monotonic() + JOB_TIMEOUT_S, 0
        while is_coordinated(folder):
            if time.monotonic() > deadline:
                raise BenchmarkFailed(f"the job took longer than {JOB_TIMEOUT_S:g} s")
            progress = folder.read_progress()
            pids = [progress.get("pid"), *(worker.get("pid") for worker in progress.get("workers", ()))]
            most_bytes = max(most_bytes, sum(_own_bytes(pid) for pid in pids if pid))
            time.sleep(0.05)
        return most_bytes

    def run_loop(self, script: Path, source: Path, *, size: int, workers: int) -> float:
        words = [sys.executable, "-m", "benchmarks.batch_loop", str(script), str(source), str(size), str(workers)]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        ended = subprocess.run(
            [*words, str(self.folder)],
            env={**os.environ, **threads, "MODEL": str(self.folder / "model.pkl")},
            cwd=Path(__file__).parents[1],
            capture_output=True,
            text=True,
            timeout=JOB_TIMEOUT_S,
            check=False,
        )
        if ended.returncode != 0:
            raise BenchmarkFailed(f"the hand-written loop failed: {ended.stderr[-500:]}")
        return float(json.loads(ended.stdout)["took_s"])

    def repeat(self, measure: Callable[[], float]) -> list[float]:
        found: list[float] = []
        for _ in range(self.runs):
            self.quiet.wait()
            found.append(measure())
        return found


def _own_bytes(pid: int) -> int:
    """Return what a process has to itself: pages of files that are read do not count."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon:"))


def _find_first_call(folder: JobFolder) -> float:
    with (folder.system_logs / "job_report" / "processed_mini-batches.csv").open(newline="") as file:
        first = min(row["Start Time"] for row in csv.DictReader(file))
    return datetime.strptime(first, "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()


def make_table(path: Path, rows: int) -> Path:
    """Write payments, and the model that scores them beside them."""
    numpy: Any = importlib.import_module("numpy")
    arrow: Any = importlib.import_module("pyarrow")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    linear: Any = importlib.import_module("sklearn.linear_model")
    joblib: Any = importlib.import_module("joblib")
    chance = numpy.random.default_rng(0)
    sample = chance.normal(size=(5000, len(COLUMNS)))
    model = linear.LogisticRegression().fit(sample, sample @ numpy.array([1, -2, 0.5, 0.3, 0, 1]) > 0)
    joblib.dump(model, path.parent / "model.pkl")
    schema = arrow.schema([(name, arrow.float64()) for name in COLUMNS])
    with parquet.ParquetWriter(path, schema) as writer:
        for start in range(0, rows, GROUP_ROWS):
            values = chance.normal(size=(min(GROUP_ROWS, rows - start), len(COLUMNS)))
            writer.write_table(arrow.table([values[:, index] for index in range(len(COLUMNS))], schema=schema))
    return path


def measure(effort: Effort) -> list[Target]:
    is_full = effort == FULL
    folder = Path(tempfile.mkdtemp(prefix="mlbench-"))
    try:
        bench = Bench(folder, 5 if is_full else 1, Quiet(QUIET_LIMIT_S))
        rows = 2_000_000 if is_full else 500_000
        table = make_table(folder / "payments.parquet", rows)
        script = bench.write_script("score", SCORE)
        return [
            *_measure_table(bench, script, table, rows),
            *_measure_scaling(bench),
            *_measure_files(bench),
            *(_measure_memory(bench, script, table) if is_full else ()),
        ]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _measure_table(bench: Bench, script: Path, table: Path, rows: int) -> list[Target]:
    targets: list[Target] = []
    lines: list[list[str]] = []
    for size, bound in ((1000, 0.85), (100, 0.6)):
        mine: list[float] = []
        loop: list[float] = []
        for _ in range(bench.runs):
            bench.quiet.wait()
            # In turns: what else goes on in the machine hits both.
            loop.append(bench.run_loop(script, table, size=size, workers=2))
            mine.append(bench.run_job(script, table, mode="rows", size=size, workers=2)[0])
        ratio = statistics.median(loop) / statistics.median(mine)
        for name, took in (("mlctl", mine), ("hand-written loop", loop)):
            rate = f"{rows / statistics.median(took) / 1e6:.2f} M rows/s"
            lines.append([f"{name}, mini-batch {size:,}", f"{statistics.median(took):.2f} s", rate])
        targets.append(
            Target(f"{rows:,} rows, mini-batch {size:,}", ratio, "at least", bound, "of a hand-written loop")
        )
    print(render_table(("2 workers, Parquet to Parquet", "median", "rate"), lines), flush=True)
    return targets


def _measure_scaling(bench: Bench) -> list[Target]:
    script = bench.write_script("busy", BUSY)
    files = _make_files(bench.folder / "few", 400)

    def run(workers: int) -> float:
        return bench.run_job(script, files, mode="files", size=2, workers=workers, parquet=False)[0]

    one, two = (statistics.median(bench.repeat(lambda workers=workers: run(workers))) for workers in (1, 2))
    print(f"a model that computes: 1 worker {one:.2f} s, 2 workers {two:.2f} s", flush=True)
    return [Target("1 to 2 workers on a CPU-bound model", one / two, "at least", 1.8, "times as fast")]


def _measure_files(bench: Bench) -> list[Target]:
    script = bench.write_script("trivial", TRIVIAL)
    files = _make_files(bench.folder / "many", 10_000)
    took = bench.repeat(lambda: bench.run_job(script, files, mode="files", size=10, workers=2, parquet=False)[0])
    rate = 1000 / statistics.median(took)
    return [Target("10,000 files, 10 a mini-batch", rate, "at least", 1000, "mini-batches/s")]


def _make_files(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:06d}").touch()
    return folder


def _measure_memory(bench: Bench, script: Path, table: Path) -> list[Target]:
    few = bench.run_job(script, table, mode="rows", size=1000, workers=2)[1]
    large = make_table(bench.folder / "many.parquet", 20_000_000)
    many = bench.run_job(script, large, mode="rows", size=1000, workers=2)[1]
    print(f"memory of coordinator and workers: 2 M rows {few / 1e6:.0f} MB, 20 M rows {many / 1e6:.0f} MB", flush=True)
    return [Target("memory for 20 M rows", many / few, "at most", 1.1, "of that for 2 M rows")]
