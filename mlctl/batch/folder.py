"""What lies where in a job's folder. Logs are laid out as Azure's (batch contract 7), all on the node `local`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NODE = "local"


@dataclass(frozen=True)
class JobFolder:
    """A job's folder below `jobs` of the registry's home."""

    path: Path

    @property
    def order(self) -> Path:
        """What the job shall do."""
        return self.path / "job.json"

    @property
    def mount(self) -> Path:
        """Links to the code and the model, which the registry keeps for as long as they are here."""
        return self.path / "mount"

    @property
    def inputs(self) -> Path:
        """The files that are scored, as they were when the job began."""
        return self.path / "inputs.jsonl"

    @property
    def journal(self) -> Path:
        """What is committed."""
        return self.path / "journal"

    @property
    def parts(self) -> Path:
        """Results as the workers wrote them."""
        return self.path / "parts"

    @property
    def blocks(self) -> Path:
        """Rows of inputs that cannot be read from the middle, as Arrow files."""
        return self.path / "blocks"

    @property
    def progress(self) -> Path:
        """How far the job is."""
        return self.path / "progress.json"

    @property
    def changed(self) -> Path:
        """There when files that have changed since are to be scored again, instead of refused."""
        return self.path / "changed"

    @property
    def failed_items(self) -> Path:
        """The items that could not be scored, a line of JSON each."""
        return self.path / "failed_items.jsonl"

    @property
    def starting(self) -> Path:
        """Touched when a coordinator is about to be started."""
        return self.path / "starting"

    @property
    def lock(self) -> Path:
        """Locked by the coordinator."""
        return self.path / "lock"

    @property
    def logs(self) -> Path:
        """All logs."""
        return self.path / "logs"

    @property
    def user_logs(self) -> Path:
        """What the script printed, logged and raised."""
        return self.logs / "user"

    @property
    def system_logs(self) -> Path:
        """What the coordinator has to say."""
        return self.logs / "sys"

    def find_life(self, process: str, *, of_itself: bool = False) -> Path:
        """Return the log of a worker's life: what happened to it, or (of_itself) what it noted."""
        return self.system_logs / "node" / NODE / f"{process}{'' if of_itself else '_main'}.txt"

    def make(self) -> None:
        """Make the folders."""
        for path in (self.parts, self.blocks, self.user_logs, self.system_logs / "job_report"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def write_progress(self, progress: Mapping[str, Any]) -> None:
        """Replace the progress at once: readers see all of the old or all of the new."""
        draft = self.progress.with_suffix(f".{os.getpid()}")
        draft.write_text(json.dumps(progress), encoding="utf-8")
        draft.replace(self.progress)

    def read_progress(self) -> dict[str, Any]:
        """Return the progress; empty when there is none yet."""
        try:
            return json.loads(self.progress.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
