"""The address at which an installed azureml-ai-monitoring delivers."""

from __future__ import annotations

import fcntl
import socket
import struct

_SET_FLAGS = 0x8914  # SIOCSIFFLAGS of Linux
_UP_AND_RUNNING = 0x1 | 0x40


def open_listener() -> socket.socket:
    """Listen on a free port of the loopback address; raises OSError.

    A replica that must not reach anything has a network of its own, in which not even that address is up. Whoever may
    make such a network may bring it up; it still leads nowhere else.
    """
    try:
        return _listen()
    except OSError:
        _bring_up()
        return _listen()


def _listen() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    try:
        # An address that is not up can be bound, but not reached.
        with socket.create_connection(listener.getsockname(), timeout=1.0), listener.accept()[0]:
            return listener
    except OSError:
        listener.close()
        raise


def _bring_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP_AND_RUNNING))
