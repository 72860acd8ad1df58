"""Metrics that a command logs with MLflow: kept as files in the job's folder, no server and no account needed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mlctl.batch.folder import JobFolder


def make_tracking_variables(folder: JobFolder) -> dict[str, str]:
    """Return the variables that make MLflow, where it is installed, write into a job's folder."""
    return {
        "MLFLOW_TRACKING_URI": _find_store(folder).as_uri(),
        # MLflow 3 refuses folders as stores unless told that they are wanted.
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }


def read_metrics(folder: JobFolder) -> dict[str, float]:
    """Return the last value of each metric, by name."""
    last: dict[str, tuple[int, float]] = {}
    for name, at, value in _read_values(_find_store(folder)):
        if name not in last or last[name][0] <= at:
            last[name] = (at, value)
    return {name: value for name, (_, value) in sorted(last.items())}


def _find_store(folder: JobFolder) -> Path:
    return (folder.path / "mlruns").absolute()


def _read_values(store: Path) -> Iterator[tuple[str, int, float]]:
    """Yield name, time and value of each line: EXPERIMENT/RUN/metrics/NAME holds `time value step`."""
    for metrics in sorted(store.glob("*/*/metrics")):
        for file in sorted(path for path in metrics.rglob("*") if path.is_file()):
            for line in file.read_text(errors="replace").splitlines():
                words = line.split()
                try:
                    yield str(file.relative_to(metrics)), int(words[0]), float(words[1])
                except (ValueError, IndexError):
                    continue  # half a line: it is being written
