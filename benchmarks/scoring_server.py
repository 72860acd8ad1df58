"""The scoring server alone, without gateway: beside its peers, and beside a bare loop over run() in one process."""

from __future__ import annotations

import json
import statistics
import tempfile
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.bare_loop import Loop, run_loop
from benchmarks.http_client import Connection, ask_once, render_request
from benchmarks.machine import Company, Quiet
from benchmarks.outcome import BenchmarkFailed, Effort, Target, render_table
from benchmarks.peers import ensure_venv
from benchmarks.servers import (
    BENTOML,
    LITSERVE,
    MLSERVER,
    Server,
    serve_azmlinfsrv,
    serve_bare,
    serve_bentoml,
    serve_litserve,
    serve_mlctl,
    serve_mlserver,
)
from benchmarks.subjects import Work, train_fraud, write_noop, write_wide
from benchmarks.wrk import Run, ensure_wrk, run_wrk, take_median, write_script
from mlctl.runtimes.collection import plan_collection, write_collection

QUIET_LIMIT_S = 180.0
FEW_OTHERS = 0.05
JOINING = ("--batch-max-rows", "128", "--batch-input-key", "data")
PEERS = {"MLServer": serve_mlserver, "LitServe": serve_litserve, "BentoML": serve_bentoml}
Serve = Callable[[Work, Path], AbstractContextManager[Server]]
_ADDED_LIMIT_MS = 0.2
# Two medians of the same thing differ by so much from one moment to the next.
_NOTHING_MS = 0.02


@dataclass(frozen=True)
class Contender:
    """A server under load, or without one the bare loop."""

    name: str
    work: Work
    server: Server | None
    script: Path
    connections: int

    def load(self, run_s: int) -> Run:
        """Load it once; the run counts only if single requests before and after it are answered 200, and equally."""
        if self.server is None:
            loop = run_loop(self.work, run_s)
            return Run(loop.calls_per_s, loop.p50_ms, 0.0)
        before = self.ask()
        url = f"http://127.0.0.1:{self.server.port}/score"
        run = run_wrk(url, self.script, run_s, connections=self.connections)
        if self.ask() != before:
            raise BenchmarkFailed(f"void run: {self.name} answered differently after it")
        return run

    def ask(self) -> Any:
        """Return what it answers, decoded; text that holds JSON (azmlinfsrv encodes twice) decoded again."""
        if self.server is None:
            return None
        answer = json.loads(ask_once(("127.0.0.1", self.server.port), render_request("/score", self.work.body)))
        return json.loads(answer) if isinstance(answer, str) else answer


class Measured:
    """What a case came to: each contender's runs, from rounds with little company."""

    def __init__(self, case: str, runs: dict[str, list[Run]], others: float) -> None:
        self.case = case
        self.runs = runs
        self.others = others

    def rate(self, name: str) -> float:
        """Return a contender's median of requests per second."""
        return take_median(self.runs[name]).requests_per_s

    def compare(self, name: str, other: str, bound: float) -> Target:
        """Hold the ratio of two medians against its bound."""
        ratio = self.rate(name) / self.rate(other)
        return Target(f"{self.case}, {name}", ratio, "at least", bound, f"x {other}")

    def render_rows(self) -> list[list[str]]:
        """Write a row for each contender, compared with the last."""
        yardstick = self.rate(list(self.runs)[-1])
        rows: list[list[str]] = []
        for name, runs in self.runs.items():
            middle, rates = take_median(runs), sorted(run.requests_per_s for run in runs)
            spread = f"{rates[0]:,.0f}-{rates[-1]:,.0f}"
            figures = [f"{middle.requests_per_s:,.0f}", spread, f"{middle.p50_ms:.2f}", f"{middle.p99_ms:.2f}"]
            rows.append([self.case, name, *figures, f"{self.others:.0%}", f"{middle.requests_per_s / yardstick:.2f}x"])
        return rows


