"""Commands that run on after their coordinator was killed: found by what they wrote down themselves, and ended."""

from __future__ import annotations

from pathlib import Path

from mlctl.batch.folder import JobFolder
from mlctl.runtimes.processes import kill_members

# Before anything of the command runs: a coordinator may be killed at once after it has started one.
_RECORD_ITSELF = 'echo $$ > "$0" && exec /bin/bash -c "$1"'


def record_itself(folder: JobFolder, command: str) -> list[str]:
    """Return the words that run a command, after it has written its process's number down."""
    return ["/bin/bash", "-c", _RECORD_ITSELF, str(_find_record(folder)), command]


def end_leftover(folder: JobFolder, name: str) -> None:
    """Kill what is left of the command of a job and of all it has started; nothing happens when all has ended."""
    try:
        session = int(_find_record(folder).read_text())
    except (OSError, ValueError):
        return
    # The number may be another session's by now: only what was started for this job is meant.
    kill_members(session, f"AZUREML_RUN_ID={name}")
    _find_record(folder).unlink(missing_ok=True)


def _find_record(folder: JobFolder) -> Path:
    return folder.path / "command.pid"
