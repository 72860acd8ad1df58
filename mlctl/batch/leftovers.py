"""Commands that run on after their coordinator was killed: found again by what was written down of them, and ended."""

from __future__ import annotations

from pathlib import Path

from mlctl.batch.folder import JobFolder
from mlctl.runtimes.processes import kill_members, read_start_ticks


def record_command(folder: JobFolder, pid: int) -> None:
    """Write down which process a job's command is."""
    _find_record(folder).write_text(f"{pid} {read_start_ticks(pid) or 0}")


def end_leftover(folder: JobFolder, name: str) -> None:
    """Kill what is left of the command of a job and of all it has started; nothing happens when all has ended."""
    try:
        pid, ticks = map(int, _find_record(folder).read_text().split())
    except (OSError, ValueError):
        return
    if read_start_ticks(pid) in (None, ticks):
        # The number may be another session's by now: only what was started for this job is meant.
        kill_members(pid, f"AZUREML_RUN_ID={name}")
    _find_record(folder).unlink(missing_ok=True)


def _find_record(folder: JobFolder) -> Path:
    return folder.path / "command.pid"
