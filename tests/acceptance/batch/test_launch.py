"""Coordinators that are over before anybody looks whether they have begun."""

from __future__ import annotations

import json
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from mlctl.batch import launch
from mlctl.ops import batch_jobs, command_jobs
from mlctl.ops.session import Session
from mlctl.settings import Settings
from tests.waiting import wait_until


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
