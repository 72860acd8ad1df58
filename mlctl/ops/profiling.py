"""`deployment profile`: where the time of requests goes, as the replicas themselves measure it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from mlctl.entities.micro_batching import read_micro_batching
from mlctl.entities.stored import read_map
from mlctl.errors import BackendUnavailable
from mlctl.ops import daemon
from mlctl.ops.session import Session
from mlctl.planning.step_times import STEPS, Remedy, Serving, StepTimes, choose_remedies, is_notable, shares
from mlctl.registry import deployments, endpoints, replicas
from mlctl.registry.deployments import DeploymentRow
from mlctl.registry.replicas import ReplicaRow
from mlctl.runtimes.metrics import EMPTY, Reading, Series, add_readings, read_metrics

TIMEOUT_S = 2.0
_TICK_S = 0.1
_PREFIX = "mlctl_scoring_"

# By replica and socket.
Readings = Mapping[tuple[str, str], Reading]


@dataclass(frozen=True)
class Step:
    """How long one step took, in seconds. share: of the time of all steps."""

    name: str
    count: int
    p50_s: float
    p95_s: float
    p99_s: float
    share: float


@dataclass(frozen=True)
class Profile:
    """What requests to a deployment spent their time on.

    seconds: for how long was measured; None: since its replicas came up, the first at `since` (epoch seconds). silent:
    how many of the replicas did not answer. per_call: requests in a call of run(), None where none are joined.
    dominant: the step that takes most of the time, None without requests. is_notable: that time is worth shortening.
    remedies: what to try, the most promising first. spec: what the deployment asks for now.
    """

    endpoint: str
    name: str
    replicas: int
    silent: int
    since: float
    seconds: float | None
    requests: int
    statuses: Mapping[str, int]
    rows: int
    steps: tuple[Step, ...]
    per_call: float | None
    dominant: str | None
    is_notable: bool
    remedies: tuple[Remedy, ...]
    processors: int
    spec: Mapping[str, Any]

    @property
    def document(self) -> dict[str, Any]:
        """Return it for programs; times in milliseconds."""
        return {
            "name": self.name,
            "endpoint_name": self.endpoint,
            "replicas": self.replicas,
            "silent_replicas": self.silent,
            "since": time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(self.since)),
            "seconds": self.seconds,
            "requests": self.requests,
            "requests_by_status": dict(self.statuses),
            "rows": self.rows,
            "requests_per_call": None if self.per_call is None else round(self.per_call, 2),
            "steps": [_describe_step(step) for step in self.steps],
            "dominant_step": self.dominant,
            "remedies": [str(remedy) for remedy in self.remedies],
        }


def _describe_step(step: Step) -> dict[str, Any]:
    times = {
        f"{name}_ms": round(getattr(step, f"{name}_s") * 1000, 4) if step.count else None
        for name in ("p50", "p95", "p99")
    }
    return {"step": step.name, "requests": step.count, **times, "share": round(step.share, 4)}


def profile(session: Session, *, endpoint: str, name: str, seconds: float | None = None) -> Profile:
    """Read what the replicas have measured since they came up, or measure for some seconds.

    NotFound: there is no such deployment. BackendUnavailable: none of its replicas runs, or none answers.
    """
    owner = endpoints.get_endpoint(session.store, endpoint)
    row = deployments.get_deployment(session.store, owner.name, name)
    rows, now = _list_running(session, row), _read(session, row)
    before: Readings = {}
    if seconds is not None:
        began = time.monotonic()
        _wait(session, row, seconds)
        before, seconds = now, round(time.monotonic() - began, 3)
        rows, now = _list_running(session, row), _read(session, row)
    counted = add_readings(_subtract(reading, before.get(place, EMPTY)) for place, reading in now.items())
    answered = {replica for replica, _ in now}
    return _judge(row, counted, rows, silent=sum(replica.id not in answered for replica in rows), seconds=seconds)


def _list_running(session: Session, row: DeploymentRow) -> list[ReplicaRow]:
    return [
        replica
        for replica in replicas.list_replicas(session.store, row.endpoint)
        if replica.deployment == row.name and daemon.is_alive(replica)
    ]


def _read(session: Session, row: DeploymentRow) -> Readings:
    rows = _list_running(session, row)
    if not rows:
        daemon.warn_if_stopped(session)
        raise BackendUnavailable(
            f"no replica of {row.endpoint}/{row.name} is running",
            hint=f"mlctl deployment show -n {row.name} -e {row.endpoint}",
        )
    found = read_metrics([socket for replica in rows for socket in replica.sockets], timeout_s=TIMEOUT_S)
    if not found:
        raise BackendUnavailable(
            f"no replica of {row.endpoint}/{row.name} answers within {TIMEOUT_S:g} s",
            hint=f"mlctl deployment get-logs -n {row.name} -e {row.endpoint}",
        )
    places = ((replica.id, socket) for replica in rows for socket in replica.sockets)
    return {place: found[place[1]] for place in places if place[1] in found}


def _wait(session: Session, row: DeploymentRow, seconds: float) -> None:
    began = time.monotonic()
    session.watcher.begin(f"measuring {row.endpoint}/{row.name} for {seconds:g} s")
    while (waited_s := time.monotonic() - began) < seconds:
        session.watcher.tick(waited_s)
        time.sleep(min(_TICK_S, seconds - waited_s))


def _subtract(reading: Reading, before: Reading) -> Reading:
    """Return what was counted in between; a worker that was replaced meanwhile has begun at zero."""
    values = {series: value - before.values.get(series, 0.0) for series, value in reading.values.items()}
    is_new = any(value < 0 for series, value in values.items() if reading.kind(series) != "gauge")
    return reading if is_new else Reading(values, reading.kinds, reading.about)


def _judge(
    row: DeploymentRow, counted: Reading, rows: list[ReplicaRow], *, silent: int, seconds: float | None
) -> Profile:
    times = {step: _read_times(counted, "step_seconds", step) for step in STEPS}
    parts = shares(times)
    steps = tuple(
        Step(step, found.count, found.quantile(0.5), found.quantile(0.95), found.quantile(0.99), parts[step])
        for step, found in times.items()
    )
    statuses = {
        series.label("status"): int(value)
        for series, value in counted.values.items()
        if series.name == f"{_PREFIX}requests_total" and value
    }
    dominant = max(STEPS, key=lambda step: times[step].total_s) if any(step.count for step in steps) else None
    cpu_s = counted.values.get(Series(f"{_PREFIX}cpu_seconds_total"), 0.0)
    serving = _read_serving(row.spec)
    return Profile(
        endpoint=row.endpoint,
        name=row.name,
        replicas=len(rows),
        silent=silent,
        since=min((replica.started_at for replica in rows), default=row.created_at),
        seconds=seconds,
        requests=sum(statuses.values()),
        statuses=statuses,
        rows=int(counted.values.get(Series(f"{_PREFIX}rows_total"), 0)),
        steps=steps,
        per_call=_mean_call(counted),
        dominant=dominant,
        is_notable=is_notable(times),
        remedies=choose_remedies(dominant, serving, run_s=times["run"].total_s, cpu_s=cpu_s) if dominant else (),
        processors=os.cpu_count() or 1,
        spec=row.spec,
    )


def _mean_call(counted: Reading) -> float | None:
    calls = counted.values.get(Series(f"{_PREFIX}call_requests_count"), 0.0)
    return counted.values[Series(f"{_PREFIX}call_requests_sum")] / calls if calls else None


def _read_serving(spec: Mapping[str, Any]) -> Serving:
    properties = read_map(spec, "properties")
    return Serving(
        max_concurrent=int(read_map(spec, "request_settings").get("max_concurrent_requests_per_instance") or 1),
        is_joining=read_micro_batching(properties) is not None,
    )


def _read_times(reading: Reading, metric: str, step: str) -> StepTimes:
    """Turn Prometheus' counts up to each bound into counts of each bucket."""
    upto: list[tuple[float, float]] = sorted(
        (float(series.label("le")), value)
        for series, value in reading.values.items()
        if series.name == f"{_PREFIX}{metric}_bucket" and series.label("step") == step
    )
    counts = [int(here - below) for below, here in pairwise((0.0, *_values(upto)))]
    total = reading.values.get(Series(f"{_PREFIX}{metric}_sum", (("step", step),)), 0.0)
    return StepTimes([bound for bound, _ in upto[:-1]], counts, total)


def _values(pairs: Iterable[tuple[float, float]]) -> list[float]:
    return [value for _, value in pairs]
