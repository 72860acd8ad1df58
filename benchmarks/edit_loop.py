"""How long from a saved score.py to its first answer: `deployment update`, and a request as soon as it returns."""

from __future__ import annotations

import json
import statistics
import time

from benchmarks.http_client import ask_once, render_request
from benchmarks.local_mlctl import LocalMlctl, boot_mlctl
from benchmarks.machine import Quiet
from benchmarks.outcome import BenchmarkFailed, Effort, Target, render_table
from benchmarks.subjects import NOOP, deploy_noop

QUIET_LIMIT_S = 30.0
MOST_S = 1.0


def measure(effort: Effort) -> list[Target]:
    """Edit, update and ask in turn; return the median of the times to the new answer."""
    quiet = Quiet(QUIET_LIMIT_S)
    took_s: list[float] = []
    with boot_mlctl() as mlctl:
        endpoint = deploy_noop(mlctl).endpoint
        request = render_request(f"/endpoints/{endpoint}/score", b"{}", key=mlctl.read_key(endpoint))
        for number in range(effort.starts):
            quiet.wait()
            took_s.append(_edit_once(mlctl, number, request))
    median = statistics.median(took_s)
    spread = f"{min(took_s) * 1000:.0f}-{max(took_s) * 1000:.0f}"
    print(render_table(("edit loop", "median ms", "from-to"), [["first new answer", f"{median * 1000:.0f}", spread]]))
    print(f"{effort.starts} edits of the no-op script; the command included; {quiet.render()}")
    return [Target("edit loop, first new answer", median, "at most", MOST_S, "s")]


def _edit_once(mlctl: LocalMlctl, number: int, request: bytes) -> float:
    (mlctl.work / "src" / "score.py").write_text(NOOP.replace("42", str(1000 + number)))
    started_s = time.perf_counter()
    mlctl.run("deployment", "update", "-f", str(mlctl.work / "benchmark.yml"), "-o", "none")
    answer = json.loads(ask_once(("127.0.0.1", mlctl.port), request))
    took_s = time.perf_counter() - started_s
    if answer != {"answer": 1000 + number}:
        raise BenchmarkFailed(f"the update returned before the new script answered: {answer}")
    return took_s
