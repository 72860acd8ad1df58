"""Jobs that are killed, and go on: nothing is lost, nothing is there twice, the output is the undisturbed one's."""

from __future__ import annotations

import os
import random
import signal
from pathlib import Path

import pytest

from mlctl.batch.launch import find_folder
from tests.acceptance.batch.conftest import Desk
from tests.waiting import wait_until

SLOW = """
import time
def run(mini_batch):
    time.sleep(0.004)
    return [path.rsplit("/", 1)[1] for path in mini_batch]
"""


def _journal_size(desk: Desk, name: str) -> int:
    path = find_folder(desk.home, name).journal
    return path.stat().st_size if path.exists() else 0


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _disturb(desk: Desk, files: Path, kills: int, seed: int) -> list[str]:
    """Run a job that is killed again and again, and return its output's lines."""
    chance = random.Random(seed)
    name = desk.start(SLOW, files, mini_batch_size=2, instance_count=2, max_retries=20)
    for _ in range(kills):
        folder = find_folder(desk.home, name)
        size = _journal_size(desk, name) + chance.randrange(40, 1500)
        wait_until(lambda size=size: _journal_size(desk, name) >= size or not desk.processes(), 60)
        if not desk.processes():
            break
        workers = desk.workers(name)
        if workers and chance.random() < 0.5:
            _kill(chance.choice(workers))
            continue
        _kill(desk.coordinator(name))
        wait_until(lambda: not desk.workers(name), 20, "the end of the workers, with their coordinator")
        if desk.row(name).has_ended:
            break
        assert not list(folder.path.glob("*.csv"))
        desk.resume(name)
    ended = desk.finish(name)
    assert ended.row.state == "Completed", ended.row.error
    assert ended.counts == (len(list(files.iterdir())), len(list(files.iterdir())), 0)
    assert not list(ended.output.parent.glob(".*"))
    return ended.lines


def test_a_job_that_is_killed_goes_on_where_it_was(desk: Desk) -> None:
    files = desk.write_files(600)
    assert _disturb(desk, files, kills=4, seed=1) == [f"{number:04d}" for number in range(600)]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_hundred_kills_lose_nothing_and_double_nothing(desk: Desk) -> None:
    files = desk.write_files(6000)
    assert _disturb(desk, files, kills=100, seed=2) == [f"{number:04d}" for number in range(6000)]


def test_a_stopped_job_goes_on(desk: Desk) -> None:
    files = desk.write_files(400)
    name = desk.start(SLOW, files, mini_batch_size=2)
    wait_until(lambda: _journal_size(desk, name) > 500)
    desk.stop(name)
    stopped = desk.finish(name)
    assert not stopped.row.has_ended, stopped.row.error
    assert not stopped.output.exists()
    desk.resume(name)
    assert desk.finish(name).lines == [f"{number:04d}" for number in range(400)]


def test_a_changed_input_is_refused(desk: Desk) -> None:
    files = desk.write_files(200)
    name = desk.start(SLOW, files, mini_batch_size=2)
    wait_until(lambda: _journal_size(desk, name) > 200)
    desk.stop(name)
    desk.finish(name)
    (files / "0001").write_text("changed")
    desk.resume(name)
    ended = desk.finish(name)
    assert ended.row.state == "Failed"
    assert "has changed since the job began" in (ended.row.error or "")
    assert "0001" in (ended.row.error or "")
