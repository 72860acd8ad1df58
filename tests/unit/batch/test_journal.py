"""The job's log: what is whole counts, what is torn does not, what is damaged is refused."""

from pathlib import Path

import pytest

from mlctl.batch.journal import BadItem, Journal, Outcome, Piece, read_bad_items
from mlctl.errors import Conflict


def outcome(index: int) -> Outcome:
    return Outcome(index, (Piece("part", index * 10, 10, 7),), 5, 5)


def write(folder: Path, count: int) -> Path:
    (folder / "part").touch()
    journal = Journal(folder / "journal", folder)
    journal.commit([outcome(index) for index in range(count)])
    journal.close()
    return folder / "journal"


def test_what_is_committed_is_read_back(tmp_path: Path):
    write(tmp_path, 3)
    committed = Journal(tmp_path / "journal", tmp_path).committed
    assert (committed.mini_batches, committed.items, committed.succeeded) == (3, 15, 15)
    assert [index in committed for index in range(4)] == [True, True, True, False]
    assert committed.pieces(2) == (Piece("part", 20, 10, 7),)


def test_the_first_failures_in_the_order_of_the_input_are_remembered(tmp_path: Path):
    journal = Journal(tmp_path / "journal", tmp_path)
    for index in (9, 3, 7, 1):
        bad = tuple(BadItem("table.csv", 10 * index + row, "no") for row in range(3))
        journal.commit([Outcome(index, (), 3, 0, bad)])
    rows = [bad.row for bad in journal.committed.examples]
    assert rows == [10, 11, 12, 30, 31]
    journal.close()
    assert [bad.row for bad in Journal(tmp_path / "journal", tmp_path).committed.examples] == rows


def test_a_mini_batch_is_committed_once(tmp_path: Path):
    journal = Journal(tmp_path / "journal", tmp_path)
    (tmp_path / "part").touch()
    journal.commit([outcome(0)])
    with pytest.raises(AssertionError, match="twice"):
        journal.commit([outcome(0)])


@pytest.mark.parametrize("cut", [1, 5, 20, 30])
def test_a_torn_tail_is_not_there_and_written_over(tmp_path: Path, cut: int):
    path = write(tmp_path, 3)
    content = path.read_bytes()
    path.write_bytes(content[:-cut])
    journal = Journal(path, tmp_path)
    assert journal.committed.mini_batches == 2
    journal.commit([outcome(2)])
    journal.close()
    assert path.read_bytes() == content


def test_damage_in_the_middle_is_refused(tmp_path: Path):
    path = write(tmp_path, 3)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(Conflict, match="is damaged"):
        Journal(path, tmp_path)


def test_facts_are_kept_and_the_last_one_holds(tmp_path: Path):
    journal = Journal(tmp_path / "journal", tmp_path)
    journal.note("published", {"size": 1})
    journal.note("published", {"size": 2})
    journal.close()
    assert Journal(tmp_path / "journal", tmp_path).facts == {"published": {"size": 2}}


def test_failed_items_are_read_with_their_mini_batch(tmp_path: Path):
    journal = Journal(tmp_path / "journal", tmp_path)
    bad = BadItem("a.csv", 7, "ValueError")
    journal.commit([Outcome(4, (), 2, 0, (bad,))])
    journal.close()
    assert list(read_bad_items(tmp_path / "journal")) == [(4, bad)]
    again = Journal(tmp_path / "journal", tmp_path).committed
    assert (again.failed_mini_batches, again.pieces(4)) == (1, ())
