"""How long a command takes that does next to nothing, against the import of the library that parses its arguments."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from benchmarks.local_mlctl import COMMAND_TIMEOUT_S, MLCTL, LocalMlctl, boot_mlctl
from benchmarks.machine import Quiet
from benchmarks.outcome import BenchmarkFailed, Effort, Target, render_table

QUIET_LIMIT_S = 30.0
ENDPOINT = "bench-endpoint"
YARDSTICK = "import typer"
COMMANDS: dict[str, Sequence[str]] = {
    YARDSTICK: (sys.executable, "-c", "import typer"),
    "mlctl --help": (str(MLCTL), "--help"),
    "mlctl endpoint show": (str(MLCTL), "endpoint", "show", "-n", ENDPOINT, "-o", "json"),
}
MOST = {"mlctl --help": 2.0, "mlctl endpoint show": 3.0}


def measure(effort: Effort) -> list[Target]:
    """Time the commands in turn, print a table, and return the ratios of the medians."""
    quiet = Quiet(QUIET_LIMIT_S)
    took_ms: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with boot_mlctl() as mlctl:
        mlctl.run("endpoint", "create", "-n", ENDPOINT, "-o", "none")
        for command in COMMANDS.values():
            _time_command(mlctl, command)
        for _ in range(effort.starts):
            quiet.wait()
            for name, command in COMMANDS.items():
                took_ms[name].append(_time_command(mlctl, command))
    medians = {name: statistics.median(times) for name, times in took_ms.items()}
    ratios = {name: median / medians[YARDSTICK] for name, median in medians.items()}
    rows = [_render_row(name, took_ms[name], ratios[name]) for name in COMMANDS]
    print(render_table(("command", "median ms", "from-to", "ratio"), rows))
    print(f"whole processes, {effort.starts} of each in turn, caches warm; {quiet.render()}")
    return [Target(f"start-up, {name}", ratios[name], "at most", bound, "x") for name, bound in MOST.items()]


def _time_command(mlctl: LocalMlctl, command: Sequence[str]) -> float:
    started_s = time.perf_counter()
    ended = subprocess.run(
        command, env=mlctl.environ, cwd=mlctl.work, capture_output=True, timeout=COMMAND_TIMEOUT_S, check=False
    )
    took_ms = (time.perf_counter() - started_s) * 1000
    if ended.returncode != 0:
        raise BenchmarkFailed(f"{' '.join(command)} ended with {ended.returncode}: {ended.stderr.decode()}")
    return took_ms


def _render_row(name: str, took_ms: Sequence[float], ratio: float) -> list[str]:
    spread = f"{min(took_ms):.0f}-{max(took_ms):.0f}"
    return [name, f"{statistics.median(took_ms):.0f}", spread, f"{ratio:.2f}x"]
