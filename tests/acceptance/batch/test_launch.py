"""Coordinators that are over before anybody looks whether they have begun."""

from __future__ import annotations

import fcntl
import json
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlctl.batch import launch
from mlctl.ops import batch_jobs, command_jobs
from mlctl.ops.session import Session
from mlctl.runtimes.processes import find_labelled
from mlctl.settings import Settings
from tests.acceptance.batch.conftest import Desk
from tests.waiting import wait_until


def has_open(pid: int, file: Path) -> bool:
    try:
        return any(link.readlink() == file for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def test_whoever_looks_at_a_job_keeps_no_coordinator_from_it(desk: Desk):
    files = desk.write_files(2)
    folder = launch.find_folder(desk.home, desk.name_job(1))
    folder.make()
    with folder.lock.open("a") as looked_at:
        fcntl.flock(looked_at, fcntl.LOCK_SH)
        starting = threading.Thread(target=lambda: desk.start("def run(mini_batch): return mini_batch", files))
        starting.start()
        found: list[int] = []

        def waits() -> bool:
            found[:] = [process.pid for process in find_labelled("mlctl.batch", str(desk.home))]
            return any(has_open(pid, folder.lock) for pid in found)

        wait_until(waits, 60)
    starting.join(60)
    assert desk.finish(desk.name_job(1)).row.state == "Completed"


def test_a_job_that_is_over_at_once_did_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "job.yml"
    file.write_text(json.dumps({"type": "command", "command": "true"}))
    session = Session(settings=Settings(home=tmp_path / "home"), environ={"PATH": "/usr/bin:/bin"})
    try:
        folder = launch.find_folder(session.settings.home, "quick")

        def wait_for_end(_: float) -> None:
            wait_until(lambda: batch_jobs.look(session, "quick").row.has_ended, 60)
            wait_until(lambda: not launch.is_coordinated(folder), 60)

        # As on a machine that is busy: the next look comes when all is over.
        monkeypatch.setattr(launch, "time", SimpleNamespace(monotonic=time.monotonic, sleep=wait_for_end))
        assert command_jobs.create(session, file=file, name="quick").status == "Completed"
    finally:
        session.close()
