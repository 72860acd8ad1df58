"""What a worker is told once: the script, and what becomes of its results."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Mode = Literal["files", "rows", "json"]
Format = Literal["az", "csv", "jsonl", "parquet"]


@dataclass(frozen=True)
class WorkerOrder:
    """A worker's settings.

    mode: what run() is given: paths, a DataFrame, or JSON text as an online script. input_key: the key of the rows in
    that text. keeps_rows: False: results are counted only. format, with_input: how a row of the output looks.
    no_code: what scores in place of a script.
    parts: the folder for what this worker writes. name: `process001`. logs: the job's folder of user logs.
    life_log: the file in which a worker notes how it gets on.
    arguments: for sys.argv of the script.
    """

    app_root: Path
    entry_script: str
    model_dir: Path | None
    mode: Mode
    input_key: str
    keeps_rows: bool
    format: Format
    with_input: bool
    parts: Path
    name: str
    logs: Path
    life_log: Path
    output_folder: Path
    logging_level: str
    no_code: str | None = None
    arguments: tuple[str, ...] = ()


def read_order(file: Path) -> WorkerOrder:
    """Read the order that `mlctl.batch` wrote."""
    fields: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    for name in ("app_root", "parts", "logs", "output_folder", "model_dir", "life_log"):
        fields[name] = Path(fields[name]) if fields[name] else None
    fields["arguments"] = tuple(fields.get("arguments") or ())
    return WorkerOrder(**fields)