class Bench:
    """Runs cases, and keeps what they came to."""

    def __init__(self, folder: Path, effort: Effort) -> None:
        self.folder = folder
        self.effort = effort
        self.quiet = Quiet(QUIET_LIMIT_S)
        self.rows: list[list[str]] = []
        self._number = 0

    def run(
        self, case: str, work: Work, servers: dict[str, Serve], *, connections: int, has_loop: bool = False
    ) -> Measured:
        """Load the servers in turn; the loop, where wanted, is one of them."""
        with ExitStack() as stack:
            contenders = [
                self._contend(name, work, stack.enter_context(serve(work, self.make_folder())), connections)
                for name, serve in servers.items()
            ]
            if has_loop:
                contenders.insert(1, self._contend("bare loop", work, None, connections))
            _check_answers(contenders)
            for contender in contenders:
                contender.load(self.effort.warm_up_s)
            measured = self._measure(case, contenders)
        self.rows += measured.render_rows()
        return measured

    def make_folder(self) -> Path:
        """Make a folder for one run of a server."""
        self._number += 1
        folder = self.folder / f"run-{self._number}"
        folder.mkdir()
        return folder

    def _contend(self, name: str, work: Work, server: Server | None, connections: int) -> Contender:
        script = write_script(self.make_folder() / "request.lua", work.body)
        return Contender(name, work, server, script, connections)

    def _measure(self, case: str, contenders: Sequence[Contender]) -> Measured:
        """Go on, twice as long at most, until enough rounds had little company, whatever the contenders did."""
        sessions = {contender.server.process.pid for contender in contenders if contender.server}
        rounds: list[tuple[float, list[Run]]] = []
        wanted = self.effort.runs
        while len(rounds) < 2 * wanted and sum(others <= FEW_OTHERS for others, _ in rounds) < wanted:
            rounds.append(self._measure_round(contenders, sessions))
        kept = sorted(rounds, key=lambda done: done[0])[:wanted]
        runs = {contender.name: [runs[at] for _, runs in kept] for at, contender in enumerate(contenders)}
        return Measured(case, runs, max(others for others, _ in kept))

    def _measure_round(self, contenders: Sequence[Contender], sessions: Collection[int]) -> tuple[float, list[Run]]:
        runs: list[Run] = []
        others: list[float] = []
        for contender in contenders:
            self.quiet.wait()
            company = Company(sessions)
            runs.append(contender.load(self.effort.run_s))
            others.append(company.read_share())
        return max(others), runs


def _check_answers(contenders: Sequence[Contender]) -> None:
    answers = {json.dumps(contender.ask(), sort_keys=True) for contender in contenders if contender.server}
    if len(answers) != 1:
        raise BenchmarkFailed(f"the contenders do different work: {' and '.join(sorted(answers))}")


def measure(effort: Effort) -> list[Target]:
    """Measure all cases, print a table, and return the ratios."""
    ensure_wrk()
    ensure_venv()
    for peer in (MLSERVER, LITSERVE, BENTOML):
        ensure_venv(peer)
    with tempfile.TemporaryDirectory(prefix="mlb-") as scratch:
        bench = Bench(Path(scratch), effort)
        noop, fraud = write_noop(bench.folder / "noop"), train_fraud(bench.folder / "fraud")
        targets = [
            *_measure_noop(bench, noop),
            *_measure_fraud(bench, fraud),
            *_measure_joining(bench, fraud),
            *_measure_collecting(bench, fraud),
            *_measure_wide(bench, write_wide(bench.folder / "wide")),
        ]
        print(render_table(("case", "server", "req/s", "from-to", "p50 ms", "p99 ms", "others", "ratio"), bench.rows))
        targets += _measure_latency(bench, fraud)
    print(f"medians of {effort.runs} runs of {effort.run_s} s each, alternating, wrk -t1; {bench.quiet.render()}")
    print("others: the most that other processes used of the machine during one of the runs")
    return targets


def _measure_noop(bench: Bench, work: Work) -> list[Target]:
    servers: dict[str, Serve] = {"mlctl": serve_mlctl, "azmlinfsrv": serve_azmlinfsrv}
    return [bench.run("no-op, 16", work, servers, connections=16).compare("mlctl", "azmlinfsrv", 10)]


def _measure_fraud(bench: Bench, work: Work) -> list[Target]:
    case = "fraud, 16"
    servers: dict[str, Serve] = {"mlctl": serve_mlctl, "bare server": serve_bare, "azmlinfsrv": serve_azmlinfsrv}
    measured = bench.run(case, work, servers, connections=16, has_loop=True)
    targets = [measured.compare("mlctl", "azmlinfsrv", 3), measured.compare("mlctl", "bare loop", 0.75)]
    # One at a time: some of them are busy even when nobody asks.
    for name, serve in PEERS.items():
        servers = {"mlctl": serve_mlctl, name: serve}
        targets.append(bench.run(case, work, servers, connections=16).compare("mlctl", name, 1))
    return targets


