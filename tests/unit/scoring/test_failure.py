from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from mlctl.scoring.failure import describe_failure, draw_tree, list_files, list_user_frames, write_failure


def _make_files(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_tree_is_sorted_and_indented(tmp_path: Path) -> None:
    _make_files(tmp_path, "b.pkl", "a/z.txt", "a/deep/x")
    drawn = [f"{tmp_path.name}/", "    a/", "        deep/", "            x", "        z.txt", "    b.pkl"]
    assert list(draw_tree(tmp_path)) == drawn


def test_tree_and_list_stop_at_200(tmp_path: Path) -> None:
    _make_files(tmp_path, *[f"{number:03d}" for number in range(250)])
    assert list(draw_tree(tmp_path))[199:] == ["    198", "Output Truncated. First 200 lines shown."]
    assert len(list_files(tmp_path)) == 200


def test_list_has_files_only(tmp_path: Path) -> None:
    _make_files(tmp_path, "model/model.pkl", "config.json")
    assert list_files(tmp_path) == ["config.json", "model/model.pkl"]


def test_missing_folder_is_empty(tmp_path: Path) -> None:
    assert list_files(tmp_path / "nope") == []


def test_link_to_a_parent_does_not_go_on_forever(tmp_path: Path) -> None:
    (tmp_path / "up").symlink_to(tmp_path)
    assert len(list(draw_tree(tmp_path))) <= 201


def test_frames_outside_of_the_users_code_are_left_out(tmp_path: Path) -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("{")
    assert list_user_frames(caught.value, tmp_path) == []
    frames = list_user_frames(caught.value, Path(__file__).parent)
    assert [(frame["file"], frame["text"]) for frame in frames] == [("test_failure.py", 'json.loads("{")')]


def test_file_is_private_and_replaces_an_older_one(tmp_path: Path) -> None:
    path = tmp_path / "failure.json"
    path.write_text("old")
    failure = describe_failure("init", ValueError("no"), app_root=tmp_path, model_dir=None)
    write_failure(path, failure)
    assert json.loads(path.read_text()) == {"phase": "init", "message": "ValueError: no", "frames": [], "model_dir": []}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [child.name for child in tmp_path.iterdir()] == ["failure.json"]
