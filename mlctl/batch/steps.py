"""The steps of a pipeline job in the registry and on the disk: jobs of their own, named JOB.STEP, below their job."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

from mlctl.batch.command import CommandOrder, read_command
from mlctl.batch.folder import JobFolder
from mlctl.batch.launch import find_folder
from mlctl.errors import MlctlError
from mlctl.registry import jobs
from mlctl.registry.store import Store
from mlctl.settings import Settings

_RECORD = "outputs.json"


class StepBook:
    """Reads and writes how far a job's steps are."""

    def __init__(self, settings: Settings, job: str) -> None:
        self._settings = settings
        self._job = job

    def name(self, step: str) -> str:
        """Return a step's name as a job of its own."""
        return jobs.name_step(self._job, step)

    def find_folder(self, step: str) -> JobFolder:
        """Return where a step's files lie."""
        return find_folder(self._settings.home, self.name(step))

    def list_states(self) -> dict[str, str]:
        """Return the state of each step."""
        with Store(self._settings.database) as store:
            return {jobs.split_step(row.name)[1]: row.state for row in jobs.list_steps(store, self._job)}

    def get_error(self, step: str) -> str | None:
        """Return why a step failed."""
        with Store(self._settings.database) as store:
            return jobs.get(store, self.name(step)).error

    def set_state(self, step: str, state: str, error: str | None = None) -> None:
        """Record a step's state."""
        with Store(self._settings.database) as store:
            jobs.set_state(store, jobs.name_step(self._job, step), state, error=error)

    def take_over(self, step: str, key: str) -> str | None:
        """Copy the outputs of an earlier step that did the same; returns the step's name, None: there is none."""
        order = read_command(self.find_folder(step).order)
        clear_outputs(order.outputs, self._settings.home)
        with Store(self._settings.database) as store:
            known = [row.name for row in jobs.list_alike(store, key)]
        for name in known:
            source = find_folder(self._settings.home, name)
            if name != order.name and _copy_outputs(source, order):
                return name
        return None

    def keep_fingerprint(self, step: str) -> None:
        """Write down what a step's outputs hold, so that a later change of them is seen."""
        folder = self.find_folder(step)
        found = fingerprint(read_command(folder.order).outputs)
        (folder.path / _RECORD).write_text(json.dumps(found), encoding="utf-8")


def clear_outputs(outputs: Mapping[str, str], home: Path) -> None:
    """Remove what a try that came to nothing left in the outputs; folders of the user's own are left alone."""
    for text in outputs.values():
        path = Path(text)
        if home not in path.parents:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def fingerprint(outputs: Mapping[str, str]) -> dict[str, str]:
    """Return a digest of each output: of the names, sizes and times of change of its files."""
    return {name: _digest(Path(path)) for name, path in sorted(outputs.items())}


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    files = sorted(found for found in path.rglob("*") if found.is_file()) if path.is_dir() else [path]
    for file in files:
        try:
            facts = file.stat()
        except OSError:
            continue
        name = file.relative_to(path).as_posix() if file != path else ""
        digest.update(os.fsencode(f"\n{name}\t{facts.st_size}\t{facts.st_mtime_ns}"))
    return digest.hexdigest()


def _copy_outputs(source: JobFolder, order: CommandOrder) -> bool:
    """Copy the outputs of an earlier step to where this one's belong; False when they are not what they were."""
    try:
        earlier = read_command(source.order)
        known: dict[str, str] = json.loads((source.path / _RECORD).read_text(encoding="utf-8"))
        if set(earlier.outputs) != set(order.outputs) or fingerprint(earlier.outputs) != known:
            return False
        for name, target in order.outputs.items():
            _copy(Path(earlier.outputs[name]), Path(target))
    except (OSError, ValueError, TypeError, shutil.Error, MlctlError):
        return False
    return True


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    elif source.exists():
        shutil.copy2(source, target)
