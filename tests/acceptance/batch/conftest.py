"""Real jobs: a registry in a temporary folder, a real coordinator, real workers; all ended by the fixture."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from mlctl.batch.folder import JobFolder
from mlctl.batch.launch import find_folder, is_coordinated, start_coordinator, stop_coordinator
from mlctl.batch.order import InputMode, JobInput, JobOrder, JobOutput, write_order
from mlctl.registry import jobs
from mlctl.registry.jobs import JobRow
from mlctl.registry.store import Store
from mlctl.runtimes.processes import find_labelled
from tests.waiting import wait_until

DOUBLE = """
def init():
    print("init was called")

def run(mini_batch):
    return [int(path.rsplit("/", 1)[1]) * 2 for path in mini_batch]

def shutdown():
    print("shutdown was called")
"""


@dataclass(frozen=True)
class Run:
    """A job, after its end."""

    row: JobRow
    progress: dict[str, Any]
    folder: JobFolder
    output: Path

    @property
    def lines(self) -> list[str]:
        return self.output.read_text().splitlines()

    @property
    def failed_items(self) -> list[dict[str, Any]]:
        path = self.folder.failed_items
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    @property
    def counts(self) -> tuple[int, int, int]:
        return tuple(self.progress[f"items_{name}"] for name in ("done", "succeeded", "failed"))

    def printed(self) -> str:
        return "".join(path.read_text() for path in sorted(self.folder.user_logs.glob("stdout/local/*")))

    def errors(self) -> str:
        path = self.folder.user_logs / "error.txt"
        return path.read_text() if path.exists() else ""


@dataclass
class Desk:
    """Makes and runs jobs, one after the other."""

    home: Path
    work: Path
    count: int = 0

    def write_files(self, count: int, folder: str = "files") -> Path:
        """Make files named 0000, 0001 and so on."""
        target = self.work / folder
        target.mkdir()
        for number in range(count):
            (target / f"{number:04d}").touch()
        return target

    def start(
        self,
        script: str,
        *paths: Path,
        mode: InputMode = "files",
        output: dict[str, Any] | None = None,
        **settings: Any,
    ) -> str:
        self.count += 1
        name = self.name_job(self.count)
        code = self.work / f"code-{self.count}"
        code.mkdir()
        (code / "score.py").write_text(dedent(script))
        folder = find_folder(self.home, name)
        folder.make()
        placed: dict[str, Any] = {
            "action": "append_row",
            "folder": str(self.work / f"out-{self.count}"),
            **(output or {}),
        }
        limits: dict[str, Any] = {"max_retries": 1, "timeout_s": 30, **settings}
        variables = limits.pop("environment_variables", {})
        order = JobOrder(
            name=name,
            python=sys.executable,
            app_root=str(code),
            entry_script="score.py",
            model_dir=None,
            environment_variables=variables,
            input=JobInput(mode, tuple(map(str, paths))),
            output=JobOutput(**placed),
            **limits,
        )
        write_order(folder.order, order)
        with Store(self.home / "registry.db") as store:
            jobs.insert(store, name=name, kind="batch", workspace="local", spec={"output": placed})
        start_coordinator(self.home, name, os.environ)
        return name

    def name_job(self, number: int) -> str:
        # Unlike those of other tests that run at the same time: processes are found by it.
        return f"{self.home.parent.name}-{number}"

    def resume(self, name: str) -> None:
        find_folder(self.home, name).progress.unlink(missing_ok=True)
        with Store(self.home / "registry.db") as store:
            jobs.set_state(store, name, "NotStarted")
        start_coordinator(self.home, name, os.environ)

    def row(self, name: str) -> JobRow:
        with Store(self.home / "registry.db") as store:
            return jobs.get(store, name)

    def finish(self, name: str, timeout_s: float = 60) -> Run:
        folder = find_folder(self.home, name)
        wait_until(lambda: not is_coordinated(folder), timeout_s, f"the end of {name}")
        row = self.row(name)
        placed = row.spec["output"]
        output = Path(placed["folder"]) / placed.get("file_name", "predictions.csv")
        return Run(row, folder.read_progress(), folder, output)

    def run(self, script: str, *paths: Path, **settings: Any) -> Run:
        return self.finish(self.start(script, *paths, **settings))

    def stop(self, name: str) -> None:
        stop_coordinator(find_folder(self.home, name))

    def coordinator(self, name: str) -> int:
        return int(find_folder(self.home, name).lock.read_text().split()[0])

    def processes(self) -> list[int]:
        coordinators = [process.pid for process in find_labelled("mlctl.batch", str(self.home))]
        return [
            *coordinators,
            *(pid for number in range(self.count) for pid in self.workers(self.name_job(number + 1))),
        ]

    def workers(self, name: str) -> list[int]:
        return [process.pid for process in find_labelled("mlctl.scoring.batch", "--job", name)]


@pytest.fixture
def desk() -> Iterator[Desk]:
    root = Path(tempfile.mkdtemp(prefix="mlb-"))
    made = Desk(root / "home", root / "work")
    made.work.mkdir()
    with Store(made.home / "registry.db"):
        pass
    try:
        yield made
    finally:
        for process in find_labelled("mlctl.batch", str(made.home)):
            os.kill(process.pid, signal.SIGKILL)
        wait_until(lambda: not find_labelled("mlctl.batch", str(made.home)))
        shutil.rmtree(root, ignore_errors=True)
