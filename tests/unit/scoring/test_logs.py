from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlctl.scoring.logs import AzureFormatter, LogFile, PrintStream, stamp
from mlctl.scoring.request_log import RequestLine


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def file(path: Path) -> Iterator[LogFile]:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    yield LogFile(fd)
    os.close(fd)


def test_time_is_utc_with_a_comma_before_milliseconds() -> None:
    assert stamp(1764038880.5) == "2025-11-25 02:48:00,500"
    assert stamp(1764038880.9999) == "2025-11-25 02:48:00,999"


def test_record_has_azures_format() -> None:
    record = logging.LogRecord("azmlinfsrv", logging.WARNING, "f", 1, "hello %d", (1,), None)
    record.created, record.process = 0.0, 7
    assert AzureFormatter().format(record) == "1970-01-01 00:00:00,000 W [7] azmlinfsrv - hello 1"


def test_line_put_off_is_written_before_the_next(file: LogFile, path: Path) -> None:
    file.put_off(lambda: "one\n")
    assert path.read_text() == ""
    file.write("two\n")
    assert path.read_text() == "one\ntwo\n"


def test_flush_writes_what_was_put_off(file: LogFile, path: Path) -> None:
    file.put_off(lambda: "one\n")
    file.flush()
    file.flush()
    assert path.read_text() == "one\n"


def test_closed_descriptor_does_not_raise(path: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    os.close(fd)
    LogFile(fd).write("lost\n")


def test_lines_of_many_threads_stay_whole(file: LogFile, path: Path) -> None:
    def write(letter: str) -> None:
        for _ in range(200):
            file.put_off(lambda: letter * 50 + "\n")
            file.write(letter * 50 + "\n")

    threads = [threading.Thread(target=write, args=(letter,)) for letter in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = path.read_text().splitlines()
    assert len(lines) == 1600
    assert all(line == line[0] * 50 for line in lines)


def test_print_is_logged_line_by_line(file: LogFile, path: Path) -> None:
    stream = PrintStream(file, sys.__stdout__ or sys.stdout)
    print("a", "b", end="", file=stream)
    assert path.read_text() == ""
    print("c\nd", file=stream)
    print("partial", end="", flush=True, file=stream)
    messages = [line.partition(" I ")[2] for line in path.read_text().splitlines()]
    assert messages == [f"[{os.getpid()}] azmlinfsrv.print - {text}" for text in ("a bc", "d", "partial")]


def test_print_of_what_has_no_utf8_form_does_not_raise(file: LogFile, path: Path) -> None:
    print("\ud800", file=PrintStream(file, sys.__stdout__ or sys.stdout))
    assert "\\ud800" in path.read_text()


def test_request_line_shows_no_raw_bytes_of_the_client() -> None:
    line = RequestLine(0.0, "POST", b"/x\xff" + b"y" * 500, 404, 0.0123456, 5, b"id\x9b", None)
    text = line.render()
    assert text.startswith("1970-01-01 00:00:00,000 I [")
    assert "POST /x\\xffyyy" in text
    assert text.endswith(" 404 12.346ms 5 id\\x9b\n")
    assert len(text) < 350
