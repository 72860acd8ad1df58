"""What is scored: which files, in which order, whether they are the same, and how mini-batches are halved and named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlctl.batch import inputs
from mlctl.batch.inputs import InputFile
from mlctl.errors import InvalidInput


def fill(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


def names(root: Path, *, tables: bool) -> list[str]:
    return [str(Path(file.path).relative_to(root)) for file in inputs.list_files([str(root)], tables=tables)]


def test_folders_are_walked_by_name_at_every_level(tmp_path: Path) -> None:
    fill(tmp_path, "b", "a/z", "a/b/c", "c/a", ".hidden", "_SUCCESS")
    assert names(tmp_path, tables=False) == [".hidden", "_SUCCESS", "a/b/c", "a/z", "b", "c/a"]


def test_what_stands_beside_tables_is_left_out(tmp_path: Path) -> None:
    fill(tmp_path, "b.csv", "_SUCCESS", ".b.csv.crc", "MLTable", "_temporary/c.csv", "a=1/part.csv")
    assert names(tmp_path, tables=True) == ["a=1/part.csv", "b.csv"]


def test_links_to_folders_are_followed(tmp_path: Path) -> None:
    fill(tmp_path / "there", "x")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "there")
    assert names(tmp_path / "in", tables=False) == ["link/x"]


def test_a_link_in_a_circle_is_refused(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to(tmp_path)
    with pytest.raises(InvalidInput, match="circle"):
        inputs.list_files([str(tmp_path)], tables=False)


def test_a_broken_link_is_named(tmp_path: Path) -> None:
    (tmp_path / "broken").symlink_to(tmp_path / "nowhere")
    with pytest.raises(InvalidInput, match="broken"):
        inputs.list_files([str(tmp_path)], tables=False)


def test_changes_of_content_size_and_presence_are_found(tmp_path: Path) -> None:
    fill(tmp_path, "same", "longer", "newer", "gone")
    known = inputs.list_files([str(tmp_path)], tables=False)
    (tmp_path / "longer").write_text("longer than before")
    os.utime(tmp_path / "newer", ns=(1, 1))
    (tmp_path / "gone").unlink()
    assert [Path(path).name for path in inputs.find_changed(known)] == ["gone", "longer", "newer"]


def test_the_list_of_inputs_is_read_as_it_was_written(tmp_path: Path) -> None:
    listed = [InputFile("/in/ä\n", 3, 1 << 60), InputFile("/in/b", 0, 0)]
    inputs.write_inputs(tmp_path / "inputs.jsonl", listed)
    assert inputs.read_inputs(tmp_path / "inputs.jsonl") == listed


@pytest.mark.parametrize("count", [2, 3, 7])
def test_halves_are_the_whole(count: int) -> None:
    files = {"index": 0, "files": [str(number) for number in range(count)]}
    first, second = inputs.halve(files)
    assert [*first["files"], *second["files"]] == files["files"]
    rows = {"index": 0, "table": {"origin": "a", "first_row": 100}, "start": 5, "rows": count}
    first, second = inputs.halve(rows)
    assert (first["start"], first["start"] + first["rows"]) == (5, second["start"])
    assert first["rows"] + second["rows"] == count
    assert inputs.name_items(second, "no")[0].row == 105 + first["rows"]


def test_items_are_named_by_file_and_row() -> None:
    table = {"origin": "a.csv", "first_row": 77_000}
    (bad,) = inputs.name_items({"index": 0, "table": table, "start": 120, "rows": 1}, "no")
    assert bad.render_place() == "a.csv row 77,120"
    (bad,) = inputs.name_items({"index": 0, "table": table, "start": 0, "rows": 10}, "no")
    assert bad.render_place() == "a.csv rows 77,000 to 77,009"
    assert [bad.render_place() for bad in inputs.name_items({"index": 0, "files": ["x", "y"]}, "no")] == ["x", "y"]
