"""What a waiting command shows on a terminal: a line that moves while something goes on, a line for each thing done."""

from __future__ import annotations

import time
from typing import Any

from mlctl.cli.render import BAD, GOOD
from mlctl.registry.events import Event

SHOWN = {
    "replica.started": None,
    "endpoint.accepted": None,
    "deployment.create": None,
    "deployment.update": None,
}


class Progress:
    """Follows events; nothing is drawn before the first half second is over, so quick commands stay quiet."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._status: Any = None
        self._console: Any = None
        self._ready: dict[str, int] = {}

    def follow(self, event: Event) -> None:
        """Show one event."""
        self._open()
        took = f"{time.monotonic() - self._started:.1f} s"
        match event.kind:
            case "replica.started":
                self._status.update(f"replicas      {event.deployment}: starting")
            case "replica.ready":
                name = event.deployment or ""
                self._ready[name] = self._ready.get(name, 0) + 1
                self._status.update(f"replicas      {name}: {self._ready[name]} ready")
            case "deployment.ready":
                self._print(f"{GOOD} replicas      {event.deployment} · {event.data.get('replicas')} ready", took)
            case "replica.exited" | "replica.probe_failed":
                self._print(f"{BAD} replicas      {event.message}", took)
            case "endpoint.update":
                self._print(f"{GOOD} {event.endpoint}   {event.message}", took)
            case "endpoint.rejected" | "deployment.failed":
                self._print(f"{BAD} {event.deployment or event.endpoint}   {event.message}", took)
            case _:
                pass

    def wait_for(self, what: str) -> None:
        """Show that something goes on."""
        self._open()
        self._status.update(what)

    def close(self) -> None:
        """Take the moving line away."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _open(self) -> None:
        if self._status is None:
            from rich.console import Console

            self._console = Console(stderr=True, highlight=False, markup=False)
            self._status = self._console.status("working", spinner="dots")
            self._status.start()

    def _print(self, text: str, took: str) -> None:
        self._console.print(f"{text:<70} {took:>8}")
