"""`job update`: what people say about a job changes, what it does never."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlctl.entities.document import make_document
from mlctl.entities.job_labels import JobLabels
from mlctl.entities.parsing import parse_document
from mlctl.entities.stored import read_map
from mlctl.errors import InvalidInput
from mlctl.ops import batch_jobs
from mlctl.ops.batch_jobs import Job
from mlctl.ops.job_documents import job_document
from mlctl.ops.loading import Operation, apply_operations
from mlctl.ops.session import Session
from mlctl.registry import jobs


def update(session: Session, name: str, *, operations: Sequence[Operation], forces_text: bool) -> Job:
    """Change a job's display name, description, tags or properties; InvalidInput for anything else."""
    job = batch_jobs.look(session, name)
    shown = job_document(session, job)
    changed = apply_operations(shown, operations, forces_text, JobLabels)
    labels = list(JobLabels.list_fields())
    if fixed := sorted(key for key in {*shown, *changed} - {*labels} if shown.get(key) != changed.get(key)):
        raise InvalidInput(
            f"{fixed[0]} of a job cannot be changed: it was started with it",
            hint=f"what can be changed: {', '.join(labels)}",
        )
    given = {key: changed[key] for key in labels if changed.get(key) is not None}
    parsed = parse_document(make_document(given), JobLabels).to_document()
    parsed["properties"] = _own_properties(job, shown, read_map(parsed, "properties"))
    kept = {key: value for key, value in job.row.spec.items() if key not in labels}
    jobs.set_spec(session.store, name, {**kept, **parsed})
    return batch_jobs.look(session, name)


def _own_properties(job: Job, shown: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the properties that are the user's; those that mlctl counts are not theirs to change."""
    own = read_map(job.row.spec, "properties")
    counted = {key: value for key, value in read_map(shown, "properties").items() if key not in own}
    if wrong := sorted(key for key, value in counted.items() if given.get(key) != value):
        raise InvalidInput(f"properties.{wrong[0]} is what the job itself reports: it cannot be changed")
    return {key: value for key, value in given.items() if key not in counted}
