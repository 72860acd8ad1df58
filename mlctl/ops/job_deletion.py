"""`job delete`: frees what a job holds on the disk. Not Azure's, which keeps jobs for ever."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Generator
from contextlib import contextmanager

from mlctl.batch.folder import JobFolder
from mlctl.errors import BackendUnavailable, Conflict
from mlctl.ops import batch_jobs, scheduled_jobs
from mlctl.ops.session import Session
from mlctl.registry import jobs, schedules

# No job's name begins with a dot.
_TRASH = ".deleted-"


def delete(session: Session, name: str) -> None:
    """Remove a job that has ended: its folder with logs and outputs that lie there, its steps, its name.

    What it wrote elsewhere stays. Conflict for one that runs, or that a schedule runs again.
    """
    job = batch_jobs.look(session, name)
    batch_jobs.refuse_step(name, "deleted", "delete")
    if not job.has_ended:
        raise Conflict(f"job {name} has not ended: it is {job.status}", hint=f"mlctl job cancel -n {name}")
    _refuse_scheduled(session, name)
    with _hold(JobFolder(job.folder)):
        batch_jobs.end_leftovers(session, name)
        # Out of the way in one step: of a deletion that is cut short no half of a job is left.
        trash = job.folder.with_name(f"{_TRASH}{name}")
        try:
            if job.folder.exists():
                shutil.rmtree(trash, ignore_errors=True)
                job.folder.rename(trash)
        except OSError as error:
            raise BackendUnavailable(
                f"cannot remove {job.folder}: {error.strerror}", hint=f"ls -ld {job.folder.parent}"
            ) from error
        jobs.delete(session.store, name)
    for left in job.folder.parent.glob(f"{_TRASH}*"):
        shutil.rmtree(left, ignore_errors=True)


def _refuse_scheduled(session: Session, name: str) -> None:
    for row in schedules.list_schedules(session.store, session.workspace):
        if scheduled_jobs.find_repeated(row) == name:
            raise Conflict(f"schedule {row.name} runs job {name} again", hint=f"mlctl schedule delete -n {row.name}")


@contextmanager
def _hold(folder: JobFolder) -> Generator[None]:
    """Keep coordinators from the job meanwhile; Conflict when one has just begun."""
    try:
        lock = folder.lock.open("a")
    except OSError:  # its folder is gone, or cannot be written to, which the removal will tell
        yield
        return
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            name = folder.path.name
            raise Conflict(f"job {name} is running again", hint=f"mlctl job cancel -n {name}") from None
        yield
