"""A script without any server: run() in a loop, on the request's text. Run as a program, by `scoring_server`."""

from __future__ import annotations

import importlib.util
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.outcome import BenchmarkFailed
from benchmarks.peers import make_environ
from benchmarks.subjects import Work

_GRACE_S = 60


@dataclass(frozen=True)
class Loop:
    """What a loop came to."""

    calls_per_s: float
    p50_ms: float


def run_loop(work: Work, run_s: float) -> Loop:
    """Loop in a process of its own."""
    body = work.script.with_name("body.json")
    body.write_bytes(work.body)
    words = [sys.executable, "-m", "benchmarks.bare_loop", str(work.script), str(body), str(run_s)]
    ended = subprocess.run(
        words,
        env=make_environ(work.model_dir),
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        timeout=run_s + _GRACE_S,
        check=False,
    )
    if ended.returncode != 0:
        raise BenchmarkFailed(f"the bare loop failed: {ended.stderr}")
    return Loop(**json.loads(ended.stdout.rstrip().rsplit("\n", 1)[-1]))


def _loop(script: Path, text: str, run_s: float) -> Loop:
    spec = importlib.util.spec_from_file_location("entry_module", script)
    if spec is None or spec.loader is None:
        raise BenchmarkFailed(f"{script} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.init()
    took_s: list[float] = []
    end_at = time.perf_counter() + run_s
    while (started_at := time.perf_counter()) < end_at:
        module.run(text)
        took_s.append(time.perf_counter() - started_at)
    return Loop(len(took_s) / sum(took_s), statistics.median(took_s) * 1000)


if __name__ == "__main__":
    print(json.dumps(vars(_loop(Path(sys.argv[1]), Path(sys.argv[2]).read_text(), float(sys.argv[3])))))
