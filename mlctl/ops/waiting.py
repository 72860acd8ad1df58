"""Following the registry until the daemon has done what a command asked for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from mlctl.errors import TimedOut
from mlctl.ops import daemon
from mlctl.ops.session import Session
from mlctl.registry import events

FIRST_POLL_S, SLOWEST_POLL_S = 0.005, 0.1
DAEMON_CHECK_S = 0.5

T = TypeVar("T")


def follow(
    session: Session, endpoint: str, find_outcome: Callable[[], T | None], *, after: int, what: str, look: str = ""
) -> T:
    """Poll `find_outcome` until it returns something, handing on the endpoint's events with an id above `after`.

    look: the command that shows how it gets on. A daemon that dies meanwhile is started again. TimedOut after the
    session's `timeout_s`; the work goes on.
    """
    started = last_check = time.monotonic()
    poll_s = FIRST_POLL_S
    look = look or f"mlctl endpoint show -n {endpoint}"
    session.pending = f"Look at it: {look}"
    session.watcher.begin(what)
    daemon.ensure_running(session)
    daemon.wake(session, endpoint)
    while True:
        outcome = find_outcome()
        for event in events.list_events(session.store, endpoint=endpoint, after=after):
            after = event.id
            session.watcher.event(event)
        if outcome is not None:
            session.pending = ""
            return outcome
        now = time.monotonic()
        session.watcher.tick(now - started)
        if session.timeout_s is not None and now - started > session.timeout_s:
            raise TimedOut(
                f"not done after {session.timeout_s:g} s: {what}; it goes on",
                hint=look,
            )
        if now - last_check > DAEMON_CHECK_S:
            daemon.ensure_running(session)
            last_check = now
        time.sleep(poll_s)
        poll_s = min(poll_s * 1.3, SLOWEST_POLL_S)
