"""What every operation is given: settings, the registry, who asks, and whom to tell."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from mlctl.errors import BackendUnavailable
from mlctl.registry.events import Event
from mlctl.registry.secrets import SecretBox, open_secret_box
from mlctl.registry.store import Store
from mlctl.settings import (
    FIRST_METRICS_PORT,
    FIRST_PORT,
    LAST_METRICS_PORT,
    LAST_PORT,
    PRIVATE_SOCKET,
    Settings,
    choose_run_dir,
)

DEFAULT_WORKSPACE = "local"
SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"


class Watcher:
    """Is told how a command gets on; this one tells nobody. The command line has one that draws."""

    def begin(self, what: str) -> None:
        """Something that may take a while has begun."""

    def tick(self, waited_s: float) -> None:
        """It is still waited for, so many seconds after `begin`."""

    def step(self, name: str, text: str) -> None:
        """A part is done: what, and what came of it."""

    def event(self, event: Event) -> None:
        """The daemon got on with what the command waits for."""


def _ignore(_: str) -> None:
    """Tell nobody."""


@dataclass
class Session:
    """One command's view of the world.

    watcher: is told how the command gets on. on_notice: called with a line for stderr.
    timeout_s: how long the command may wait, None: as long as it takes. pending: how to look at, and to stop, what it
    waits for.
    """

    settings: Settings
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    workspace: str = DEFAULT_WORKSPACE
    resource_group: str = DEFAULT_WORKSPACE
    timeout_s: float | None = None
    watcher: Watcher = field(default_factory=Watcher)
    on_notice: Callable[[str], None] = _ignore
    pending: str = ""

    @cached_property
    def store(self) -> Store:
        """The registry, made when it is not there yet."""
        store = Store(self.settings.database)
        if store.get_meta("metrics_port") is None:
            _choose_address(store, self.settings)
        return store

    @cached_property
    def secret_box(self) -> SecretBox:
        """What encrypts the registry's keys."""
        return open_secret_box(self.store, self.settings.secret_key)

    @property
    def gateway_address(self) -> str:
        """The gateway's `host:port`, the same for the registry's whole life."""
        return f"{self.store.get_meta('gateway_host')}:{self.store.get_meta('gateway_port')}"

    @property
    def gateway_socket(self) -> Path:
        """Where private endpoints are reached, by this user only."""
        known = self.store.get_meta("run_dir")
        return (Path(known) if known else choose_run_dir(self.settings.home, self.environ)) / PRIVATE_SOCKET

    def close(self) -> None:
        """Give the registry back."""
        if "store" in self.__dict__:
            self.store.close()


def _choose_address(store: Store, settings: Settings) -> None:
    with store.transaction():
        if store.get_meta("gateway_port") is None:
            store.set_meta("gateway_host", settings.gateway_host)
            port = settings.gateway_port or _free_port(settings.gateway_host, FIRST_PORT, LAST_PORT)
            store.set_meta("gateway_port", str(port))
        if store.get_meta("metrics_port") is None:
            metrics = settings.metrics_port
            if metrics is None:
                metrics = _free_port("127.0.0.1", FIRST_METRICS_PORT, LAST_METRICS_PORT)
            store.set_meta("metrics_port", str(metrics))


def _free_port(host: str, first: int, last: int) -> int:
    for port in range(first, last + 1):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise BackendUnavailable(
        f"no port from {first} to {last} is free on {host}",
        hint="choose one: MLCTL_GATEWAY_PORT=9600 mlctl …",
    )
