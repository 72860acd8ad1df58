"""What replicas leave behind: their log files, and the report of one that failed to start."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.settings import Settings

KEPT_LOGS = 10


def log_file(settings: Settings, endpoint: str, deployment: str, replica: str) -> Path:
    """Return where a new replica logs; the logs of all but the newest few replicas of the deployment are removed."""
    folder = settings.logs / endpoint / deployment
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    old = sorted(folder.glob("*.log"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in old[KEPT_LOGS - 1 :]:
        path.unlink(missing_ok=True)
    return folder / f"{replica}.log"


def remove_logs(settings: Settings, endpoint: str, deployment: str | None = None) -> None:
    """Remove the logs of an endpoint or a deployment that is gone."""
    shutil.rmtree(settings.logs / endpoint / (deployment or ""), ignore_errors=True)


def _read_report(failure_file: Path) -> Mapping[str, Any]:
    with contextlib.suppress(OSError, ValueError):
        return json.loads(failure_file.read_text())
    return {}


def read_cause(failure_file: Path) -> str:
    """Return in one line what a replica reported of its failed start: phase and exception; empty without a report."""
    report = _read_report(failure_file)
    lines = str(report.get("message") or "").splitlines()
    phase = {"init": "init() raised ", "import": "loading its script raised "}.get(report.get("phase", ""), "")
    return f"{phase}{lines[0]}" if lines else ""


def describe_failure(failure_file: Path, attempts: int, how: str = "", *, took_s: float = 0.0) -> dict[str, Any]:
    """Return why a deployment did not come up: from the replica's own report, or else how its process ended.

    took_s: seconds since the deployment was asked for; 0 when that is not known.
    """
    report = _read_report(failure_file)
    phase = report.get("phase", "")
    where = {"init": " in init()", "import": " while its script was loaded"}.get(phase, " before it was ready")
    return {
        "code": "ResourceNotReady",
        "message": f"failed {attempts} times{where}" + (f", gave up after {took_s:.1f} s" if took_s > 0 else ""),
        "cause": report.get("message") or how,
        "frames": report.get("frames", []),
        "model_dir": report.get("model_dir", []),
        "phase": phase,
        "attempts": attempts,
    }
