"""What a job shall do: `job.json` in its folder, written by `ops` before the coordinator is started, and fixed."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

InputMode = Literal["files", "rows", "json"]
OutputFormat = Literal["az", "csv", "jsonl", "parquet"]


@dataclass(frozen=True)
class JobInput:
    """What is scored. mode: how run() gets it, paths, DataFrames, or JSON text with the rows under `input_key`.

    paths: files and folders, absolute. Folders are walked, in the order of names.
    """

    mode: InputMode
    paths: tuple[str, ...]
    input_key: str = "features"


@dataclass(frozen=True)
class JobOutput:
    """Where results go. action: `append_row`, all rows in one file, or `summary_only`, results are counted."""

    action: Literal["append_row", "summary_only"]
    folder: str
    file_name: str = "predictions.csv"
    format: OutputFormat = "az"
    header: bool = False
    with_input: bool = False


@dataclass(frozen=True)
class JobOrder:
    """A batch job, resolved: every path is absolute, nothing is looked up any more.

    timeout_s: the longest one call of run() may take. error_threshold, mini_batch_error_threshold: failed items and
    mini-batches that are accepted, -1: any number. cluster: the address of a Dask scheduler, None: this machine.
    no_code: what scores in place of a script, `LOADER:PATH` below model_dir.
    arguments: what the script finds in sys.argv behind its own name. allowed_failed_percent: of all mini-batches.
    """

    name: str
    python: str
    app_root: str
    entry_script: str
    model_dir: str | None
    environment_variables: Mapping[str, str]
    input: JobInput
    output: JobOutput
    mini_batch_size: int = 10
    instance_count: int = 1
    max_concurrency_per_instance: int = 1
    max_retries: int = 3
    timeout_s: float = 30
    error_threshold: int = -1
    mini_batch_error_threshold: int = -1
    allowed_failed_percent: float = 100
    logging_level: str = "info"
    fail_on_failed_items: bool = False
    cluster: str | None = None
    no_code: str | None = None
    arguments: tuple[str, ...] = ()

    @property
    def workers(self) -> int:
        """How many processes run mini-batches."""
        return self.instance_count * self.max_concurrency_per_instance


def write_order(file: Path, order: JobOrder) -> None:
    """Write an order down, for its owner's eyes only: variables may hold secrets."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as writer:
        json.dump(asdict(order), writer, indent=1)
        writer.flush()
        os.fsync(writer.fileno())


def read_order(file: Path) -> JobOrder:
    """Read what `write_order` wrote."""
    fields: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    given: dict[str, Any] = fields["input"]
    given["paths"] = tuple(given["paths"])
    fields["input"] = JobInput(**given)
    fields["output"] = JobOutput(**fields["output"])
    fields["arguments"] = tuple(fields.get("arguments") or ())
    return JobOrder(**fields)
