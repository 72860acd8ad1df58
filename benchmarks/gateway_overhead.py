"""What the gateway adds to a request: the same client, one connection, over the gateway and on the replica's socket."""

from __future__ import annotations

import statistics

from benchmarks.http_client import Connection, render_request
from benchmarks.local_mlctl import boot_mlctl
from benchmarks.machine import Quiet
from benchmarks.outcome import Effort, Target, render_table
from benchmarks.subjects import deploy_noop

QUIET_LIMIT_S = 30.0
WARM_UP_REQUESTS = 200
MOST_ADDED_MS = 0.3


def measure(effort: Effort) -> list[Target]:
    """Measure alternating blocks on both ways, print a table, and return the difference of the medians."""
    quiet = Quiet(QUIET_LIMIT_S)
    with boot_mlctl() as mlctl:
        subject = deploy_noop(mlctl)
        path = f"/endpoints/{subject.endpoint}/score"
        asked = render_request(path, subject.body, key=mlctl.read_key(subject.endpoint))
        plain = render_request("/score", subject.body)
        gateway_ms: list[float] = []
        replica_ms: list[float] = []
        with (
            Connection(("127.0.0.1", mlctl.port)) as gateway,
            Connection(mlctl.find_replica_socket(subject.endpoint)) as replica,
        ):
            gateway.time(asked, WARM_UP_REQUESTS)
            replica.time(plain, WARM_UP_REQUESTS)
            for _ in range(effort.blocks):
                quiet.wait()
                gateway_ms += gateway.time(asked, effort.block_requests)
                replica_ms += replica.time(plain, effort.block_requests)
    rows = [_render_row("gateway", gateway_ms), _render_row("replica's socket", replica_ms)]
    print(render_table(("way", "requests", "p50 ms", "p99 ms"), rows))
    print(f"no-op script, {effort.blocks} alternating blocks on one kept-alive connection each; {quiet.render()}")
    added_ms = statistics.median(gateway_ms) - statistics.median(replica_ms)
    return [Target("gateway overhead at p50", added_ms, "at most", MOST_ADDED_MS, "ms")]


def _render_row(way: str, took_ms: list[float]) -> list[str]:
    p99_ms = statistics.quantiles(took_ms, n=100)[98]
    return [way, f"{len(took_ms):,}", f"{statistics.median(took_ms):.3f}", f"{p99_ms:.3f}"]
