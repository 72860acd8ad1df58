"""Requests through gateway and replica with a key, against azmlinfsrv asked directly, in the same minutes."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.http_client import ask_once, render_request
from benchmarks.local_mlctl import LocalMlctl, boot_mlctl
from benchmarks.machine import Company, Quiet
from benchmarks.outcome import BenchmarkFailed, Effort, Target, render_table
from benchmarks.peers import ensure_venv, run_azmlinfsrv
from benchmarks.subjects import Subject, deploy_fraud, deploy_noop
from benchmarks.wrk import Run, ensure_wrk, run_wrk, take_median, write_script

QUIET_LIMIT_S = 120.0
FEW_OTHERS = 0.05
CASES: tuple[tuple[str, Callable[[LocalMlctl], Subject], float], ...] = (
    ("no-op", deploy_noop, 3.0),
    ("fraud, 2 rows", deploy_fraud, 2.2),
)


@dataclass
class Peer:
    """A server, and what is sent to it."""

    name: str
    port: int
    path: str
    script: Path
    request: bytes

    def load(self, run_s: int) -> Run:
        """Load it once; the run counts only if single requests before and after it are answered 200, and equally."""
        before = self.ask()
        run = run_wrk(f"http://127.0.0.1:{self.port}{self.path}", self.script, run_s)
        if self.ask() != before:
            raise BenchmarkFailed(f"void run: {self.name} answered differently after it")
        return run

    def ask(self) -> Any:
        """Return what it answers, decoded; text that holds JSON (azmlinfsrv encodes twice) decoded again."""
        answer = json.loads(ask_once(("127.0.0.1", self.port), self.request))
        return json.loads(answer) if isinstance(answer, str) else answer


Peers = tuple[Peer, Peer]


@dataclass(frozen=True)
class Round:
    """A run of each peer. others: the share of all cores that other processes used in the worse one, 0 to 1."""

    mine: Run
    other: Run
    others: float


def measure(effort: Effort) -> list[Target]:
    """Measure both cases, print a table, and return the ratios."""
    ensure_wrk()
    ensure_venv()
    quiet = Quiet(QUIET_LIMIT_S)
    rows: list[list[str]] = []
    targets: list[Target] = []
    for case, deploy, bound in CASES:
        rounds = _measure_case(deploy, effort, quiet)
        mine, other = [done.mine for done in rounds], [done.other for done in rounds]
        ratio = take_median(mine).requests_per_s / take_median(other).requests_per_s
        rows.append(_render_row((case, "mlctl, gateway"), mine, rounds, f"{ratio:.2f}x"))
        rows.append(_render_row((case, "azmlinfsrv, direct"), other, rounds, "1.00x"))
        targets.append(Target(f"whole path, {case}", ratio, "at least", bound, "x azmlinfsrv"))
    print(render_table(("case", "server", "req/s", "from-to", "p50 ms", "p99 ms", "others", "ratio"), rows))
    print(f"medians of {effort.runs} runs of {effort.run_s} s each, alternating, wrk -t1 -c16; {quiet.render()}")
    print("others: the most that other processes used of the machine during one of the runs")
    return targets


def _measure_case(deploy: Callable[[LocalMlctl], Subject], effort: Effort, quiet: Quiet) -> list[Round]:
    with boot_mlctl() as mlctl, tempfile.TemporaryDirectory(prefix="mlb-") as scratch:
        folder = Path(scratch)
        subject = deploy(mlctl)
        with run_azmlinfsrv(subject.script, subject.model_dir, folder) as server:
            peers = (_build_mlctl(mlctl, subject, folder), _build_azmlinfsrv(server.port, subject, folder))
            _check_answers(peers)
            for peer in peers:
                peer.load(effort.warm_up_s)
            sessions = {server.process.pid, *(process.pid for process in mlctl.find_processes())}
            return _measure_rounds(peers, sessions, effort, quiet)


def _measure_rounds(peers: Peers, sessions: Collection[int], effort: Effort, quiet: Quiet) -> list[Round]:
    """Load the peers in turn, and go on, twice as long at most, until enough rounds had little company.

    Which rounds are kept depends on what others used of the machine, never on what the peers did.
    """
    rounds: list[Round] = []
    while len(rounds) < 2 * effort.runs and sum(done.others <= FEW_OTHERS for done in rounds) < effort.runs:
        runs: list[Run] = []
        others: list[float] = []
        for peer in peers:
            quiet.wait()
            company = Company(sessions)
            runs.append(peer.load(effort.run_s))
            others.append(company.read_share())
        rounds.append(Round(runs[0], runs[1], max(others)))
    return sorted(rounds, key=lambda done: done.others)[: effort.runs]


def _build_mlctl(mlctl: LocalMlctl, subject: Subject, folder: Path) -> Peer:
    key, path = mlctl.read_key(subject.endpoint), f"/endpoints/{subject.endpoint}/score"
    script = write_script(folder / "mlctl.lua", subject.body, key=key)
    return Peer("mlctl, gateway", mlctl.port, path, script, render_request(path, subject.body, key=key))


def _build_azmlinfsrv(port: int, subject: Subject, folder: Path) -> Peer:
    script = write_script(folder / "azmlinfsrv.lua", subject.body)
    return Peer("azmlinfsrv, direct", port, "/score", script, render_request("/score", subject.body))


def _check_answers(peers: Peers) -> None:
    answers = [json.dumps(peer.ask(), sort_keys=True) for peer in peers]
    if answers[0] != answers[1]:
        raise BenchmarkFailed(f"the peers do different work: {answers[0]} and {answers[1]}")


def _render_row(labels: tuple[str, str], runs: Sequence[Run], rounds: Sequence[Round], ratio: str) -> list[str]:
    middle = take_median(runs)
    rates = sorted(run.requests_per_s for run in runs)
    spread = f"{rates[0]:,.0f}-{rates[-1]:,.0f}"
    figures = [f"{middle.requests_per_s:,.0f}", spread, f"{middle.p50_ms:.2f}", f"{middle.p99_ms:.2f}"]
    return [*labels, *figures, f"{max(done.others for done in rounds):.0%}", ratio]
