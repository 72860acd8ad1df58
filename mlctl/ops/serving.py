"""`serve`: hands the terminal over to the scoring server, which takes the place of this process."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from mlctl.errors import BackendUnavailable
from mlctl.ops.session import Session


def serve(session: Session, words: Sequence[str]) -> NoReturn:
    """Become the server, in the environment that mlctl itself runs in; `words` is its command line."""
    _tell_environment(session)
    sys.stdout.flush()
    sys.stderr.flush()
    session.close()
    command = [sys.executable, "-P", "-m", "mlctl.scoring.serving", *words]
    try:
        os.execve(sys.executable, command, _environ(session.environ))
    except OSError as error:
        raise BackendUnavailable(f"cannot start {sys.executable}: {error.strerror}") from error


def _environ(environ: Mapping[str, str]) -> dict[str, str]:
    return {**environ, "PYTHONUNBUFFERED": "1"}


def _tell_environment(session: Session) -> None:
    """Say so when an environment is active that has no part in it: its packages would be missed."""
    active = session.environ.get("VIRTUAL_ENV") or session.environ.get("CONDA_PREFIX")
    if active and Path(active).resolve() != Path(sys.prefix).resolve():
        session.on_notice(
            f"the script runs in {sys.prefix}, where mlctl is installed, not in {active}; for that one: "
            f"{active}/bin/python -m pip install mlctl"
        )
