"""Envoy's files: whole, private, and put back as they were."""

import os
import stat
from pathlib import Path

import pytest

from mlctl.errors import BackendUnavailable
from mlctl.gateway.envoy import Layout
from mlctl.gateway.files import ConfigFiles


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "xds", tmp_path / "envoy.sock", "127.0.0.1", 8600, tmp_path / "gateway.sock")


@pytest.fixture
def files(layout: Layout) -> ConfigFiles:
    return ConfigFiles(layout)


def test_a_file_is_private_and_so_is_its_folder(files: ConfigFiles, layout: Layout):
    before = os.umask(0)
    try:
        files.write("rds", [{"a": 1}])
    finally:
        os.umask(before)
    path = layout.file("rds")
    assert [stat.S_IMODE(found.stat().st_mode) for found in (path, path.parent)] == [0o600, 0o700]
    assert [found.name for found in path.parent.iterdir()] == ["resources.json"]


def test_what_is_written_is_read(files: ConfigFiles):
    version = files.write("rds", [{"a": 1}])
    assert (files.read("rds"), files.version("rds"), files.exists("rds")) == ([{"a": 1}], version, True)


def test_no_file_is_no_resources(files: ConfigFiles):
    assert (files.read("cds"), files.version("cds"), files.exists("cds")) == ([], "", False)


def test_the_same_again_replaces_the_file_until_it_is_certain(files: ConfigFiles, layout: Layout):
    seen: list[tuple[str, int]] = []
    for is_certain in (False, False, True):
        files.is_certain = is_certain
        seen.append((files.write("rds", [{"a": 1}]), layout.file("rds").stat().st_ino))
    assert seen[0] != seen[1]
    assert seen[1] == seen[2]


def test_restore_goes_back_to_what_was_accepted_over_several_failures(files: ConfigFiles):
    good = files.write("rds", [{"a": 1}])
    files.accept()
    for number in (2, 3):
        files.write("rds", [{"a": number}])
    files.write("eds-new", [])
    assert files.restore() == {"rds": good}
    assert files.read("rds") == [{"a": 1}]


def test_prune_leaves_the_endpoints_that_are_named(files: ConfigFiles, layout: Layout):
    for kind in ("eds-a", "eds-b", "cds"):
        files.write(kind, [])
    files.prune_endpoints({"eds-a"})
    assert sorted(found.name for found in layout.root.iterdir()) == ["cds", "eds-a"]


def test_a_disk_that_takes_nothing_is_told_and_the_old_file_stays(files: ConfigFiles, layout: Layout):
    files.write("rds", [{"a": 1}])
    # A folder lies where the draft would: what a full disk does at this very call, for root as well.
    (layout.file("rds").parent / f".resources.json.{os.getpid()}").mkdir()
    with pytest.raises(BackendUnavailable, match="cannot write"):
        files.write("rds", [{"a": 2}])
    assert files.read("rds") == [{"a": 1}]
