"""Outputs of jobs as paths in documents: `azureml://jobs/JOB/outputs/NAME/paths/PATH`. Source: az's surface 3.0."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from mlctl.errors import InvalidInput, NotFound

if TYPE_CHECKING:
    from mlctl.ops.session import Session

_OUTPUT = re.compile(
    r"(?i)(?:azureml:)?azureml://jobs/(?P<job>[^/]+)/outputs/(?P<output>[^/]+)(?:/paths/(?P<path>.*)|/)?"
)
# What a command wrote into `outputs` of its working folder, Azure's place for whatever has no name.
_ARTIFACTS = "artifacts"


def find_job_output(session: Session, text: str) -> Path | None:
    """Return where an output of a job lies, None for other texts; NotFound names the outputs that there are."""
    found = _OUTPUT.fullmatch(text)
    if found is None:
        return None
    from mlctl.ops import batch_jobs, job_files

    job = batch_jobs.look(session, found["job"])
    if not job.has_ended:
        raise InvalidInput(
            f"{text}: the job is {job.status}, its outputs can be used when it has ended",
            hint=f"mlctl job stream -n {job.row.name}",
        )
    places = job_files.find_outputs(job)
    if found["output"] == _ARTIFACTS:
        places[_ARTIFACTS] = job.folder / "work"
    place = places.get(found["output"])
    if place is None:
        known = ", ".join(sorted(places)) or "none"
        raise NotFound(f"{text}: the job has no output {found['output']}", hint=f"it has: {known}")
    path = place / (found["path"] or "").strip("/")
    if ".." in Path(found["path"] or "").parts or not path.exists():
        raise NotFound(f"{text}: there is no {path}", hint=f"ls {place}")
    return path
