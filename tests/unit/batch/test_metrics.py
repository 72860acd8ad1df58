"""Metrics as MLflow's file store holds them."""

from __future__ import annotations

from pathlib import Path

from mlctl.batch.folder import JobFolder
from mlctl.batch.metrics import make_tracking_variables, read_metrics


def _write(folder: Path, run: str, name: str, *lines: str) -> None:
    file = folder / "mlruns" / "0" / run / "metrics" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{line}\n" for line in lines))


def test_the_last_value_of_each_metric_counts_whatever_its_run(tmp_path: Path) -> None:
    _write(tmp_path, "a", "auc", "1000 0.9 0", "3000 0.95 2", "2000 0.92 1")
    _write(tmp_path, "b", "auc", "2500 0.5 0")
    _write(tmp_path, "b", "val/loss", "10 1e-3 0")
    assert read_metrics(JobFolder(tmp_path)) == {"auc": 0.95, "val/loss": 0.001}


def test_half_a_line_is_no_value(tmp_path: Path) -> None:
    _write(tmp_path, "a", "auc", "1000 0.9 0", "20", "what ever")
    assert read_metrics(JobFolder(tmp_path)) == {"auc": 0.9}


def test_a_job_that_logged_nothing_has_no_metrics(tmp_path: Path) -> None:
    assert read_metrics(JobFolder(tmp_path)) == {}


def test_the_store_is_a_folder_of_the_job_whatever_its_path_holds(tmp_path: Path) -> None:
    variables = make_tracking_variables(JobFolder(tmp_path / "a b"))
    assert variables["MLFLOW_TRACKING_URI"] == (tmp_path / "a b" / "mlruns").as_uri()
    assert "%20" in variables["MLFLOW_TRACKING_URI"]
