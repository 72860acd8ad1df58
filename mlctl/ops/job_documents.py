"""Jobs as the objects that az prints. Source: az's surface 1.3, 1.8, 4.1 and 4.3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.entities.stored import read_map
from mlctl.ops.batch_jobs import Job, list_metrics, list_steps
from mlctl.ops.documents import Document, creation_context, workspace_id
from mlctl.ops.session import Session

_COUNTS = (
    *("items_total", "items_done", "items_succeeded", "items_failed"),
    *("mini_batches_total", "mini_batches_done", "mini_batches_failed", "retries"),
)


def job_id(session: Session, job: Job) -> str:
    """Return a job's id in Azure's form; its last part is the name."""
    return f"{workspace_id(job.row.workspace, session.resource_group)}/jobs/{job.row.name}"


def reference(session: Session, job: Job) -> Document:
    """Return a job as `batch invoke` and `list-jobs` print it."""
    return {
        "id": job_id(session, job),
        "name": job.row.name,
        "resourceGroup": session.resource_group,
        "status": job.status,
        "type": _type(job),
    }


def _type(job: Job) -> str:
    """Return Azure's word: a batch job is a pipeline there, a step what it runs."""
    if job.row.kind == "step":
        return str(job.row.spec.get("type") or "command")
    return "pipeline" if job.row.kind == "batch" else job.row.kind


def deployment_reference(job: Job) -> Document:
    """Return a job as `batch-deployment list-jobs` prints it."""
    return {"name": job.row.name, "status": job.status, "output": _outputs(job).get("score", {}).get("path")}


def job_document(session: Session, job: Job) -> Document:
    """Return a job as `job show` prints it."""
    row, spec = job.row, job.row.spec
    document: Document = {
        "id": job_id(session, job),
        "name": row.name,
        "display_name": spec.get("display_name") or row.name,
        "type": _type(job),
        "status": job.status,
        "experiment_name": spec.get("experiment_name") or "Default",
        "services": {
            "Studio": {"endpoint": f"file://{job.folder}", "type": "Studio"},
            "Tracking": {"endpoint": f"file://{job.folder}", "type": "Tracking"},
        },
        "creation_context": _context(job),
        "tags": read_map(spec, "tags"),
        "properties": {**read_map(spec, "properties"), **_properties(job)},
        "inputs": _inputs(job),
        "outputs": _outputs(job),
        "resourceGroup": session.resource_group,
        **{key: spec[key] for key in ("command", "environment", "code", "compute", "description") if key in spec},
    }
    if row.kind == "batch":
        document |= {"compute": "local", "jobs": {"batchscoring": {"type": "parallel", "status": job.status}}}
        document["settings"] = {"default_compute": "local"}
    if row.kind == "pipeline":
        document |= {"jobs": _steps(session, job), "settings": read_map(spec, "settings")}
    if row.kind == "step":
        document["parent_job_name"] = spec["parent"]
    if row.error:
        document["error"] = {"code": "UserError" if job.status == "Failed" else job.status, "message": row.error}
    return document


def _steps(session: Session, job: Job) -> Document:
    """Return a pipeline's steps as its document shows them. name: of the step as a job of its own."""
    steps = list_steps(session, job.row.name)
    return {
        step.row.spec["step"]: {
            "type": _type(step),
            "name": step.row.name,
            "status": step.status,
            "display_name": step.row.spec["display_name"],
            "inputs": _inputs(step),
            "outputs": _outputs(step),
        }
        for step in steps
    }


def _context(job: Job) -> Document:
    row = job.row
    changed_at = row.ended_at or row.started_at or row.created_at
    return creation_context(row.created_at, row.created_by, changed_at, row.created_by)


def _metrics(job: Job) -> dict[str, str]:
    """Return a job's counts under Azure's names. Source: batch contract 7."""
    found: dict[str, str] = {}
    for word, name in (("MiniBatches", "mini_batches"), ("Items", "items")):
        total, done, failed = (job.progress.get(f"{name}_{part}") for part in ("total", "done", "failed"))
        if done is not None:
            found |= {f"Finished {word}": str(done), f"Failed {word}": str(failed)}
        if total is not None and done is not None:
            found |= {f"Total {word}": str(total), f"Remaining {word}": str(total - done)}
    return found


def _properties(job: Job) -> dict[str, str]:
    found = _metrics(job)
    found |= {f"mlctl.metrics.{name}": f"{value:g}" for name, value in list_metrics(job).items()}
    found |= {f"mlctl.{name}": str(job.progress[name]) for name in _COUNTS if job.progress.get(name) is not None}
    if job.row.endpoint:
        found |= {"azureml.batchEndpoint": job.row.endpoint, "azureml.deploymentname": str(job.row.deployment)}
    if job.row.started_at is not None:
        found["StartTimeUtc"] = creation_context(job.row.started_at, "", 0, "")["created_at"]
    if job.row.ended_at is not None:
        found["EndTimeUtc"] = creation_context(job.row.ended_at, "", 0, "")["created_at"]
    return found


def _inputs(job: Job) -> Document:
    given: Any = job.row.spec.get("inputs")
    if isinstance(given, Mapping):
        return dict(given)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    paths: list[str] = read_map(job.row.spec, "input").get("paths") or []
    names = ["data"] if len(paths) == 1 else [f"data_{number}" for number in range(1, len(paths) + 1)]
    return {
        name: {"type": _kind_of(path), "mode": "ro_mount", "path": path}
        for name, path in zip(names, paths, strict=True)
    }


def _kind_of(path: str) -> str:
    from pathlib import Path

    return "uri_folder" if Path(path).is_dir() else "uri_file"


def _outputs(job: Job) -> Document:
    if job.row.kind == "batch":
        output = job.row.spec["output"]
        return {"score": {"type": "uri_folder", "mode": "rw_mount", "path": output["folder"]}}
    folders, types = read_map(job.row.spec, "output_folders"), read_map(job.row.spec, "output_types")
    return {
        name: {"type": types.get(name, "uri_folder"), "mode": "rw_mount", "path": path}
        for name, path in folders.items()
    }
