"""Tables as input: every format becomes the same rows, and what is broken is named with its file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pandas
import pyarrow
import pyarrow.feather
import pyarrow.parquet
import pytest

from tests.acceptance.batch.conftest import Desk

ROWS = 1000
ADD = """
import pandas
def run(mini_batch):
    assert isinstance(mini_batch, pandas.DataFrame)
    return pandas.DataFrame({"total": mini_batch["a"] + mini_batch["b"]})
"""
GUILTY = """
import pandas
def run(mini_batch):
    if (mini_batch["a"] == 123).any():
        raise ValueError("row 123")
    return mini_batch[["a"]]
"""


def _table() -> pyarrow.Table:
    return pyarrow.table({"a": list(range(ROWS)), "b": [number * 10 for number in range(ROWS)]})


def _write(path: Path) -> Path:
    table = _table()
    match path.suffixes[0]:
        case ".csv":
            text = table.to_pandas().to_csv(index=False)
        case ".tsv":
            text = table.to_pandas().to_csv(index=False, sep="\t")
        case ".jsonl":
            text = "".join(json.dumps(row) + "\n" for row in table.to_pylist())
        case ".parquet":
            pyarrow.parquet.write_table(table, path, row_group_size=300)
            return path
        case _:
            pyarrow.feather.write_feather(table, str(path), compression="uncompressed")
            return path
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.parquet", "a.arrow", "a.csv.gz", "a.jsonl.gz"])
def test_each_format_gives_the_same_rows(desk: Desk, name: str) -> None:
    ended = desk.run(ADD, _write(desk.work / name), mode="rows", mini_batch_size=64, instance_count=2)
    assert ended.row.state == "Completed", ended.row.error
    assert ended.lines == [str(number * 11) for number in range(ROWS)]
    assert ended.counts == (ROWS, ROWS, 0)
    assert not list(ended.folder.blocks.iterdir())


def test_only_the_row_at_fault_is_lost(desk: Desk) -> None:
    ended = desk.run(GUILTY, _write(desk.work / "a.csv"), mode="rows", mini_batch_size=100, max_retries=0)
    assert ended.lines == [str(number) for number in range(ROWS) if number != 123]
    (failed,) = ended.failed_items
    assert (failed["item"], failed["row"]) == (str(desk.work / "a.csv"), 123)
    assert "row 123" in failed["error"]


@pytest.mark.parametrize(
    ("output", "first"),
    [
        ({"format": "csv", "header": True}, ["total", "0", "11"]),
        ({"format": "csv", "header": True, "with_input": True}, ["a,b,total", "0,0,0", "1,10,11"]),
        ({"format": "az", "with_input": True}, ["0 0 0", "1 10 11", "2 20 22"]),
        ({"format": "jsonl"}, ['{"total":0}', '{"total":11}', '{"total":22}']),
    ],
)
def test_output_has_the_form_that_was_asked_for(desk: Desk, output: dict[str, Any], first: list[str]) -> None:
    ended = desk.run(ADD, _write(desk.work / "a.csv"), mode="rows", mini_batch_size=64, output=output)
    assert ended.row.state == "Completed", ended.row.error
    assert ended.lines[:3] == first


def test_parquet_output_holds_input_and_results(desk: Desk) -> None:
    output = {"format": "parquet", "with_input": True, "file_name": "predictions.parquet"}
    ended = desk.run(ADD, _write(desk.work / "a.parquet"), mode="rows", mini_batch_size=64, output=output)
    assert ended.row.state == "Completed", ended.row.error
    written = pandas.read_parquet(ended.output)
    assert list(written.columns) == ["a", "b", "total"]
    assert written["total"].tolist() == [row * 11 for row in range(ROWS)]
    assert len(written) == ROWS


def test_rows_tell_where_they_come_from(desk: Desk) -> None:
    script = """
    def run(mini_batch):
        name, first = mini_batch.attrs["file"].rsplit("/")[-1], mini_batch.attrs["first_row"]
        return [f"{name} {first + number}" for number in range(len(mini_batch))]
    """
    ended = desk.run(script, _write(desk.work / "a.csv"), mode="rows", mini_batch_size=300)
    assert ended.lines == [f"a.csv {number}" for number in range(ROWS)]


def test_an_online_script_scores_a_table(desk: Desk) -> None:
    script = """
    import json
    def init(): pass
    def run(raw_data):
        rows = json.loads(raw_data)["features"]
        return json.dumps({"prediction": [sum(row) for row in rows], "first": [row[0] for row in rows]})
    """
    output = {"format": "csv", "header": True}
    ended = desk.run(script, _write(desk.work / "a.csv"), mode="json", mini_batch_size=64, output=output)
    assert ended.lines[:3] == ["prediction,first", "0,0", "11,1"]
    assert ended.counts == (ROWS, ROWS, 0)


@pytest.mark.parametrize(
    ("name", "content", "error"),
    [
        ("a.csv", b"a,b\n1,2\n1,2,3\n", "cannot read"),
        ("a.csv", b"a,b\n1,\xff\xfe\n", "cannot read"),
        ("a.parquet", b"PAR1 and then nothing", "as Parquet"),
        ("a.csv.gz", gzip.compress(b"a,b\n" + b"1,2\n" * 1000, mtime=0)[:40], "cannot read"),
        ("a.jsonl", b'{"a": 1}\n{"a": ', "cannot read"),
        ("a.xyz", b"", "is no table"),
    ],
)
def test_a_broken_table_fails_the_job_and_is_named(desk: Desk, name: str, content: bytes, error: str) -> None:
    path = desk.work / name
    path.write_bytes(content)
    ended = desk.run(ADD, path, mode="rows")
    assert ended.row.state == "Failed"
    assert str(path) in (ended.row.error or "")
    assert error in (ended.row.error or "")
    assert not ended.output.exists()
