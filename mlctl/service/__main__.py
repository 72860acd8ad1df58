"""The jobs service: `python -m mlctl.service --home DIR --fd N`. Started by the daemon, which made the socket.

It ends when it is told to, after what is being started; jobs go on without it.
"""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import uvicorn

from mlctl.logs import set_up_daemon_logging
from mlctl.service.app import JobsApp
from mlctl.service.clock import Clock
from mlctl.settings import Settings, ensure_private_dir

log = logging.getLogger("mlctl.service")

STOP_WITHIN_S = 30
# Longer than the gateway keeps an idle connection, so that the gateway is who closes it.
KEEP_ALIVE_S = 75


def main() -> int:
    """Serve until told to end."""
    parser = argparse.ArgumentParser(prog="mlctl.service")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--fd", type=int, required=True)
    arguments = parser.parse_args()
    settings = Settings(home=arguments.home)
    set_up_daemon_logging(ensure_private_dir(settings.logs) / "jobs.log")
    # It tells of each start and end.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    listener = socket.socket(fileno=arguments.fd)
    listener.set_inheritable(False)
    with settings.jobs_lock.open("a") as lock:
        # A former one may have to finish something: two of them must not run schedules.
        fcntl.flock(lock, fcntl.LOCK_EX)
        _serve(settings, listener)
    return 0


def _serve(settings: Settings, listener: socket.socket) -> None:
    environ = dict(os.environ)
    clock = Clock(settings, environ)
    config = uvicorn.Config(
        JobsApp(settings, environ),
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=STOP_WITHIN_S,
    )
    # uvicorn raises the signal that ended it again, which would end the process before the clock has.
    signal.signal(signal.SIGTERM, _stay)
    clock.start()
    log.info("ready", extra={"event": "jobs.ready"})
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        clock.stop()
        log.info("ended", extra={"event": "jobs.ended"})


def _stay(_number: int, _frame: object) -> None:
    """Do nothing: uvicorn has ended already, and the rest follows."""


if __name__ == "__main__":
    sys.exit(main())
