"""What batch jobs are compared with: a hand-written loop over processes, and Ray Data in a venv of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.batch_jobs import JOB_TIMEOUT_S, Job
from benchmarks.outcome import BenchmarkFailed
from benchmarks.peers import SAME, ensure_venv
from mlctl.runtimes.process import can_isolate_network, isolation_prefix

RAY = "ray[data]==2.60.0"
_ROOT = Path(__file__).parents[1]
# As mlctl's workers have them when there are as many as processors.
_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def run_loop(job: Job, model: Path) -> float:
    """Run the same script by hand over as many processes; return the seconds from when they are ready."""
    return _run([sys.executable, "-m", "benchmarks.batch_loop"], job, model, "the hand-written loop")


def ensure_ray() -> Path:
    """Return the interpreter of Ray's venv, with mlctl's versions of what reads and scores."""
    if not can_isolate_network(os.environ):
        raise BenchmarkFailed(
            "Ray listens on all interfaces, and no network namespace can be made here to keep it from that;"
            " as root it can: sudo …"
        )
    return ensure_venv(RAY, same=(*SAME, "pandas", "pyarrow"))


def run_ray(python: Path, job: Job, model: Path) -> float:
    """Run the same script in Ray Data's actors; return the seconds from the first call of run()."""
    words = [*isolation_prefix(), str(python), "-m", "benchmarks.batch_ray"]
    return _run(words, job, model, "Ray Data", {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0"})


def _run(words: Sequence[str], job: Job, model: Path, name: str, variables: Mapping[str, str] | None = None) -> float:
    # Short: Ray has Unix sockets below it.
    with tempfile.TemporaryDirectory(prefix="mlb-") as folder:
        ended = subprocess.run(
            [*words, str(job.script), str(job.source), str(job.size), str(job.workers), folder],
            env={**os.environ, **_THREADS, **(variables or {}), "MODEL": str(model)},
            cwd=_ROOT,
            capture_output=True,
            text=True,
            timeout=JOB_TIMEOUT_S,
            check=False,
        )
    if ended.returncode != 0:
        raise BenchmarkFailed(f"{name} failed: {ended.stderr[-500:]}")
    return float(json.loads(ended.stdout.splitlines()[-1])["took_s"])
