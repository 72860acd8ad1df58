"""A datagram socket on which commands say "look now"; a lost message costs one poll interval."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from pathlib import Path


def listen_for_wakeups(path: Path, on_wakeup: Callable[[str], None]) -> None:
    """Call `on_wakeup(endpoint)` from a thread for every message."""
    path.unlink(missing_ok=True)
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    receiver.bind(str(path))
    path.chmod(0o600)

    def receive() -> None:
        while True:
            on_wakeup(receiver.recv(1024).decode(errors="replace"))

    threading.Thread(target=receive, name="wakeups", daemon=True).start()
