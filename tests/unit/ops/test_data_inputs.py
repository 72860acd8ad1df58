"""What the input of a job comes to: paths, data assets, MLTable folders."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlctl.errors import InvalidInput, NotFound
from mlctl.ops import data
from mlctl.ops.data import resolve_input
from mlctl.ops.mltable import read_table
from mlctl.ops.session import Session
from mlctl.settings import Settings


@pytest.fixture
def notices() -> list[str]:
    return []


@pytest.fixture
def session(tmp_path: Path, notices: list[str]) -> Iterator[Session]:
    opened = Session(Settings(tmp_path / "home", metrics_port=0), on_notice=notices.append)
    yield opened
    opened.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "tx"
    (folder / "deep").mkdir(parents=True)
    (folder / "b.csv").write_text("x\n1\n")
    (folder / "a.csv").write_text("x\n2\n")
    (folder / "deep" / "c.csv").write_text("x\n3\n")
    return folder


def register(session: Session, path: Path, **options: Any) -> dict[str, Any]:
    return data.create(session, file=None, options={"name": "tx", "path": str(path), **options})


def test_paths_and_file_uris_are_taken_as_they_are(session: Session, folder: Path):
    for text in ("tx", "./tx", str(folder), folder.as_uri(), f"file:{folder}"):
        assert resolve_input(session, text, folder.parent) == ("uri_folder", [str(folder)])
    assert resolve_input(session, "tx/a.csv", folder.parent) == ("uri_file", [str(folder / "a.csv")])


@pytest.mark.parametrize("form", ["azureml:tx:1", "azureml:tx@latest", "azureml:tx", "id", "azureml:id"])
def test_every_way_to_name_an_asset_is_understood(session: Session, folder: Path, form: str):
    text = form.replace("id", str(register(session, folder)["id"])) if form.endswith("id") else form
    if text == form:
        register(session, folder)
    assert resolve_input(session, text, Path()) == ("uri_folder", [str(folder)])


def test_an_asset_that_is_missing_is_told_with_what_there_is(session: Session, folder: Path):
    with pytest.raises(NotFound, match="there is no data azureml:tx:1") as none:
        resolve_input(session, "azureml:tx:1", Path())
    assert none.value.hint == "register it: mlctl data create -n tx -p PATH"
    register(session, folder)
    with pytest.raises(NotFound) as other:
        resolve_input(session, "azureml:tx:2", Path())
    assert other.value.hint == "tx has the versions 1"
    with pytest.raises(NotFound) as near:
        resolve_input(session, "azureml:txx@latest", Path())
    assert near.value.hint.startswith("did you mean tx?")
    with pytest.raises(NotFound, match="no label newest"):
        resolve_input(session, "azureml:tx@newest", Path())


@pytest.mark.parametrize("uri", ["https://host/x.csv", "abfss://c@a.dfs.core/x", "wasbs://c@a/x", "s3://b/x"])
def test_what_is_elsewhere_is_refused_with_the_reason(session: Session, uri: str):
    with pytest.raises(InvalidInput, match="is not on this machine, and mlctl does not fetch it"):
        resolve_input(session, uri, Path())


def test_a_datastore_is_a_folder_of_the_registry(session: Session):
    folder = session.settings.home / "datastores" / "blob" / "tx"
    folder.mkdir(parents=True)
    assert resolve_input(session, "azureml://datastores/blob/paths/tx", Path()) == ("uri_folder", [str(folder)])


def test_files_are_referenced_and_their_facts_recorded(session: Session, folder: Path):
    document = register(session, folder)
    assert document["path"] == str(folder)
    assert document["properties"]["mlctl.files"] == "3"
    assert document["properties"]["mlctl.size_bytes"] == "12"
    assert not session.settings.artifacts.exists()


def test_files_that_have_changed_since_are_told(session: Session, folder: Path, notices: list[str]):
    register(session, folder)
    resolve_input(session, "azureml:tx:1", Path())
    assert notices == []
    (folder / "a.csv").write_text("x\n2\n4\n")
    resolve_input(session, "azureml:tx:1", Path())
    assert notices == ["the files of data tx:1 have changed since it was registered"]


def test_files_that_are_gone_are_told(session: Session, folder: Path):
    register(session, folder / "a.csv", type="uri_file")
    (folder / "a.csv").unlink()
    with pytest.raises(InvalidInput, match="the files of data tx:1 are gone"):
        resolve_input(session, "azureml:tx:1", Path())


def test_a_folder_that_may_not_be_read_is_told(session: Session, folder: Path):
    if os.getuid() == 0:
        pytest.skip("root may read everything")
    (folder / "deep").chmod(0)
    try:
        with pytest.raises(InvalidInput, match="cannot read"):
            register(session, folder)
    finally:
        (folder / "deep").chmod(0o700)


def write_table(folder: Path, text: str) -> Path:
    (folder / "MLTable").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        ("[{file: ./a.csv}]", ["a.csv"]),
        ("[{pattern: ./*.csv}]", ["a.csv", "b.csv"]),
        ("[{pattern: '**/*.csv'}]", ["a.csv", "b.csv", "deep/c.csv"]),
        ("[{folder: ./deep}, {file: b.csv}]", ["deep", "b.csv"]),
    ],
)
def test_an_mltable_says_which_files_are_meant(session: Session, folder: Path, paths: str, found: list[str]):
    write_table(folder, f"type: mltable\npaths: {paths}\ntransformations: [read_delimited: {{delimiter: ','}}]\n")
    register(session, folder, type="mltable")
    assert resolve_input(session, "azureml:tx:1", Path()) == ("mltable", [str(folder / name) for name in found])


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("paths: [{file: ./z.csv}]", "paths[0].file: no file is at"),
        ("paths: [{pattern: ./*.parquet}]", "paths[0].pattern: no file fits"),
        ("paths: [{file: 'https://h/x.csv'}]", "is not on this machine"),
        ("paths: [{fil: ./a.csv}]", "is none of {file: …}"),
        ("paths: []", "paths: is missing or no list"),
        ("paths: [{file: a.csv}]\ntransformations: [{drop_columns: [x]}]", "drop_columns is not followed here"),
        ("paths: [{file: a.csv}]\ntransformations: [read_parquet]", "read_parquet for *.csv"),
        ("paths: [{file: a.csv}]\ntransformations: [{read_delimited: {delimiter: ;}}]", "does not part *.csv files"),
        ("paths: [{file: a.csv}]\ntransformations: [{read_delimited: {encoding: latin1}}]", "latin1 is not followed"),
        ("paths: [{file: a.csv}]\ntransformations: [{read_delimited: {header: no_header}}]", "no_header is not"),
        ("paths: [{file: a.csv}]\ncolour: red", "colour: unknown field"),
    ],
)
def test_a_table_that_wants_to_be_read_otherwise_is_refused(session: Session, folder: Path, lines: str, said: str):
    write_table(folder, lines)
    with pytest.raises(InvalidInput) as refused:
        register(session, folder, type="mltable")
    assert said in refused.value.problems[0].message
    assert refused.value.problems[0].line >= 1
    assert data.list_all(session, name=None) == []


def test_options_that_say_what_is_done_anyway_are_fine(folder: Path):
    options = "{delimiter: ',', encoding: UTF8, header: all_files_same_headers, include_path_column: false}"
    table = read_table(
        write_table(folder, f"paths: [{{file: a.csv}}]\ntransformations: [{{read_delimited: {options}}}]")
    )
    assert (table.paths, table.reader) == ((str(folder / "a.csv"),), "read_delimited")


def test_a_folder_without_an_mltable_file_is_no_table(session: Session, folder: Path):
    with pytest.raises(InvalidInput, match="there is no file MLTable in it"):
        register(session, folder, type="mltable")
    made = data.create(
        session,
        file=None,
        options={"name": "tx", "path": str(folder), "type": "mltable"},
        checks_table=False,
    )
    assert made["type"] == "mltable"
