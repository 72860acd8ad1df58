"""Tables become blocks: the same rows whatever the format, the same blocks each time, faults named with their row."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from mlctl.batch import splitting, tables
from mlctl.batch.inputs import InputFile
from mlctl.batch.splitting import Unreadable, split
from mlctl.errors import InvalidInput

ROWS = 2500


def make_table() -> pyarrow.Table:
    return pyarrow.table({"n": list(range(ROWS)), "text": [f"row {number}" for number in range(ROWS)]})


def render(format_: str) -> bytes:
    table = make_table()
    sink = io.BytesIO()
    match format_:
        case "csv" | "tsv":
            return table.to_pandas().to_csv(index=False, sep="," if format_ == "csv" else "\t").encode()
        case "jsonl":
            return "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()
        case "parquet":
            pyarrow.parquet.write_table(table, sink)
        case _:
            with pyarrow.ipc.new_stream(sink, table.schema) as writer:
                writer.write_table(table)
    return sink.getvalue()


def pack(codec: str) -> Callable[[bytes], bytes]:
    return lambda content: pyarrow.compress(content, codec, asbytes=True)


def pack_lz4(content: bytes) -> bytes:
    sink = pyarrow.BufferOutputStream()
    with pyarrow.CompressedOutputStream(sink, "lz4") as stream:
        stream.write(content)
        stream.flush()
        stream.close()
    return sink.getvalue().to_pybytes()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": partial(gzip.compress, mtime=0),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": pack("zstd"),
    ".lz4": pack_lz4,
}


def read_blocks(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for block in blocks:
        with pyarrow.memory_map(block["path"]) as source:
            table = pyarrow.ipc.open_file(source).read_all()
            assert (block["first_row"], block["rows"]) == (len(rows), table.num_rows)
            rows += table.to_pylist()
    return rows


@pytest.mark.parametrize("packing", sorted(PACKERS))
@pytest.mark.parametrize("format_", ["csv", "tsv", "jsonl", "parquet", "arrow"])
def test_every_format_and_compression_gives_the_same_rows(tmp_path: Path, format_: str, packing: str) -> None:
    path = tmp_path / f"in.{format_}{packing}"
    path.write_bytes(PACKERS[packing](render(format_)))
    assert read_blocks(list(split(str(path), tmp_path, 0, 100))) == make_table().to_pylist()


def test_blocks_are_cut_between_mini_batches_and_are_the_same_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(splitting, "_BLOCK_ROWS", 1000)
    path = tmp_path / "in.csv"
    path.write_bytes(render("csv"))
    blocks = list(split(str(path), tmp_path, 3, 300))
    assert all(block["rows"] % 300 == 0 for block in blocks[:-1])
    assert read_blocks(blocks) == make_table().to_pylist()
    content = [Path(block["path"]).read_bytes() for block in blocks]
    assert list(split(str(path), tmp_path, 3, 300)) == blocks
    assert [Path(block["path"]).read_bytes() for block in blocks] == content
    assert not [found for found in tmp_path.iterdir() if found.suffix not in (".csv", ".arrow")]


def test_blocks_that_are_only_counted_are_not_written(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(render("csv"))
    assert sum(block["rows"] for block in split(str(path), None, 0, 100)) == ROWS
    assert list(tmp_path.iterdir()) == [path]


def test_text_with_line_ends_and_separators_stays_one_field(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b'a,b\n1,"x\ny, ""z"""\n')
    assert read_blocks(list(split(str(path), tmp_path, 0, 1))) == [{"a": 1, "b": 'x\ny, "z"'}]


