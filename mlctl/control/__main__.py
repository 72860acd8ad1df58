"""The daemon: `python -m mlctl.control --home DIR`. Started, detached, by `ops.daemon`."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import sys
from pathlib import Path

from mlctl.control.supervisor import Supervisor
from mlctl.errors import MlctlError
from mlctl.logs import set_up_daemon_logging
from mlctl.runtimes.processes import forbid_new_privileges
from mlctl.settings import Settings, ensure_private_dir

log = logging.getLogger("mlctl.control")


def main() -> int:
    """Run until told to end; 0 also when another daemon has this registry already."""
    parser = argparse.ArgumentParser(prog="mlctl.control")
    parser.add_argument("--home", type=Path, required=True)
    settings = Settings(home=parser.parse_args().home)
    os.umask(0o077)
    forbid_new_privileges()
    set_up_daemon_logging(ensure_private_dir(settings.logs) / "daemon.log")
    with settings.daemon_lock.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log.info("another daemon runs", extra={"event": "daemon.second"})
            return 0
        return _supervise(settings)


def _supervise(settings: Settings) -> int:
    supervisor: Supervisor | None = None
    try:
        supervisor = Supervisor(settings)
        supervisor.run()
    except Exception as error:
        log.exception("daemon failed", extra={"event": "daemon.failed"})
        message = error.message if isinstance(error, MlctlError) else f"{type(error).__name__}: {error}"
        hint = error.hint if isinstance(error, MlctlError) else ""
        print(f"{message}\n{hint}".strip(), file=sys.stderr, flush=True)  # noqa: T201  the boundary of this process
        if supervisor is not None:
            supervisor.record_failure(f"{message}\n{hint}".strip())
        return error.exit_code if isinstance(error, MlctlError) else 70
    return 0


if __name__ == "__main__":
    sys.exit(main())
