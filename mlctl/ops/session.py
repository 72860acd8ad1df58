"""What every operation is given: settings, the registry, who asks, and whom to tell."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from mlctl.errors import BackendUnavailable
from mlctl.registry.events import Event
from mlctl.registry.secrets import SecretBox
from mlctl.registry.store import Store
from mlctl.settings import FIRST_PORT, LAST_PORT, Settings

DEFAULT_WORKSPACE = "local"
SUBSCRIPTION = "00000000-0000-0000-0000-000000000000"


class Watcher:
    """Is told how a command gets on; this one tells nobody. The command line has one that draws."""

    def begin(self, what: str) -> None:
        """Something that may take a while has begun."""

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
    timeout_s: how long the command may wait, None: as long as it takes.
    """

    settings: Settings
    environ: Mapping[str, str] = field(default_factory=dict[str, str])
    workspace: str = DEFAULT_WORKSPACE
    resource_group: str = DEFAULT_WORKSPACE
    timeout_s: float | None = None
    watcher: Watcher = field(default_factory=Watcher)
    on_notice: Callable[[str], None] = _ignore

    @cached_property
    def store(self) -> Store:
        """The registry, made when it is not there yet."""
        store = Store(self.settings.database)
        if store.get_meta("gateway_port") is None:
            _choose_address(store, self.settings)
        return store

    @cached_property
    def secret_box(self) -> SecretBox:
        """What encrypts the registry's keys."""
        return SecretBox(self.settings.secret_key)

    @property
    def gateway_address(self) -> str:
        """The gateway's `host:port`, the same for the registry's whole life."""
        return f"{self.store.get_meta('gateway_host')}:{self.store.get_meta('gateway_port')}"

    def close(self) -> None:
        """Give the registry back."""
        if "store" in self.__dict__:
            self.store.close()


def _choose_address(store: Store, settings: Settings) -> None:
    with store.transaction():
        if store.get_meta("gateway_port") is None:
            store.set_meta("gateway_host", settings.gateway_host)
            store.set_meta("gateway_port", str(settings.gateway_port or _free_port(settings.gateway_host)))


def _free_port(host: str) -> int:
    for port in range(FIRST_PORT, LAST_PORT + 1):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port
    raise BackendUnavailable(
        f"no port from {FIRST_PORT} to {LAST_PORT} is free on {host}",
        hint="choose one: MLCTL_GATEWAY_PORT=9600 mlctl …",
    )
