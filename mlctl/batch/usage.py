"""What a job takes of this machine: tables under `logs/perf`. Read from /proc now and then; used by `engine`."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlctl.batch.folder import JobFolder
from mlctl.batch.stamps import stamp

_NODE_COLUMNS = ("Time", "Load 1 Minute", "Memory Used MB", "Memory Total MB", "Disk Free MB")
_PROCESS_COLUMNS = ("Time", "Process", "PID", "CPU Seconds", "Memory MB")
_MB = 1 << 20
# In /proc/PID/stat, behind the name: time in user code and in the kernel, in ticks.
_USER_TICKS, _SYSTEM_TICKS = 11, 12


class UsageLog:
    """The two tables: of the machine, and of the coordinator and each worker."""

    def __init__(self, folder: JobFolder) -> None:
        self._folder = folder
        self._node = folder.logs / "perf" / "node_resource_usage.csv"
        self._processes = folder.logs / "perf" / "process_resource_usage.csv"

    def add(self, workers: Mapping[str, int]) -> None:
        """Add a line of each, now. workers: process by name; one that has ended meanwhile is left out."""
        now = stamp()
        _append(self._node, _NODE_COLUMNS, [(now, *_read_node(self._folder.path))])
        found = [(name, pid, _read_process(pid)) for name, pid in {"coordinator": os.getpid(), **workers}.items()]
        rows = [(now, name, pid, *numbers) for name, pid, numbers in found if numbers is not None]
        _append(self._processes, _PROCESS_COLUMNS, rows)


def _append(file: Path, columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]) -> None:
    file.parent.mkdir(mode=0o700, exist_ok=True)
    is_new = not file.exists()
    with file.open("a", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened)
        if is_new:
            writer.writerow(columns)
        writer.writerows(rows)


def _read_node(folder: Path) -> tuple[object, ...]:
    lines = Path("/proc/meminfo").read_text().splitlines()
    kilobytes = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    total, free = (kilobytes[name] >> 10 for name in ("MemTotal", "MemAvailable"))
    return round(os.getloadavg()[0], 2), total - free, total, shutil.disk_usage(folder).free // _MB


def _read_process(pid: int) -> tuple[float, float] | None:
    """Return seconds of processor time and megabytes of memory."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return None
    ticks = int(fields[_USER_TICKS]) + int(fields[_SYSTEM_TICKS])
    return round(ticks / os.sysconf("SC_CLK_TCK"), 2), round(pages * os.sysconf("SC_PAGE_SIZE") / _MB, 1)
