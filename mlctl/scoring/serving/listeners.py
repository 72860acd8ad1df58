"""The ports that are served."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import socket
import time

from mlctl.scoring.limits import BadSetting

_BACKLOG = 2048
_TRIES = 5
_logger = logging.getLogger("gunicorn.error")


class PortTaken(Exception):
    """Somebody else listens there, or nobody may."""


def open_port(host: str, port: int) -> socket.socket:
    """Listen; tries for some seconds when the port is in use, as after a restart. Raises PortTaken."""
    for tries_left in reversed(range(_TRIES)):
        try:
            return _listen(host, port)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise PortTaken(f"Can't listen on {host}:{port}: {error.strerror or error}") from error
            _logger.error("Connection in use: (%r, %d)", host, port)
        if tries_left:
            _logger.error("Retrying in 1 second.")
            time.sleep(1)
    raise PortTaken(f"Can't connect to ({host!r}, {port}): another process listens there. Try --port {port + 1}")


def _listen(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address; raises BadSetting for one that is none of this machine."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise BadSetting(f"--host {host}: {error.strerror}") from error
    with contextlib.suppress(ValueError):
        return all(ipaddress.ip_address(str(address[0]).split("%")[0]).is_loopback for *_, address in found)
    return False
