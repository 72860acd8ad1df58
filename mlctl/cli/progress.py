"""What a waiting command shows on a terminal: a line that moves while something goes on, a line for each thing done."""

from __future__ import annotations

import logging
import time
from typing import Any

from mlctl.cli.render import BAD, GOOD
from mlctl.ops.session import Watcher
from mlctl.registry.events import Event

WIDTH = 70
_logger = logging.getLogger("mlctl.progress")


class LoggedProgress(Watcher):
    """Tells the same as log lines, for --verbose and --debug."""

    def begin(self, what: str) -> None:
        """Log what is waited for."""
        _logger.info("%s", what)

    def step(self, name: str, text: str) -> None:
        """Log a part that is done."""
        _logger.info("%s: %s", name, text)

    def event(self, event: Event) -> None:
        """Log what the daemon did."""
        _logger.info("%s %s: %s", event.kind, event.deployment or "", event.message)


class Progress(Watcher):
    """Draws on stderr. Each line says how long its part took."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._status: Any = None
        self._console: Any = None
        self._ready = 0
        self._what = ""
        self._shown_s = 0
        self._begun_at = self._since
        self._limit_s = 0.0
        self._told = ""

    def begin(self, what: str) -> None:
        """Show a moving line until `close`."""
        self._open()
        self._what = what
        self._shown_s, self._begun_at, self._limit_s = 0, time.monotonic(), 0.0
        self._status.update(what)

    def tick(self, waited_s: float) -> None:
        """Show how long what the line tells of has gone on, from the second second on, and how long it may."""
        seconds = int(time.monotonic() - self._begun_at)
        if self._status is not None and seconds >= 2 and seconds > self._shown_s:
            self._shown_s = seconds
            self._status.update(f"{self._what} · {seconds} s" + (f" of {self._limit_s:g} s" if self._limit_s else ""))

    def step(self, name: str, text: str) -> None:
        """Show a part that is done."""
        self._print(GOOD, name, text)

    def event(self, event: Event) -> None:
        """Show what the daemon did, as far as it tells a person something."""
        match event.kind:
            case "replica.started":
                # Each try has the limit for itself.
                self.begin(f"{event.deployment} is in init()")
                self._limit_s = float(event.data.get("limit_s") or 0.0)
            case "replica.ready":
                self._ready += 1
                self.begin(f"replicas of {event.deployment}: {self._ready} ready")
            case "deployment.ready":
                count = f"{event.data.get('replicas')} of {event.data.get('wanted')} ready"
                self._print(GOOD, "replicas", count)
            case "replica.exited":
                self._tell_end(event)
            case "endpoint.update" if event.message.startswith("traffic "):
                shares = event.message.removeprefix("traffic ").split(", ", 1)[0]
                self._print(GOOD, "traffic", ", ".join(f"{share.replace('=', ' ')} %" for share in shares.split()))
            case _:
                pass

    def close(self) -> None:
        """Take the moving line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _tell_end(self, event: Event) -> None:
        """Tell why a replica ended, once: the tries of a script that cannot start fail alike."""
        cause = event.message.removeprefix(f"{event.data.get('replica')} ")
        if cause != self._told:
            self._told = cause
            self._print(BAD, "replicas", event.message)

    def _open(self) -> None:
        if self._console is None:
            from rich.console import Console

            self._console = Console(stderr=True, highlight=False, markup=False)
        if self._status is None:
            self._status = self._console.status("", spinner="dots")
            self._status.start()

    def _print(self, sign: str, name: str, text: str) -> None:
        self._open()
        now = time.monotonic()
        took = f"{now - self._since:.1f} s"
        self._since = now
        self._console.print(f"{sign} {name:<13} {text:<{WIDTH - 16}} {took:>8}")