def _serve_joining(work: Work, folder: Path) -> AbstractContextManager[Server]:
    return serve_mlctl(work, folder, *JOINING)


def _measure_joining(bench: Bench, work: Work) -> list[Target]:
    name = "mlctl, micro-batching"
    servers: dict[str, Serve] = {name: _serve_joining, "mlctl": serve_mlctl, "azmlinfsrv": serve_azmlinfsrv}
    measured = bench.run("fraud, 64", work, servers, connections=64)
    bench.run("fraud, 16", work, {name: _serve_joining, "mlctl": serve_mlctl}, connections=16)
    return [measured.compare(name, "azmlinfsrv", 15)]


def _serve_collecting(work: Work, folder: Path) -> AbstractContextManager[Server]:
    spec = {
        "endpoint_name": "bench",
        "name": "blue",
        "data_collector": {"collections": {"request": {"enabled": True}, "response": {"enabled": True}}},
    }
    content = plan_collection(spec, root=folder / "collected", replica="blue-1")
    file = folder / "collection.json"
    write_collection(file, content or {})
    return serve_mlctl(work, folder, "--collection", str(file))


def _measure_collecting(bench: Bench, work: Work) -> list[Target]:
    name = "mlctl, collecting all"
    servers: dict[str, Serve] = {name: _serve_collecting, "mlctl": serve_mlctl}
    return [bench.run("fraud, 16", work, servers, connections=16).compare(name, "mlctl", 0.9)]


def _measure_wide(bench: Bench, work: Work) -> list[Target]:
    measured = bench.run("1,000 rows x 30, 4", work, {"mlctl": serve_mlctl}, connections=4, has_loop=True)
    return [measured.compare("mlctl", "bare loop", 0.9)]


def _measure_latency(bench: Bench, work: Work) -> list[Target]:
    """Measure one connection and the bare loop in alternating blocks, with and without micro-batching.

    The servers are started anew again and again, in another order each time: where the system puts their threads makes
    two of the same kind differ by 0.05 ms for as long as they live.
    """
    servers: list[tuple[str, Serve]] = [
        ("mlctl", serve_mlctl),
        ("mlctl, micro-batching", _serve_joining),
        ("bare server", serve_bare),
    ]
    found: dict[str, list[float]] = {name: [] for name, _ in servers}
    loops: list[Loop] = []
    for _ in range(bench.effort.runs):
        for name, p50_ms in _measure_blocks(bench, work, servers, loops).items():
            found[name].append(p50_ms)
        servers.append(servers.pop(0))
    bare_ms = statistics.median(loop.p50_ms for loop in loops)
    medians = {name: statistics.median(p50s_ms) for name, p50s_ms in found.items()}
    rows = [[name, f"{median:.3f}", f"{median - bare_ms:.3f}"] for name, median in medians.items()]
    print(
        render_table(("fraud, 1 connection", "p50 ms", "over run() ms"), [*rows, ["bare loop", f"{bare_ms:.3f}", ""]])
    )
    plain, joined, _ = medians.values()
    return [
        Target("fraud, 1: p50 over bare run()", plain - bare_ms, "at most", _ADDED_LIMIT_MS, "ms"),
        Target("fraud, 1: micro-batching adds", joined - plain, "at most", _NOTHING_MS, "ms"),
    ]


def _measure_blocks(
    bench: Bench, work: Work, servers: Sequence[tuple[str, Serve]], loops: list[Loop]
) -> dict[str, float]:
    """Start servers, ask them in alternating blocks, and return the median of each, in milliseconds."""
    effort, request = bench.effort, render_request("/score", work.body)
    took_ms: dict[str, list[float]] = {name: [] for name, _ in servers}
    with ExitStack() as stack:
        connections = {
            name: stack.enter_context(
                Connection(("127.0.0.1", stack.enter_context(serve(work, bench.make_folder())).port))
            )
            for name, serve in servers
        }
        for connection in connections.values():
            connection.time(request, effort.block_requests)
        for _ in range(max(1, effort.blocks // effort.runs)):
            bench.quiet.wait()
            for name, connection in connections.items():
                took_ms[name] += connection.time(request, effort.block_requests)
            loops.append(run_loop(work, 0.5))
    return {name: statistics.median(times) for name, times in took_ms.items()}
