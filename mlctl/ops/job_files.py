"""What a job has written: where its outputs are, and copies of them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

from mlctl.batch.folder import JobFolder
from mlctl.entities.stored import read_map
from mlctl.errors import InvalidInput, NotFound
from mlctl.ops.batch_jobs import Job, look
from mlctl.ops.session import Session


@dataclass(frozen=True)
class Download:
    """What `job download` copies: from, and to below the target folder."""

    source: Path
    target: Path


def download(session: Session, name: str, *, folder: Path, output_name: str | None, takes_all: bool) -> list[Path]:
    """Copy a job's outputs, logs and failed items; returns what was written. Source: az-ml-surface 1.8."""
    job = look(session, name)
    if not job.row.has_ended:
        raise InvalidInput(
            f"job {name} is {job.status}: its files can be downloaded when it has ended",
            hint=f"mlctl job stream -n {name}",
        )
    planned: list[Download] = []
    outputs = find_outputs(job)
    if output_name is not None and output_name not in outputs and output_name != "default":
        raise NotFound(
            f"job {name} has no output {output_name}",
            hint=f"it has: {', '.join(sorted(outputs))}" if outputs else "it has none",
        )
    if output_name is None or takes_all:
        artifacts = folder / "artifacts"
        planned += [Download(job.folder / each, artifacts / each) for each in ("logs", "user_logs")]
        planned.append(Download(JobFolder(job.folder).failed_items, artifacts))
    chosen = [output_name] if output_name is not None else list(outputs) if takes_all else []
    for each in chosen:
        if each in outputs and not outputs[each].exists():
            session.on_notice(f"job {name} is {job.status} and has no output {each}")
    planned += [Download(outputs[each], folder / "named-outputs" / each) for each in chosen if each in outputs]
    found = [plan for plan in planned if plan.source.exists()]
    try:
        for plan in found:
            _copy(plan)
    except (OSError, shutil.Error) as error:
        raise InvalidInput(f"cannot write to {folder}: {error}", hint=f"ls -ld {folder}; df -h .") from error
    return [plan.target for plan in found]


def _copy(plan: Download) -> None:
    if plan.source.is_dir():
        shutil.copytree(plan.source, plan.target, dirs_exist_ok=True)
    elif plan.source.exists():
        plan.target.mkdir(parents=True, exist_ok=True)
        shutil.copy2(plan.source, plan.target)


def find_outputs(job: Job) -> dict[str, Path]:
    """Return where a job's outputs lie, by name."""
    if job.row.kind == "batch":
        return {"score": Path(job.row.spec["output"]["folder"])}
    return {name: Path(path) for name, path in read_map(job.row.spec, "output_folders").items()}
