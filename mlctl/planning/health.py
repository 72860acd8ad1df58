"""What the outcomes of a probe say about a replica."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

EAGER_PERIOD_S = 0.1


@dataclass(frozen=True)
class ProbeSettings:
    """Azure's probe fields, in seconds and counts; the defaults are Azure's."""

    initial_delay_s: float = 10.0
    period_s: float = 10.0
    timeout_s: float = 2.0
    success_threshold: int = 1
    failure_threshold: int = 30


@dataclass(frozen=True)
class Health:
    """One probe's view of one replica; times are seconds of a clock that never jumps."""

    started_at: float
    next_at: float
    is_passing: bool = False
    has_passed: bool = False
    successes: int = 0
    failures: int = 0


def read_probe_settings(probe: Mapping[str, Any] | None) -> ProbeSettings:
    """Turn `liveness_probe` or `readiness_probe` of a deployment's document into settings."""
    given = {key: value for key, value in (probe or {}).items() if value is not None}
    renamed = {"initial_delay": "initial_delay_s", "period": "period_s", "timeout": "timeout_s"}
    return ProbeSettings(**{renamed.get(key, key): value for key, value in given.items()})


def longest_start_s(settings: ProbeSettings) -> float:
    """Return after how many seconds a replica that never answered its liveness probe is given up."""
    return settings.initial_delay_s + (settings.failure_threshold - 1) * settings.period_s


def start_health(now: float) -> Health:
    """Return the view of a replica that has just been started: probed at once."""
    return Health(started_at=now, next_at=now)


def judge_probe(health: Health, settings: ProbeSettings, *, has_passed: bool, now: float) -> Health:
    """Count one outcome.

    Probing starts at once, every 100 ms until the first success, and an early success counts: `initial_delay` only
    excuses failures. Before the first success a failure counts once per `period`, as if probed at that pace.
    """
    if has_passed:
        successes = health.successes + 1
        return replace(
            health,
            is_passing=health.is_passing or successes >= settings.success_threshold,
            has_passed=True,
            successes=successes,
            failures=0,
            next_at=now + (settings.period_s if successes >= settings.success_threshold else EAGER_PERIOD_S),
        )
    if not health.has_passed:
        overdue = now - health.started_at - settings.initial_delay_s
        failures = max(0, int(overdue // settings.period_s) + 1) if overdue >= 0 else 0
        return replace(health, successes=0, failures=failures, next_at=now + EAGER_PERIOD_S)
    failures = health.failures + 1
    return replace(
        health,
        is_passing=health.is_passing and failures < settings.failure_threshold,
        successes=0,
        failures=failures,
        next_at=now + settings.period_s,
    )


def has_failed(health: Health, settings: ProbeSettings) -> bool:
    """Say whether the probe failed so often in a row that its threshold is reached."""
    return health.failures >= settings.failure_threshold
