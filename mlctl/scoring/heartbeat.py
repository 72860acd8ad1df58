"""Notices that run() does not come back. Looks about once a second, in the HTTP loop.

As gunicorn does it for Azure's server: a worker that has begun to answer nothing for WORKER_TIMEOUT is ended. One that
has a master only falls silent; alone it ends itself, and whoever started it starts another.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable

from mlctl.scoring.dispatch import Dispatcher
from mlctl.scoring.place import Place

_logger = logging.getLogger("gunicorn.error")


class Heartbeat:
    """Watches one dispatcher. on_orphaned: called once, when the master has died.

    timeout_s: how long nothing may be answered while something waits, 0 for ever.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        dispatcher: Dispatcher,
        place: Place,
        timeout_s: float,
        on_orphaned: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._dispatcher = dispatcher
        self._place = place
        self._timeout_s = timeout_s
        self._on_orphaned = on_orphaned
        self._every_s = min(1.0, timeout_s / 4) if timeout_s else 1.0
        self._answered = 0
        self._heard_at = 0.0

    def start(self) -> None:
        """Begin. Called in the loop when the worker is ready."""
        self._heard_at = time.monotonic()
        self._look()

    def _look(self) -> None:
        if self._place.is_orphaned:
            self._on_orphaned()
            return
        dispatcher, now = self._dispatcher, time.monotonic()
        if dispatcher.is_idle or dispatcher.answered != self._answered:
            self._answered, self._heard_at = dispatcher.answered, now
            self._place.beat()
        elif self._timeout_s and not self._place.master and now - self._heard_at > self._timeout_s:
            _logger.critical("WORKER TIMEOUT (pid:%d): run() gave no answer in %d s", os.getpid(), self._timeout_s)
            os.kill(os.getpid(), signal.SIGABRT)  # faulthandler writes where each thread is
        self._loop.call_later(self._every_s, self._look)
