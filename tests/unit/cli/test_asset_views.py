"""What a terminal shows of models and environments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlctl.cli import render
from mlctl.ops import environments
from mlctl.ops.environments import Content
from mlctl.ops.session import Session
from mlctl.registry.artifacts import Artifact
from mlctl.settings import Settings

CONTEXT = {"created_at": "2026-01-02T03:04:05.6+00:00", "created_by": "ana"}


def lines_of(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """Return what was shown, as cells."""
    return [[cell for cell in line.split("  ") if cell.strip()] for line in capsys.readouterr().out.splitlines()]


def shown(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return the fields of a view."""
    return {cells[0].strip(): cells[-1].strip() for cells in lines_of(capsys) if len(cells) > 1}


def test_a_model_shows_its_files(capsys: pytest.CaptureFixture[str]):
    document: dict[str, Any] = {"name": "fraud", "version": "3", "type": "custom_model", "tags": {"team": "risk"}}
    copy = Artifact("a" * 64, "model", 1200, 12_400_000, Path("/nowhere"))
    render.show_asset("model", document | {"creation_context": CONTEXT}, copy)
    fields = shown(capsys)
    assert fields["files"] == "model · 1,200 files · 12.4 MB"
    assert (fields["sha256"], fields["tags"]) == ("a" * 12, "team=risk")
    assert fields["created"] == "2026-01-02 03:04:05 UTC by ana"


def test_an_environment_shows_python_packages_and_drift(capsys: pytest.CaptureFixture[str]):
    content = Content("==3.11.*", tuple(f"p{number}" for number in range(8)), ("conda package cudnn is not installed",))
    document: dict[str, Any] = {"name": "infer", "version": "1", "image": "python:3.11"}
    render.show_asset("environment", document, None, content)
    fields = shown(capsys)
    assert (fields["python"], fields["packages"]) == ("3.11", "8: p0, p1, p2, p3, p4, p5, …")
    assert fields["! drift"] == "conda package cudnn is not installed"


def test_a_list_has_no_columns_that_nobody_filled(capsys: pytest.CaptureFixture[str]):
    rows = [{"name": "infer", "version": "1", "tags": {"a": 1}, "creation_context": CONTEXT}]
    render.show_assets("environment", rows)
    head = " ".join(lines_of(capsys)[0])
    assert [word for word in ("version", "tags", "created", "type", "stage") if word in head] == [
        *("version", "tags", "created")
    ]


def describe(tmp_path: Path, spec: dict[str, Any]) -> Content:
    return environments.describe(Session(Settings(home=tmp_path), environ={"PATH": ""}), spec)


def test_what_an_environment_comes_to_is_told_without_building_it(tmp_path: Path):
    conda = {"dependencies": ["python=3.11", "cudatoolkit", "numpy=2.1", {"pip": ["joblib"]}]}
    found = describe(tmp_path, {"image": "python:3.11", "conda_file": conda})
    assert (found.python, found.packages) == ("==3.11.*", ("numpy==2.1.*", "joblib"))
    assert found.drift[-1] == "conda package cudatoolkit is not installed: it is not on PyPI"
    assert list(tmp_path.iterdir()) == []


def test_a_version_that_is_too_old_is_drift(tmp_path: Path):
    found = describe(tmp_path, {"image": "x", "conda_file": {"dependencies": ["python=3.8"]}})
    assert "Python 3.8 is too old, 3.10 is needed" in found.drift[0]


def test_an_image_is_not_looked_into(tmp_path: Path):
    assert describe(tmp_path, {"image": "mine"}).drift == ("image mine is not run: its packages are not known here",)
