"""What is taken back is scored again, and what lies behind it keeps its rows under a new number."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlctl.batch.journal import BadItem, Cut, Journal, Outcome, Piece, read_bad_items
from mlctl.errors import Conflict


def outcome(index: int, mark: int, failed: int) -> Outcome:
    bad = (BadItem("a.csv", mark, "no", failed),) if failed else ()
    return Outcome(index, (Piece("part", mark, 10, mark),) * (1 + mark % 2), 5, 5 - failed, bad)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("commit"), st.integers(0, 30), st.integers(0, 5)),
        st.tuples(st.just("cut"), st.integers(0, 30), st.one_of(st.none(), st.integers(0, 8)), st.integers(0, 8)),
    ),
    max_size=25,
)


@settings(deadline=None)
@given(STEPS)
def test_a_cut_is_what_cutting_a_list_is(tmp_path_factory: pytest.TempPathFactory, steps: list[Any]) -> None:
    folder = tmp_path_factory.mktemp("cut")
    (folder / "part").touch()
    journal = Journal(folder / "journal", folder)
    model: list[Outcome | None] = []
    for mark, step in enumerate(steps):
        if step[0] == "commit":
            _, index, failed = step
            model += [None] * (index + 1 - len(model))
            if model[index] is None:
                model[index] = outcome(index, mark, failed)
                journal.commit([outcome(index, mark, failed)])
        else:
            _, first, old, new = step
            journal.uncommit([Cut(first, old, new)])
            if first < len(model):
                end = len(model) if old is None else first + old
                model[first:end] = [None] * new
    journal.close()
    there = {index: found for index, found in enumerate(model) if found is not None}
    for committed in (journal.committed, Journal(folder / "journal", folder).committed):
        assert [index for index in range(60) if index in committed] == sorted(there)
        assert committed.mini_batches == len(there)
        assert committed.items == 5 * len(there)
        assert committed.succeeded == sum(found.succeeded for found in there.values())
        assert committed.failed_mini_batches == sum(found.succeeded == 0 for found in there.values())
        assert [committed.pieces(index) for index in there] == [found.pieces for found in there.values()]
        assert committed.parts == (["part"] if there else [])
    rows = [(index, item.row) for index, item in read_bad_items(folder / "journal")]
    bad_items = [(index, bad) for index, found in there.items() for bad in found.bad]
    assert rows == [(index, (bad.row or 0) + number) for index, bad in bad_items for number in range(bad.rows)]


def test_a_table_that_grew_between_two_runs_is_noticed(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", tmp_path)
    journal.count_file(0, 7)
    journal.count_file(0, 7)
    journal.close()
    again = Journal(tmp_path / "journal", tmp_path)
    assert again.committed.file_counts == {0: 7}
    with pytest.raises(Conflict, match="8 mini-batches, it had 7"):
        again.count_file(0, 8)


def test_a_cut_table_has_its_new_number_of_mini_batches(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal", tmp_path)
    journal.count_file(0, 7)
    journal.uncommit([Cut(0, 7, 9, 0)])
    journal.close()
    assert Journal(tmp_path / "journal", tmp_path).committed.file_counts == {0: 9}


def test_a_journal_that_is_cut_off_anywhere_is_a_journal_of_fewer_lines(tmp_path: Path) -> None:
    (tmp_path / "part").touch()
    path = tmp_path / "journal"
    journal = Journal(path, tmp_path)
    for index in range(4):
        journal.commit([outcome(index, index, index)])
    journal.close()
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        again = Journal(path, tmp_path)
        assert again.committed.mini_batches == content[:length].count(b"\n")
        again.close()
        assert path.stat().st_size == content.rfind(b"\n", 0, length) + 1


def test_a_bit_that_flips_anywhere_before_the_last_line_is_refused(tmp_path: Path) -> None:
    (tmp_path / "part").touch()
    path = tmp_path / "journal"
    journal = Journal(path, tmp_path)
    for index in range(3):
        journal.commit([outcome(index, index, index)])
    journal.close()
    content = path.read_bytes()
    last = content.rindex(b"\n", 0, -1) + 1
    for place in range(last - 1):  # without the line's end the last two lines are one, which is torn
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        with pytest.raises(Conflict, match="is damaged"):
            Journal(path, tmp_path)
