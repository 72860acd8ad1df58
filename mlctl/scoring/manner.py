"""How a process of `__main__` speaks: as a replica behind the gateway, or alone, as Azure's server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from mlctl.scoring.app import SERVER_VERSION, Observer
from mlctl.scoring.behaviour import ENDPOINT, ENDPOINT_EXACT, Behaviour
from mlctl.scoring.limits import DEFAULT_SCORING_TIMEOUT_MS, Limits
from mlctl.scoring.logs import LogFile
from mlctl.scoring.options import Options
from mlctl.scoring.request_log import RequestLog

_logger = logging.getLogger("azmlinfsrv")


@dataclass(frozen=True)
class Manner:
    """behaviour: see there. own_headers: stand in every answer to a known route, rendered.

    watch_requests: returns what writes the log's lines. accepts_early: connections are accepted, and probes answered,
    before init() has ended. has_metrics: /metrics is answered. scoring_timeout_ms: what the log says run() is limited
    to, None: nothing.
    """

    behaviour: Behaviour
    own_headers: bytes
    watch_requests: Callable[[asyncio.AbstractEventLoop], Observer]
    accepts_early: bool
    has_metrics: bool = True
    scoring_timeout_ms: int | None = None

    def say_limits(self) -> None:
        """Write down how long run() may take."""
        if self.scoring_timeout_ms is not None:
            _logger.info("Scoring timeout is set to %d", self.scoring_timeout_ms)


def choose_replica_manner(options: Options, limits: Limits, log: LogFile, *, has_own_logging: bool) -> Manner:
    """Return how a replica speaks. has_own_logging: a logging.json says where lines go."""
    behaviour = ENDPOINT_EXACT if options.is_azure_exact else ENDPOINT
    if options.is_azure_exact or limits.scoring_timeout_ms:
        timeout_ms = DEFAULT_SCORING_TIMEOUT_MS if limits.scoring_timeout_ms is None else limits.scoring_timeout_ms
        behaviour = behaviour.limit_run(timeout_ms, is_exact=options.is_azure_exact)
    own_headers = f"azureml-model-deployment: {options.deployment}\r\nx-ms-server-version: {SERVER_VERSION}\r\n"
    return Manner(
        behaviour,
        own_headers.encode(),
        lambda loop: RequestLog(log, loop, has_own_logging=has_own_logging).observe,
        accepts_early=True,
        scoring_timeout_ms=limits.scoring_timeout_ms,
    )
