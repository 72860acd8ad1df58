"""Probes every replica from a few threads and keeps what the outcomes say. Read by `reconciler`."""

from __future__ import annotations

import heapq
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

from mlctl import unix_http
from mlctl.planning.health import Health, ProbeSettings, has_failed, judge_probe, start_health

PROBE_PATH = "/"
THREADS = 8


@dataclass(frozen=True)
class Verdict:
    """is_ready: gets requests. is_dead: to be replaced. has_been_ready: at least once.

    silent: sockets of workers that do not answer, of a replica that has others which do.
    """

    is_ready: bool = False
    is_dead: bool = False
    has_been_ready: bool = False
    silent: frozenset[str] = frozenset()


@dataclass(frozen=True)
class _Watched:
    endpoint: str
    sockets: tuple[str, ...]
    liveness_settings: ProbeSettings
    readiness_settings: ProbeSettings
    liveness: Health
    readiness: Health
    silent: frozenset[str] = frozenset()

    @property
    def next_at(self) -> float:
        return min(self.liveness.next_at, self.readiness.next_at)

    @property
    def verdict(self) -> Verdict:
        is_dead = has_failed(self.liveness, self.liveness_settings)
        if not self.readiness.has_passed:
            is_dead = is_dead or has_failed(self.readiness, self.readiness_settings)
        return Verdict(self.readiness.is_passing, is_dead, self.readiness.has_passed, self.silent)


class Prober:
    """Calls `on_change(endpoint)` whenever the verdict on one of its replicas changes."""

    def __init__(self, on_change: Callable[[str], None]) -> None:
        self._on_change = on_change
        self._watched: dict[str, _Watched] = {}
        self._due: list[tuple[float, str]] = []
        self._changed = threading.Condition()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="probe")
        threading.Thread(target=self._schedule, name="probes", daemon=True).start()

    def watch(
        self,
        replica: str,
        *,
        endpoint: str,
        sockets: tuple[str, ...],
        liveness: ProbeSettings,
        readiness: ProbeSettings,
        is_ready: bool,
    ) -> None:
        """Probe a replica from now on, unless it is probed already; `is_ready`: what a former daemon found."""
        now = time.monotonic()
        health = start_health(now)
        if is_ready:
            health = replace(health, is_passing=True, has_passed=True, successes=1)
        with self._changed:
            if replica not in self._watched:
                self._watched[replica] = _Watched(endpoint, sockets, liveness, readiness, health, health)
                heapq.heappush(self._due, (now, replica))
                self._changed.notify()

    def forget(self, replica: str) -> None:
        """Stop probing a replica."""
        with self._changed:
            self._watched.pop(replica, None)

    def verdict(self, replica: str) -> Verdict:
        """Return what is known of a replica."""
        watched = self._watched.get(replica)
        return watched.verdict if watched else Verdict()

    def _schedule(self) -> None:
        while True:
            with self._changed:
                while not self._due or self._due[0][0] > time.monotonic():
                    self._changed.wait(max(0.0, self._due[0][0] - time.monotonic()) if self._due else None)
                _, replica = heapq.heappop(self._due)
                watched = self._watched.get(replica)
            if watched is not None:
                self._pool.submit(self._probe, replica, watched)

    def _probe(self, replica: str, watched: _Watched) -> None:
        timeout_s = max(watched.liveness_settings.timeout_s, watched.readiness_settings.timeout_s)
        silent = frozenset(socket for socket in watched.sockets if not _is_healthy(socket, timeout_s))
        # It becomes ready when all of its workers are. Later, one that is replaced is not missed while others serve.
        has_passed = not silent or (watched.readiness.has_passed and len(silent) < len(watched.sockets))
        now = time.monotonic()
        judged = replace(
            watched,
            liveness=_judge(watched.liveness, watched.liveness_settings, has_passed, now),
            readiness=_judge(watched.readiness, watched.readiness_settings, has_passed, now),
            silent=silent if has_passed else frozenset(),
        )
        with self._changed:
            if replica not in self._watched:
                return
            self._watched[replica] = judged
            heapq.heappush(self._due, (judged.next_at, replica))
            self._changed.notify()
        if judged.verdict != watched.verdict:
            self._on_change(judged.endpoint)


def _judge(health: Health, settings: ProbeSettings, has_passed: bool, now: float) -> Health:
    is_due = health.next_at <= now
    return judge_probe(health, settings, has_passed=has_passed, now=now) if is_due else health


def _is_healthy(socket: str, timeout_s: float) -> bool:
    try:
        return unix_http.request(socket, "GET", PROBE_PATH, timeout_s=timeout_s).status == 200
    except (OSError, unix_http.HTTPException):
        return False
