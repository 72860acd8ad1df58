"""Following a log: nothing twice and nothing left out, whatever is done to the file meanwhile."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlctl.control import log_rotation
from mlctl.ops.logs import Tail


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "blue-1.log"
    path.touch()
    return path


def add(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.write("".join(f"{line}\n" for line in lines))


def read(tail: Tail) -> list[str]:
    return [text.decode() for _, _, text in tail.read()]


def stamped(number: int) -> str:
    return f"2026-01-01 00:00:{number // 1000:02d},{number % 1000:03d} I [7] azmlinfsrv.print - {number}"


def test_lines_come_whole_and_once(log: Path) -> None:
    tail = Tail(log)
    add(log, "one", "two")
    with log.open("a") as file:
        file.write("thr")
    assert read(tail) == ["one", "two"]
    assert read(tail) == []
    add(log, "ee")
    assert read(tail) == ["three"]


def test_a_line_that_nobody_ends_is_not_lost(log: Path) -> None:
    tail = Tail(log)
    log.write_text("Segmentation fau")
    assert read(tail) == []
    log.unlink()
    assert read(tail) == []
    assert [text for _, _, text in tail.read_rest()] == [b"Segmentation fau"]
    assert tail.read_rest() == []


def test_lines_are_told_with_the_time_of_the_one_they_belong_to(log: Path) -> None:
    add(log, stamped(1), "Traceback (most recent call last):")
    times = [stamp for stamp, _, _ in Tail(log).read()]
    assert times == [b"2026-01-01 00:00:00,001"] * 2


@pytest.mark.parametrize("missed", [0, 3, 200])
def test_rotation_repeats_nothing_and_leaves_nothing_out(
    log: Path, missed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_rotation, "KEPT_BYTES", 20_000)
    tail = Tail(log)
    add(log, *[stamped(number) for number in range(2000)])
    seen = read(tail)
    add(log, *[stamped(number) for number in range(2000, 2000 + missed)])
    log_rotation._keep_end(log)
    add(log, stamped(9999))
    seen += read(tail)
    assert seen == [stamped(number) for number in [*range(2000 + missed), 9999]]


def test_a_log_of_which_nothing_is_left_is_read_from_its_start(log: Path) -> None:
    tail = Tail(log)
    add(log, *[stamped(number) for number in range(100)])
    tail.read()
    log.write_text("anew\n")
    assert read(tail) == ["anew"]
