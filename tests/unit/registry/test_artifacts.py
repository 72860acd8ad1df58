import os
from pathlib import Path

import pytest

from mlctl import leases
from mlctl.errors import InvalidInput
from mlctl.registry.artifacts import (
    find_artifact,
    forget_copies,
    list_copies,
    list_strays,
    store_artifact,
    sweep,
)
from mlctl.registry.store import Store


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    (folder / "sub").mkdir(parents=True)
    (folder / "model.pkl").write_bytes(b"weights")
    (folder / "sub" / "extra.json").write_text("{}")
    return folder


def test_a_folder_keeps_its_name_inside_the_copy(store: Store, tmp_path: Path, source: Path):
    artifact = store_artifact(store, tmp_path / "artifacts", source)
    assert (artifact.path / "model" / "model.pkl").read_bytes() == b"weights"
    assert (artifact.files, artifact.size_bytes) == (2, 9)


def test_a_single_file_lies_directly_in_the_copy(store: Store, tmp_path: Path, source: Path):
    artifact = store_artifact(store, tmp_path / "artifacts", source / "model.pkl")
    assert (artifact.path / "model.pkl").read_bytes() == b"weights"


def test_the_copy_is_no_link_to_the_users_file(store: Store, tmp_path: Path, source: Path):
    artifact = store_artifact(store, tmp_path / "artifacts", source)
    (source / "model.pkl").write_bytes(b"changed")
    assert (artifact.path / "model" / "model.pkl").read_bytes() == b"weights"
    assert (artifact.path / "model" / "model.pkl").stat().st_nlink == 1


def test_the_same_content_is_stored_once(store: Store, tmp_path: Path, source: Path):
    first = store_artifact(store, tmp_path / "artifacts", source)
    again = store_artifact(store, tmp_path / "artifacts", source)
    assert first == again
    assert [path.name for path in (tmp_path / "artifacts").iterdir()] == [first.hash]


def test_other_content_has_another_hash(store: Store, tmp_path: Path, source: Path):
    first = store_artifact(store, tmp_path / "artifacts", source)
    (source / "model.pkl").write_bytes(b"changed")
    assert store_artifact(store, tmp_path / "artifacts", source).hash != first.hash


def test_a_folder_with_nothing_to_keep_is_refused(store: Store, tmp_path: Path):
    (tmp_path / "empty" / "__pycache__").mkdir(parents=True)
    (tmp_path / "empty" / "__pycache__" / "score.pyc").write_bytes(b"x")
    with pytest.raises(InvalidInput, match="there is no file in it"):
        store_artifact(store, tmp_path / "artifacts", tmp_path / "empty")
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_a_folder_that_holds_only_a_linked_folder_is_not_empty(store: Store, tmp_path: Path, source: Path):
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "weights").symlink_to(source)
    assert store_artifact(store, tmp_path / "artifacts", tmp_path / "linked").files == 2


def test_a_copy_is_held_until_the_store_is_closed(tmp_path: Path, source: Path):
    with Store(tmp_path / "other.db") as store:
        artifact = store_artifact(store, tmp_path / "artifacts", source)
        assert leases.is_held(artifact.path)
    assert not leases.is_held(artifact.path)
    assert not leases.is_held(tmp_path / "nowhere")


def test_compiled_files_do_not_count(store: Store, tmp_path: Path, source: Path):
    first = store_artifact(store, tmp_path / "artifacts", source)
    (source / "__pycache__").mkdir()
    (source / "__pycache__" / "x.pyc").write_bytes(b"x")
    assert store_artifact(store, tmp_path / "artifacts", source).hash == first.hash


def test_what_is_missing_is_refused(store: Store, tmp_path: Path):
    with pytest.raises(InvalidInput, match="does not exist"):
        store_artifact(store, tmp_path / "artifacts", tmp_path / "nowhere")


def test_a_dangling_link_is_refused_and_nothing_is_left(store: Store, tmp_path: Path, source: Path):
    (source / "dangling").symlink_to("nowhere")
    with pytest.raises(InvalidInput, match="link to nothing"):
        store_artifact(store, tmp_path / "artifacts", source)
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_a_named_pipe_is_refused_instead_of_waited_for(store: Store, tmp_path: Path, source: Path):
    os.mkfifo(source / "pipe")
    for path in (source, source / "pipe"):
        with pytest.raises(InvalidInput, match="no ordinary file"):
            store_artifact(store, tmp_path / "artifacts", path)


def test_a_link_to_a_folder_above_does_not_hang(store: Store, tmp_path: Path, source: Path):
    (source / "loop").symlink_to(source)
    with pytest.raises(InvalidInput, match="link to a folder above"):
        store_artifact(store, tmp_path / "artifacts", source)


def test_an_artifact_is_found_by_its_hash(store: Store, tmp_path: Path, source: Path):
    artifact = store_artifact(store, tmp_path / "artifacts", source)
    assert find_artifact(store, tmp_path / "artifacts", artifact.hash) == artifact
    assert find_artifact(store, tmp_path / "artifacts", "0" * 64) is None


def test_executable_files_stay_executable(store: Store, tmp_path: Path, source: Path):
    (source / "tool.sh").write_text("#!/bin/sh\n")
    (source / "tool.sh").chmod(0o755)
    artifact = store_artifact(store, tmp_path / "artifacts", source)
    assert os.access(artifact.path / "model" / "tool.sh", os.X_OK)


def test_a_forgotten_copy_is_out_of_sight_at_once_and_swept_later(store: Store, tmp_path: Path, source: Path):
    folder = tmp_path / "artifacts"
    artifact = store_artifact(store, folder, source)
    forget_copies(store, folder, [artifact.hash])
    assert list_copies(store, folder) == []
    assert len(list_strays(folder)) == 1
    assert store_artifact(store, folder, source).path.is_dir()
    sweep(folder)
    assert [path.name for path in folder.iterdir()] == [artifact.hash]


def test_storing_the_same_content_again_makes_it_young(store: Store, tmp_path: Path, source: Path):
    folder = tmp_path / "artifacts"
    store_artifact(store, folder, source)
    store.execute("UPDATE artifacts SET created_at = 0")
    store_artifact(store, folder, source)
    assert list_copies(store, folder)[0].stored_at > 0
