"""The output: rows in the order of the input, whole or not there, of this job and of no other."""

from __future__ import annotations

import json
import os
import zlib
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from mlctl.batch.assemble import OpenFiles, assemble, is_published, prepare_folder, refuse_existing, restore_parts
from mlctl.batch.folder import JobFolder
from mlctl.batch.journal import Journal, Outcome, Piece
from mlctl.batch.order import JobOutput
from mlctl.errors import BackendUnavailable, Conflict, InvalidInput


class Bench:
    """A job's folder with committed rows: the part, its schema, and rows of each mini-batch."""

    def __init__(self, root: Path) -> None:
        self.folder = JobFolder(root / "job")
        self.folder.make()
        self.journal = Journal(self.folder.journal, self.folder.parts)
        self.out = root / "out"

    def add(self, index: int, data: bytes, part: str = "one", schema: bytes = b"") -> None:
        path = self.folder.parts / part
        offset = path.stat().st_size if path.exists() else 0
        with path.open("ab") as file:
            file.write(data)
        path.with_name(f"{part}.schema").write_bytes(schema)
        pieces = (Piece(part, offset, len(data), zlib.crc32(data)),)
        self.journal.commit([Outcome(index, pieces, 1, 1)])

    def output(self, format: str = "az", **more: bool) -> JobOutput:
        return JobOutput("append_row", str(self.out), "p", format, **more)  # pyright: ignore[reportArgumentType]

    def assemble(self, output: JobOutput) -> bytes:
        prepare_folder(output)
        return assemble(self.folder, self.journal, output, self.journal.committed.mini_batches, "job").path.read_bytes()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_rows_come_in_the_order_of_the_input_whoever_wrote_them_first(bench: Bench) -> None:
    for index, part in ((2, "a"), (0, "b"), (1, "a")):
        bench.add(index, b"%d\n" % index, part)
    assert bench.assemble(bench.output()) == b"0\n1\n2\n"
    assert [path.name for path in bench.out.iterdir()] == ["p"]


@pytest.mark.parametrize(("format_", "header"), [("csv", b'a,"b,c",d e\n'), ("az", b'a b,c "d e"\n')])
def test_a_header_names_the_columns(bench: Bench, format_: str, header: bytes) -> None:
    bench.add(0, b"1\n", schema=json.dumps(["a", "b,c", "d e"]).encode())
    assert bench.assemble(bench.output(format_, header=True)) == header + b"1\n"


def test_columns_that_differ_have_no_header(bench: Bench) -> None:
    bench.add(0, b"1\n", "a", b'["x"]')
    bench.add(1, b"2\n", "b", b'["y"]')
    with pytest.raises(Conflict, match="no common header"):
        bench.assemble(bench.output("csv", header=True))
    assert not list(bench.out.iterdir())
    assert bench.assemble(bench.output("csv")) == b"1\n2\n"


def test_rows_that_rotted_on_the_disk_are_noticed(bench: Bench) -> None:
    bench.add(0, b"1\n")
    (bench.folder.parts / "one").write_bytes(b"2\n")
    with pytest.raises(BackendUnavailable, match="is damaged"):
        bench.assemble(bench.output())
    assert not list(bench.out.iterdir())


def test_a_file_that_came_meanwhile_is_not_replaced(bench: Bench) -> None:
    bench.add(0, b"1\n")
    bench.out.mkdir()
    (bench.out / "p").write_text("mine")
    with pytest.raises(Conflict, match="exists already"):
        refuse_existing(bench.output())
    with pytest.raises(Conflict, match="exists already"):
        bench.assemble(bench.output())
    assert (bench.out / "p").read_text() == "mine"
    assert len(list(bench.out.iterdir())) == 1


def test_a_draft_that_is_the_output_by_another_name_is_not_written_to(bench: Bench) -> None:
    bench.add(0, b"1\n")
    bench.assemble(bench.output())
    os.link(bench.out / "p", bench.out / ".p.job")
    bench.journal.note("published", None)
    with pytest.raises(Conflict):
        bench.assemble(bench.output())
    assert (bench.out / "p").read_bytes() == b"1\n"


def test_an_output_that_is_there_already_is_found_again(bench: Bench) -> None:
    bench.add(0, b"1\n")
    bench.assemble(bench.output())
    inode = (bench.out / "p").stat().st_ino
    assert is_published(bench.journal, bench.output())
    bench.assemble(bench.output())
    assert (bench.out / "p").stat().st_ino == inode


def test_parts_are_restored_from_the_output_byte_for_byte(bench: Bench) -> None:
    output = bench.output("csv", header=True)
    for index, part in ((1, "a"), (0, "b"), (2, "b")):
        bench.add(index, b"%d,x\n" % index, part, b'["n","x"]')
    bench.assemble(output)
    before = {part: (bench.folder.parts / part).read_bytes() for part in "ab"}
    for part in "ab":
        (bench.folder.parts / part).unlink()
    restore_parts(bench.folder, bench.journal, output)
    assert {part: (bench.folder.parts / part).read_bytes() for part in "ab"} == before


def test_nothing_is_restored_from_an_output_that_was_edited(bench: Bench) -> None:
    bench.add(0, b"12\n")
    bench.assemble(bench.output())
    (bench.folder.parts / "one").unlink()
    (bench.out / "p").write_bytes(b"13\n")
    with pytest.raises(Conflict, match="not any more as the job wrote it"):
        restore_parts(bench.folder, bench.journal, bench.output())
    assert not (bench.folder.parts / "one").exists()
    (bench.out / "p").write_bytes(b"12\n")
    restore_parts(bench.folder, bench.journal, bench.output())
    assert (bench.folder.parts / "one").read_bytes() == b"12\n"
    assert sorted(path.name for path in bench.folder.parts.iterdir()) == ["one", "one.schema"]


def test_whole_numbers_and_floats_become_one_column_of_parquet(bench: Bench) -> None:
    for index, column in enumerate((pyarrow.array([1, 2]), pyarrow.array([0.5, None]))):
        batch = pyarrow.record_batch([column], names=["x"])
        bench.add(index, batch.serialize().to_pybytes(), f"part{index}", batch.schema.serialize().to_pybytes())
    bench.assemble(bench.output("parquet"))
    assert pyarrow.parquet.read_table(bench.out / "p").column("x").to_pylist() == [1, 2, 0.5, None]


def test_columns_that_do_not_fit_together_are_told(bench: Bench) -> None:
    for index, column in enumerate((pyarrow.array([1]), pyarrow.array(["text"]))):
        batch = pyarrow.record_batch([column], names=["x"])
        bench.add(index, batch.serialize().to_pybytes(), f"part{index}", batch.schema.serialize().to_pybytes())
    with pytest.raises(Conflict, match="do not fit into one table"):
        bench.assemble(bench.output("parquet"))


def test_a_folder_that_cannot_be_made_is_told_before_anything_is_scored(bench: Bench) -> None:
    bench.out.write_text("a file")
    with pytest.raises(InvalidInput, match="cannot write to the output folder"):
        prepare_folder(bench.output())


def count_open() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_thousand_parts_need_few_descriptors(tmp_path: Path) -> None:
    before = count_open()
    files = OpenFiles(tmp_path, os.O_RDWR | os.O_CREAT)
    for number in range(1000):
        os.write(files.find(str(number)), b"x")
    assert count_open() - before < 100
    files.close()
    assert count_open() == before
