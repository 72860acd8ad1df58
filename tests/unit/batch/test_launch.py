"""How a coordinator is started: real processes, one of them over before anybody looks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlctl.batch import launch
from mlctl.batch.command import CommandOrder, write_command
from mlctl.batch.launch import find_folder, start_coordinator
from mlctl.registry import jobs
from mlctl.registry.store import Store


def make_job(home: Path, command: str) -> str:
    folder = find_folder(home, "short")
    folder.make()
    write_command(folder.order, CommandOrder("short", command, "/usr/bin/python3", None, {}, {}))
    with Store(home / "registry.db") as store:
        jobs.insert(store, name="short", kind="command", workspace="local", spec={})
    return "short"


def test_a_job_that_is_over_before_it_is_looked_at_has_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = make_job(tmp_path, "true")
    # Looked at too late: the lock is free again, and nothing tells of it but the exit code.
    monkeypatch.setattr(launch, "is_coordinated", lambda _: False)
    monkeypatch.setattr(launch, "_has_owned", lambda *_: False)
    start_coordinator(tmp_path, name, os.environ)
    with Store(tmp_path / "registry.db") as store:
        assert jobs.get(store, name).state == "Completed"
