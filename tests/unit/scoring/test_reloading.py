from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlctl.scoring.serving import reloading
from mlctl.scoring.serving.reloading import ChangeFinder


@pytest.fixture(autouse=True)
def _look_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "_LOOK_EVERY_S", 0.0)


def find(finder: ChangeFinder) -> str | None:
    return finder() or finder()


def test_a_change_is_named_once_when_it_is_over(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("1")
    finder = ChangeFinder(tmp_path)
    assert find(finder) is None
    (tmp_path / "a.py").write_text("22")
    assert finder() is None  # it may be written still
    assert finder() == "a.py"
    assert find(finder) is None


def test_new_and_removed_files_count_in_folders_too(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    finder = ChangeFinder(tmp_path)
    (tmp_path / "sub" / "b.json").write_text("{}")
    assert find(finder) == "sub/b.json"
    (tmp_path / "sub" / "b.json").unlink()
    assert find(finder) == "sub/b.json"


@pytest.mark.parametrize("name", [".a.py", "a.pyc", "a.log", "__pycache__/a.py", ".git/x", "a.py~"])
def test_what_is_no_source_does_not(tmp_path: Path, name: str) -> None:
    finder = ChangeFinder(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("x")
    assert find(finder) is None


def test_the_servers_own_output_does_not(tmp_path: Path) -> None:
    out = tmp_path / "out.txt"
    out.write_text("")
    state = out.stat()
    finder = ChangeFinder(tmp_path, frozenset({(state.st_dev, state.st_ino)}))
    out.write_text("line")
    assert find(finder) is None


def test_what_init_has_written_is_known_afterwards_but_code_is_not(tmp_path: Path) -> None:
    for name in ("a.py", "cache.bin"):
        (tmp_path / name).write_text("1")
    finder = ChangeFinder(tmp_path)
    for name in ("a.py", "cache.bin"):
        (tmp_path / name).write_text("22")
        os.utime(tmp_path / name)
    finder.settle()
    assert find(finder) == "a.py"
    assert find(finder) is None
