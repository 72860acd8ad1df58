"""Changed files are scored again, alone; the old output stays until the new one takes its place."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas
import pytest

from mlctl.batch.launch import find_folder, is_coordinated
from tests.acceptance.batch.conftest import Desk, Run
from tests.waiting import wait_until

# Says which items each call was given; fails for those below zero.
FILES = """
from pathlib import Path
def run(mini_batch):
    print("ran", *[Path(path).name for path in mini_batch])
    values = [int(Path(path).read_text()) for path in mini_batch]
    if min(values) < 0:
        raise ValueError("below zero")
    return values
"""
TABLES = """
import time
def run(mini_batch):
    print("ran", mini_batch.attrs["file"].rsplit("/")[-1])
    time.sleep(PAUSE_S)
    return mini_batch[["n"]] * 2
PAUSE_S = 0
"""


def write_numbers(desk: Desk, numbers: Sequence[int]) -> Path:
    folder = desk.work / "numbers"
    folder.mkdir()
    for place, number in enumerate(numbers):
        (folder / f"{place:04d}").write_text(str(number))
    return folder


def write_csv(path: Path, numbers: Sequence[int]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text("n\n" + "".join(f"{number}\n" for number in numbers))


def score_changed(desk: Desk, name: str) -> Run:
    find_folder(desk.home, name).changed.touch()
    desk.resume(name)
    return desk.finish(name)


def runs(run: Run) -> list[str]:
    return sorted(line for line in run.printed().splitlines() if line.startswith("ran "))


def doubled(*ranges: range) -> list[str]:
    return [str(2 * number) for numbers in ranges for number in numbers]


def test_only_mini_batches_with_a_changed_file_run_again(desk: Desk) -> None:
    files = write_numbers(desk, range(10))
    name = desk.start(FILES, files, mini_batch_size=2)
    first = desk.finish(name)
    before = runs(first)
    assert len(before) == 5
    with first.output.open() as held:
        (files / "0003").write_text("333")
        ended = score_changed(desk, name)
        assert held.read().splitlines() == [str(number) for number in range(10)]
    assert ended.row.state == "Completed", ended.row.error
    assert ended.lines == ["0", "1", "2", "333", *map(str, range(4, 10))]
    assert sorted(set(runs(ended))) == before
    assert runs(ended).count("ran 0002 0003") == 2
    assert len(runs(ended)) == 6
    assert ended.counts == (10, 10, 0)
    assert [path.name for path in ended.output.parent.iterdir()] == ["predictions.csv"]


def test_nothing_runs_again_when_nothing_has_changed(desk: Desk) -> None:
    name = desk.start(FILES, write_numbers(desk, range(4)), mini_batch_size=2)
    first = desk.finish(name)
    before, inode = runs(first), first.output.stat().st_ino
    ended = score_changed(desk, name)
    assert ended.row.state == "Completed", ended.row.error
    assert runs(ended) == before
    assert ended.output.stat().st_ino == inode


def test_a_file_that_was_mended_leaves_the_list_of_failed_items(desk: Desk) -> None:
    files = write_numbers(desk, [0, 1, -2, 3])
    name = desk.start(FILES, files, mini_batch_size=2, max_retries=0)
    first = desk.finish(name)
    assert (first.counts, len(first.failed_items)) == ((4, 3, 1), 1)
    (files / "0002").write_text("22")
    ended = score_changed(desk, name)
    assert ended.lines == ["0", "1", "22", "3"]
    assert ended.counts == (4, 4, 0)
    assert not ended.folder.failed_items.exists()
    assert ended.progress["failed_examples"] == []


@pytest.mark.parametrize("length", [40, 300, 90])
def test_a_table_may_have_more_or_fewer_rows_than_before(desk: Desk, length: int) -> None:
    for name, numbers in (("a", range(50)), ("b", range(100, 190)), ("c", range(500, 575))):
        write_csv(desk.work / "in" / f"{name}.csv", numbers)
    name = desk.start(TABLES, desk.work / "in", mode="rows", mini_batch_size=20)
    first = desk.finish(name)
    assert first.lines == doubled(range(50), range(100, 190), range(500, 575))
    before = runs(first)
    write_csv(desk.work / "in" / "b.csv", range(1000, 1000 + length))
    ended = score_changed(desk, name)
    assert ended.row.state == "Completed", ended.row.error
    assert ended.lines == doubled(range(50), range(1000, 1000 + length), range(500, 575))
    again = runs(ended)
    for line in before:
        again.remove(line)
    assert again == ["ran b.csv"] * -(-length // 20)
    assert ended.counts == (125 + length, 125 + length, 0)


@pytest.mark.parametrize("format_", ["csv", "jsonl", "parquet"])
def test_every_format_of_output_is_replaced(desk: Desk, format_: str) -> None:
    output: dict[str, Any] = {"format": format_, "header": True, "file_name": f"p.{format_}"}
    for name, numbers in (("a", range(50)), ("b", range(100, 190))):
        write_csv(desk.work / "in" / f"{name}.csv", numbers)
    name = desk.start(TABLES, desk.work / "in", mode="rows", mini_batch_size=20, output=output)
    desk.finish(name)
    write_csv(desk.work / "in" / "a.csv", range(70))
    ended = score_changed(desk, name)
    assert ended.row.state == "Completed", ended.row.error
    match format_:
        case "csv":
            found = pandas.read_csv(ended.output)
        case "jsonl":
            found = pandas.read_json(ended.output, lines=True)
        case _:
            found = pandas.read_parquet(ended.output)
    assert [str(number) for number in found["n"]] == doubled(range(70), range(100, 190))


def test_a_second_change_is_scored_as_the_first_was(desk: Desk) -> None:
    files = write_numbers(desk, range(6))
    name = desk.start(FILES, files, mini_batch_size=2)
    desk.finish(name)
    for number in (11, 22):
        (files / "0004").write_text(str(number))
        assert score_changed(desk, name).lines == ["0", "1", "2", "3", str(number), "5"]


def test_files_that_came_or_went_are_refused_and_nothing_changes(desk: Desk) -> None:
    files = write_numbers(desk, range(4))
    name = desk.start(FILES, files, mini_batch_size=2)
    first = desk.finish(name)
    before = first.lines
    (files / "0001").write_text("111")
    (files / "0009").write_text("9")
    added = score_changed(desk, name)
    assert added.row.state == "Failed"
    assert "files were added since the job began" in (added.row.error or "")
    assert "0009" in (added.row.error or "")
    (files / "0009").unlink()
    (files / "0002").rename(desk.work / "0002")
    removed = score_changed(desk, name)
    assert "files were removed since the job began" in (removed.row.error or "")
    assert removed.lines == before
    (desk.work / "0002").rename(files / "0002")
    assert score_changed(desk, name).lines == ["0", "111", "2", "3"]


@pytest.mark.parametrize("text", ["0\n1\n2\n8\n", "edited", ""])
def test_an_output_that_was_edited_is_not_taken_for_the_jobs_own(desk: Desk, text: str) -> None:
    files = write_numbers(desk, range(4))
    name = desk.start(FILES, files, mini_batch_size=2)
    first = desk.finish(name)
    first.output.write_text(text)
    (files / "0001").write_text("111")
    ended = score_changed(desk, name)
    assert ended.row.state == "Failed"
    assert "not any more as the job wrote it" in (ended.row.error or "")
    assert ended.output.read_text() == text
    first.output.write_text("0\n1\n2\n3\n")
    assert score_changed(desk, name).lines == ["0", "111", "2", "3"]


def test_a_table_that_could_not_be_read_is_mended_and_the_job_goes_on(desk: Desk) -> None:
    for name in "ab":
        write_csv(desk.work / "in" / f"{name}.csv", range(50))
    with (desk.work / "in" / "b.csv").open("a") as file:
        file.write("1,2\n")
    name = desk.start(TABLES, desk.work / "in", mode="rows", mini_batch_size=20)
    broken = desk.finish(name)
    assert broken.row.state == "Failed"
    assert "b.csv" in (broken.row.error or "")
    write_csv(desk.work / "in" / "b.csv", range(80))
    ended = score_changed(desk, name)
    assert ended.row.state == "Completed", ended.row.error
    assert ended.lines == doubled(range(50), range(80))


def test_a_table_that_is_written_to_while_it_is_read_is_noticed(desk: Desk) -> None:
    write_csv(desk.work / "in" / "a.csv", range(40))
    name = desk.start(TABLES.replace("= 0", "= 0.2"), desk.work / "in", mode="rows", mini_batch_size=20)
    wait_until(lambda: desk.workers(name))
    with (desk.work / "in" / "a.csv").open("a") as file:
        file.write("7\n")
    ended = desk.finish(name)
    assert ended.row.state == "Failed"
    assert "has changed since" in (ended.row.error or "")
    assert f"mlctl batch resume -n {name} --changed" in ended.progress["hint"]
    assert not ended.output.exists()
    assert score_changed(desk, name).lines == doubled(range(40), range(7, 8))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_for_changed_files_survives_being_killed(desk: Desk) -> None:
    chance = random.Random(4)
    for number in range(6):
        write_csv(desk.work / "in" / f"{number}.csv", range(number * 1000, number * 1000 + 200))
    name = desk.start(
        TABLES.replace("= 0", "= 0.01"), desk.work / "in", mode="rows", mini_batch_size=7, instance_count=2
    )
    desk.finish(name)
    folder = find_folder(desk.home, name)
    for turn in range(5):
        sizes = {number: chance.randrange(50, 400) for number in chance.sample(range(6), 2)}
        for number, rows in sizes.items():
            write_csv(desk.work / "in" / f"{number}.csv", range(number * 1000 + turn, number * 1000 + turn + rows))
        for _ in range(3):
            folder.changed.touch()
            desk.resume(name)
            size = folder.journal.stat().st_size + chance.randrange(600)
            wait_until(lambda size=size: folder.journal.stat().st_size >= size or not is_coordinated(folder), 60)
            if not is_coordinated(folder):
                break
            os.kill(desk.coordinator(name), signal.SIGKILL)
            wait_until(lambda: not desk.workers(name))
        ended = score_changed(desk, name)
        assert ended.row.state == "Completed", ended.row.error
        wanted: list[str] = []
        for path in sorted((desk.work / "in").iterdir()):
            wanted += [str(2 * int(line)) for line in path.read_text().splitlines()[1:]]
        assert ended.lines == wanted
        assert [path.name for path in ended.output.parent.iterdir()] == ["predictions.csv"]
