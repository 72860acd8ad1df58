"""Commands that outlive their coordinator are found by what they wrote down, and nothing else is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlctl.batch.folder import JobFolder
from mlctl.batch.leftovers import end_leftover, record_itself
from tests.waiting import wait_until


@pytest.fixture
def command(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command of the job `j`, with a child of its own, which has written down its number."""
    words = record_itself(JobFolder(tmp_path), "sleep 301 & sleep 302")
    process = subprocess.Popen(words, env={"AZUREML_RUN_ID": "j", "PATH": "/usr/bin:/bin"}, start_new_session=True)
    wait_until(lambda: (tmp_path / "command.pid").exists(), timeout_s=60)
    yield process
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_what_the_job_has_started_is_ended(tmp_path: Path, command: subprocess.Popen[bytes]) -> None:
    assert int((tmp_path / "command.pid").read_text()) == command.pid
    end_leftover(JobFolder(tmp_path), "j")
    assert command.wait(timeout=60) == -9
    assert not (tmp_path / "command.pid").exists()


def test_what_another_job_has_started_is_left_alone(tmp_path: Path, command: subprocess.Popen[bytes]) -> None:
    end_leftover(JobFolder(tmp_path), "other")
    assert command.poll() is None


def test_a_command_ends_with_its_own_exit_code(tmp_path: Path) -> None:
    ran = subprocess.run(
        record_itself(JobFolder(tmp_path), "echo \"$0 '$1'\"; exit 7"), capture_output=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (7, b"/bin/bash ''\n")
    end_leftover(JobFolder(tmp_path), "j")
    end_leftover(JobFolder(tmp_path / "never started"), "j")
