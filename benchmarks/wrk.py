"""Load from wrk: one thread, 16 connections by default. Its script carries body and key: no key is in any argv."""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.outcome import BenchmarkFailed

CONNECTIONS = 16
_SOCKET_TIMEOUT_S = 10
_GRACE_S = 30
# wrk counts a status above 399 as an error. A hook that looks at each status would cost wrk a tenth of a core, so the
# benchmark asks for one answer before and after each run instead: see `whole_path`.
_SCRIPT = """
wrk.method = "POST"
wrk.body = {body}
wrk.headers["Content-Type"] = "application/json"
{authorization}
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '{{"requests": %d, "duration_us": %d, "connect": %d, "read": %d, "write": %d, "status": %d, "timeout": %d, '
      .. '"p50_us": %d, "p99_us": %d}}\\n',
    summary.requests, summary.duration, e.connect, e.read, e.write, e.status, e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""


@dataclass(frozen=True)
class Run:
    """What one run came to."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float


def ensure_wrk() -> str:
    """Return wrk's path; BenchmarkFailed says how to install it."""
    found = shutil.which("wrk")
    if found is None:
        raise BenchmarkFailed("wrk is not installed: apt-get install wrk")
    return found


def write_script(path: Path, body: bytes, *, key: str | None = None, pause_ms: int = 0) -> Path:
    """Write what wrk sends, readable for this user only. pause_ms: between the requests of a connection."""
    authorization = f'wrk.headers["Authorization"] = {_quote(f"Bearer {key}")}' if key else ""
    text = _SCRIPT.format(body=_quote(body.decode()), authorization=authorization)
    if pause_ms:
        text += f"function delay() return {pause_ms} end\n"
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    return path


def _quote(text: str) -> str:
    """Write text as a Lua string: every byte that is not plain as its decimal escape."""
    return '"' + "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03d}" for b in text.encode()) + '"'


def run_wrk(url: str, script: Path, run_s: int, *, connections: int = CONNECTIONS) -> Run:
    """Load `url` for `run_s` seconds; a single error makes the run void: BenchmarkFailed."""
    words = [
        ensure_wrk(),
        "-t1",
        f"-c{connections}",
        f"-d{run_s}s",
        f"--timeout={_SOCKET_TIMEOUT_S}s",
        "-s",
        str(script),
    ]
    ended = subprocess.run([*words, url], capture_output=True, text=True, timeout=run_s + _GRACE_S, check=False)
    last = ended.stdout.rstrip().rsplit("\n", 1)[-1]
    if ended.returncode != 0 or not last.startswith("{"):
        raise BenchmarkFailed(f"wrk on {url} ended with {ended.returncode}: {ended.stderr or ended.stdout}")
    return _read_summary(url, json.loads(last))


def _read_summary(url: str, summary: dict[str, int]) -> Run:
    errors = {name: summary[name] for name in ("connect", "read", "write", "status", "timeout") if summary[name]}
    if errors or not summary["requests"]:
        raise BenchmarkFailed(f"void run on {url}: {summary['requests']} requests, errors {errors}")
    rate = summary["requests"] / summary["duration_us"] * 1e6
    return Run(rate, summary["p50_us"] / 1000, summary["p99_us"] / 1000)


def take_median(runs: Sequence[Run]) -> Run:
    """Return the median of each figure."""
    return Run(
        statistics.median(run.requests_per_s for run in runs),
        statistics.median(run.p50_ms for run in runs),
        statistics.median(run.p99_ms for run in runs),
    )