@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_rows_of_some_megabytes_are_read(tmp_path: Path, packing: str) -> None:
    long = ["x" * 10, "y" * (3 << 20), "z" * 5, "w" * (20 << 20)]
    rows = [
        (str(number), long[number // 100_000]) if not number % 100_000 else (str(number), "")
        for number in range(400_000)
    ]
    path = tmp_path / f"in.csv{packing}"
    path.write_bytes(PACKERS[packing](b"n,text\n" + b"".join(f"{n},{text}\n".encode() for n, text in rows)))
    numbers: list[int] = []
    lengths: list[int] = []
    for block in split(str(path), tmp_path, 0, 1000):
        with pyarrow.memory_map(block["path"]) as source:
            table = pyarrow.ipc.open_file(source).read_all()
            numbers += table["n"].to_pylist()
            lengths += [len(text) for text in table["text"].to_pylist() if text]
    assert numbers == list(range(400_000))
    assert lengths == [len(text) for text in long]


@pytest.mark.parametrize("content", [b"", b"a,b\n"])
def test_a_table_without_rows_has_no_blocks(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(content)
    assert list(split(str(path), tmp_path, 0, 1)) == []


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.csv", b"a,b\n1,2\n3,4\n5\n", "Row #4.*Expected 2 columns, got 1"),
        ("in.csv", b"a\n" + b"1\n" * 3_000_000 + b"two\n", "Row #3000002.*invalid value 'two'"),
        ("in.csv", b"a,b\n1,x\n2,\xe4\n", "row 1, column b: the text is not UTF-8"),
        ("in.csv", b"a,b\n" + b"1,xxxxxxxxxxxxxxx\n" * 300_000 + b"2,\xe4\n", "UTF8"),
        ("in.jsonl", b'{"a": 1}\n\n{"a": 2}\n{"a": "x"}\n', "line 4: .*changed from number to string"),
        ("in.jsonl", b'{"a": 1}\n' * 500_000 + b'{"a": "x"}\n', "line 500,001: "),
        ("in.jsonl", b'{"a": 1}\n{"a": \n', "line 2: "),
        ("in.jsonl", b'{"a": 1}\n' * 500_000 + b'{"a": 1, "b": 2}\n', "line 500,001: "),
        ("in.csv.gz", gzip.compress(b"a\n" + b"1\n" * 100, mtime=0)[:-12], "end-of-stream|ended before"),
        ("in.csv.gz", b"a\n1\n", "Not a gzipped file"),
        ("in.arrow", b"nothing of the kind", "."),
        ("in.parquet.gz", gzip.compress(b"nothing of the kind", mtime=0), "[Pp]arquet"),
    ],
)
def test_a_fault_is_told_with_its_place(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(Unreadable, match=message):
        list(split(str(path), tmp_path, 0, 1000))


def test_a_folder_without_room_is_not_the_tables_fault(tmp_path: Path) -> None:
    path = tmp_path / "in.csv"
    path.write_bytes(b"a\n1\n")
    with pytest.raises(OSError, match=r"No such file"):
        list(split(str(path), tmp_path / "nowhere", 0, 1))


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("a.CSV", ("csv", "")),
        ("a.b.tsv.GZ", ("tsv", ".gz")),
        ("a.json", ("jsonl", "")),
        ("a.pq", ("parquet", "")),
        ("a.feather", ("arrow", "")),
    ],
)
def test_formats_are_known_by_name(name: str, found: tuple[str, str]) -> None:
    assert tables.find_format(name) == found


@pytest.mark.parametrize("name", ["a.txt", "a", "a.gz", "a.csv.zip"])
def test_what_is_no_table_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="is no table"):
        tables.find_format(name)


def test_row_groups_of_parquet_are_read_where_they_lie_small_ones_together(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"n": list(range(300_000))}), path, row_group_size=50_000)
    blocks = tables.plan_parquet(InputFile(str(path), 0, 0))
    assert blocks is not None
    assert [(block.block, block.blocks, block.first_row, block.rows) for block in blocks] == [
        (0, 3, 0, 150_000),
        (3, 3, 150_000, 150_000),
    ]


def test_row_groups_that_are_too_large_are_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "in.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"n": list(range(1000))}), path)
    monkeypatch.setattr(tables, "LARGEST_BLOCK_ROWS", 999)
    assert tables.plan_parquet(InputFile(str(path), 0, 0)) is None
    assert read_blocks(list(split(str(path), tmp_path, 0, 10))) == [{"n": number} for number in range(1000)]
