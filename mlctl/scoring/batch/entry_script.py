"""Stands in for `azureml_user.parallel_run.EntryScript`: where a script finds its logger and its folders.

Source: batch contract 2.3. Made importable by `v1_shim`.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import ClassVar


class EntryScript:
    """The one object of a worker process that scripts ask for. All instances are alike."""

    agent_name: ClassVar[str] = "process000"
    log_dir: ClassVar[str] = ""
    output_dir: ClassVar[str] = ""
    working_dir: ClassVar[str] = ""
    dir: ClassVar[str] = ""

    @classmethod
    def set_up(cls, name: str, logs: Path, output: Path) -> None:
        """Say which process this is, and where its folders are."""
        folder = logs / "entry_script_log" / "local"
        cls.agent_name, cls.log_dir, cls.output_dir = name, str(folder), str(output)
        cls.working_dir = cls.dir = str(Path.cwd())

    @property
    def logger(self) -> logging.Logger:
        """Return what writes to `logs/user/entry_script_log/<node>/<process>.log.txt`."""
        logger = logging.getLogger("azureml_user.entry_script")
        if not logger.handlers:
            folder = Path(self.log_dir)
            folder.mkdir(parents=True, exist_ok=True)
            handler = logging.FileHandler(folder / f"{self.agent_name}.log.txt")
            handler.setFormatter(logging.Formatter("%(asctime)s|%(levelname)s|%(process)d|%(message)s"))
            logger.addHandler(handler)
        return logger
