"""Batch jobs: asked for, looked at, stopped, gone on with. Their coordinators (`mlctl.batch`) do the work."""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlctl.batch.folder import JobFolder
from mlctl.batch.launch import START_WITHIN_S, find_folder, is_coordinated, start_coordinator, stop_coordinator
from mlctl.batch.leftovers import end_leftover
from mlctl.batch.order import JobOrder, read_order, write_order
from mlctl.errors import BackendUnavailable, Conflict, InvalidInput, MlctlError
from mlctl.ops.batch_orders import Invocation, make_order, read_names, read_settings
from mlctl.ops.session import Session
from mlctl.registry import batch_endpoints, jobs
from mlctl.registry.jobs import JobRow
from mlctl.runtimes.mounts import make_links

if TYPE_CHECKING:
    from mlctl.ops.batch_targets import BatchTarget

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
_POLL_S = 0.1


@dataclass(frozen=True)
class Job:
    """A job with how far it is. status: Azure's word. progress: what its coordinator wrote last, {} before."""

    row: JobRow
    status: str
    progress: Mapping[str, Any]
    folder: Path

    @property
    def why(self) -> str:
        """Why it did not get to its end; empty when it did, or when that was wanted."""
        if self.status == jobs.NOT_RESPONDING:
            return "its coordinator is gone, killed or with the machine; what is committed is kept"
        return self.row.error or ""

    @property
    def hint(self) -> str:
        """What to do about how it ended."""
        if self.row.kind in ("batch", "pipeline") and self.status in ("Canceled", jobs.NOT_RESPONDING):
            return f"go on: mlctl batch resume -n {self.row.name}"
        if self.status != "Failed":
            return ""
        told = str(self.progress.get("hint") or "")
        can_go_on = not told and self.row.kind == "pipeline"
        return f"go on with what has failed: mlctl batch resume -n {self.row.name}" if can_go_on else told

    @property
    def scores(self) -> bool:
        """Whether it runs mini-batches: a batch job, or a pipeline's step of type parallel."""
        return self.row.kind == "batch" or self.row.spec.get("type") == "parallel"

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will come of it by itself."""
        return self.status in jobs.ENDED or self.status == jobs.NOT_RESPONDING


def invoke(session: Session, invocation: Invocation) -> Job:
    """Start a job and return at once; nothing is left behind when it is refused."""
    from mlctl.ops import pipeline_jobs
    from mlctl.ops.batch_targets import find_target

    if (known := _find_repeated(session, invocation)) is not None:
        return known
    invocation = read_names(invocation)
    if (pipeline := pipeline_jobs.find_deployment(session, invocation)) is not None:
        return pipeline_jobs.invoke(session, invocation, pipeline, read_settings(invocation))
    target = find_target(session, invocation)
    settings = read_settings(invocation)
    order = make_order(session, invocation, target, settings)
    if invocation.job_name is None or jobs.find(session.store, order.name) is None:
        _check_output(session, order)
    return _start(session, order, invocation, target)


def _find_repeated(session: Session, invocation: Invocation) -> Job | None:
    """Return the job that the same request has made already."""
    if invocation.request_id is None:
        return None
    row = jobs.find_request(session.store, invocation.request_id)
    return None if row is None else _look(session, row)


def _find_same(session: Session, order: JobOrder, target: BatchTarget) -> Job:
    """Return the job of that name, if it was asked for alike: a script that runs twice finds its first job.

    One whose maker was killed before it could be started is started now.
    """
    folder = find_folder(session.settings.home, order.name)
    known = None
    while (job := look(session, order.name)).row.kind == "batch" and (known := _read_order(folder)) is None:
        if job.has_ended:
            return _place(session, job.row, order, target)
        time.sleep(_POLL_S)  # another command is about to write it
    if known != order:
        raise Conflict(
            f"there is a job {order.name} already, and it does something else",
            hint=f"choose another --job-name, or see: mlctl job show -n {order.name}",
        )
    return look(session, order.name)


def _read_order(folder: JobFolder) -> JobOrder | None:
    try:
        return read_order(folder.order)
    except (OSError, ValueError):
        return None


def _check_output(session: Session, order: JobOrder) -> None:
    """Refuse an output that cannot be written, or that another job is about to write."""
    from mlctl.batch.assemble import refuse_existing

    output = order.output
    refuse_existing(output)
    folder = Path(output.folder)
    if folder.is_relative_to(find_folder(session.settings.home, order.name).path):
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".mlctl-{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InvalidInput(
            f"cannot write to the output folder {folder}: {error.strerror}", hint=f"ls -ld {folder}; df -h {folder}"
        ) from error
    for row in jobs.list_jobs(session.store):
        if row.has_ended or row.kind != "batch":
            continue
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            other = read_order(find_folder(session.settings.home, row.name).order).output
            if (other.folder, other.file_name) == (output.folder, output.file_name):
                raise Conflict(
                    f"job {row.name} writes {folder / output.file_name}, too, and has not ended",
                    hint="choose another --output-path, or --set output_file_name=NAME",
                )


def _start(session: Session, order: JobOrder, invocation: Invocation, target: BatchTarget) -> Job:
    check_name(order.name)
    session.store.require_room()
    # Written down first: of two commands that make the same job, one may touch its folder.
    try:
        row = jobs.insert(
            session.store,
            name=order.name,
            kind="batch",
            workspace=session.workspace,
            endpoint=target.endpoint,
            deployment=target.deployment,
            request_id=invocation.request_id,
            spec=describe_order(order, invocation.experiment_name),
        )
    except Conflict:
        if (known := _find_repeated(session, invocation)) is not None:
            return known
        return _find_same(session, order, target)
    return _place(session, row, order, target)


def _place(session: Session, row: JobRow, order: JobOrder, target: BatchTarget) -> Job:
    """Write what a job shall do, and start it."""
    folder = find_folder(session.settings.home, order.name)
    try:
        folder.make()
        make_links(folder.mount, session.settings.artifacts, target.plan)
        write_order(folder.order, order)
    except OSError as error:
        message = f"cannot write {folder.path}: {error.strerror}"
        jobs.set_state(session.store, row.name, "Failed", error=message)
        raise BackendUnavailable(message, hint=f"df -h {session.settings.home}") from error
    return start(session, row)


def check_name(name: str) -> None:
    """Refuse what is no name of a job."""
    if _NAME.fullmatch(name) is None:
        raise InvalidInput(f'--job-name: "{name}" is no name: up to 255 letters, digits, _ and -, the first no sign')


def start(session: Session, row: JobRow) -> Job:
    """Start the coordinator of a job that has none."""
    with contextlib.suppress(OSError):
        find_folder(session.settings.home, row.name).starting.touch()
    try:
        start_coordinator(session.settings.home, row.name, session.environ)
    except MlctlError as error:
        jobs.set_state(session.store, row.name, "Failed", error=error.message)
        raise
    return _look(session, jobs.get(session.store, row.name))


def describe_order(order: JobOrder, experiment: str | None) -> dict[str, Any]:
    """Return what is shown of a job: its settings, without the variables, which may hold secrets."""
    return {
        "experiment_name": experiment or "Default",
        "input": {"mode": order.input.mode, "paths": list(order.input.paths)},
        "output": {"folder": order.output.folder, "file_name": order.output.file_name, "format": order.output.format},
        "mini_batch_size": order.mini_batch_size,
        "instance_count": order.instance_count,
        "max_concurrency_per_instance": order.max_concurrency_per_instance,
        "error_threshold": order.error_threshold,
        "output_action": order.output.action,
        "fail_on_failed_items": order.fail_on_failed_items,
    }


def look(session: Session, name: str) -> Job:
    """Return a job; NotFound names the newest ones."""
    return _look(session, jobs.get(session.store, name))


def list_of_endpoint(session: Session, endpoint: str) -> list[Job]:
    """Return an endpoint's jobs, the newest first; those of one that was deleted as well. NotFound if it never was."""
    owner = batch_endpoints.find_endpoint(session.store, endpoint)
    found = list_all(session, endpoint=owner.name if owner else endpoint)
    if owner is None and not found:
        batch_endpoints.get_endpoint(session.store, endpoint)
    return found


def list_all(session: Session, *, endpoint: str | None = None, limit: int | None = None) -> list[Job]:
    """Return jobs, the newest first."""
    workspace = None if endpoint else session.workspace
    return [
        _look(session, row)
        for row in jobs.list_jobs(session.store, endpoint=endpoint, workspace=workspace, limit=limit)
    ]


def list_page(
    session: Session, *, parent: str | None, archived: bool | None, limit: int | None
) -> tuple[list[Job], int]:
    """Return the newest jobs, `limit` at most, and how many there are beyond; only those are looked at.

    parent: its steps instead. archived: only what is archived, or only what is not; None: both.
    """
    if parent is None:
        rows = jobs.list_jobs(session.store, workspace=session.workspace)
    else:
        rows = jobs.list_steps(session.store, jobs.get(session.store, parent).name)
    found = [row for row in rows if archived is None or row.archived == archived]
    shown = found[:limit]
    return [_look(session, row) for row in shown], len(found) - len(shown)


def _look(session: Session, row: JobRow) -> Job:
    folder = find_folder(session.settings.home, row.name)
    status = row.state
    # A step has no coordinator of its own.
    owner = find_folder(session.settings.home, jobs.split_step(row.name)[0])
    if not row.has_ended and not is_coordinated(owner):
        # Its last words may have been written meanwhile.
        row = jobs.get(session.store, row.name)
        status = row.state if row.has_ended or (folder == owner and _is_starting(row, folder)) else jobs.NOT_RESPONDING
    return Job(row, status, folder.read_progress(), folder.path)


def _is_starting(row: JobRow, folder: JobFolder) -> bool:
    """Say whether the coordinator of a job may be about to take it over."""
    if row.state != "NotStarted":
        return False
    since = row.created_at
    with contextlib.suppress(OSError):
        since = max(since, folder.starting.stat().st_mtime)
    return time.time() - since < START_WITHIN_S


def cancel(session: Session, name: str) -> Job:
    """Ask a job to stop, and wait until it has; Conflict for one that has ended."""
    job = look(session, name)
    refuse_step(name, "canceled", "cancel")
    if job.row.has_ended:
        raise Conflict(f"job {name} has ended: it is {job.status}", hint=f"mlctl job show -n {name}")
    jobs.set_state(session.store, name, "CancelRequested", unless=jobs.ENDED)
    folder = JobFolder(job.folder)
    if not stop_coordinator(folder):
        # Nobody works on it.
        end_leftovers(session, name)
        jobs.set_state(session.store, name, "Canceled", unless=jobs.ENDED)
    session.watcher.begin(f"{name} is being canceled")
    deadline = None if session.timeout_s is None else time.monotonic() + session.timeout_s
    while not (job := look(session, name)).has_ended and (deadline is None or time.monotonic() < deadline):
        time.sleep(_POLL_S)
    if job.status == jobs.NOT_RESPONDING:
        jobs.set_state(session.store, name, "Canceled", unless=jobs.ENDED)
    return look(session, name)


def refuse_step(name: str, done: str, verb: str) -> None:
    """Refuse what is done with whole jobs only. done: the verb's participle."""
    owner, step = jobs.split_step(name)
    if step:
        raise InvalidInput(f"{name} is a step: it is {done} with its job", hint=f"mlctl job {verb} -n {owner}")


def end_leftovers(session: Session, name: str) -> None:
    """End what a killed coordinator left running, and say so of its steps."""
    end_leftover(find_folder(session.settings.home, name), name)
    for step in jobs.list_steps(session.store, name):
        folder = find_folder(session.settings.home, step.name)
        stop_coordinator(folder)
        end_leftover(folder, step.name)
        jobs.set_state(session.store, step.name, "Canceled", error="the job was stopped", unless=jobs.ENDED)


def list_steps(session: Session, name: str) -> list[Job]:
    """Return the steps of a pipeline job, in the order in which they can run; none for other jobs."""
    return [_look(session, row) for row in jobs.list_steps(session.store, name)]


def list_metrics(job: Job) -> dict[str, float]:
    """Return the last values of what a job has logged with MLflow."""
    from mlctl.batch.metrics import read_metrics

    return read_metrics(JobFolder(job.folder))


def resume(session: Session, name: str, *, scores_changed: bool = False) -> Job:
    """Go on with a job that was interrupted, failed or was canceled: what is committed is not scored again."""
    job = look(session, name)
    refuse_step(name, "gone on with", "show")
    if job.row.kind not in ("batch", "pipeline"):
        raise InvalidInput(
            f"{name} is a {job.row.kind} job: only batch and pipeline jobs can be resumed", hint="mlctl job create -f …"
        )
    if scores_changed and job.row.kind == "pipeline":
        raise InvalidInput(
            "--changed: a pipeline job goes on with the steps that are not completed",
            hint=f"mlctl batch resume -n {name}",
        )
    if is_coordinated(JobFolder(job.folder)):
        raise Conflict(f"job {name} is running", hint=f"mlctl job stream -n {name}")
    if job.status == "Completed" and not scores_changed:
        raise Conflict(
            f"job {name} is Completed: there is nothing left to do",
            hint="mlctl batch invoke …"
            if job.row.kind == "pipeline"
            else f"if its input has changed: mlctl batch resume -n {name} --changed",
        )
    folder = JobFolder(job.folder)
    if scores_changed:
        (folder.path / "changed").touch()
    folder.progress.unlink(missing_ok=True)
    for step in jobs.list_steps(session.store, name):
        jobs.set_state(session.store, step.name, "NotStarted", unless=("Completed",))
    jobs.set_state(session.store, name, "NotStarted")
    return start(session, jobs.get(session.store, name))


def wait(session: Session, name: str) -> Job:
    """Return a job when it has ended."""
    while not (job := look(session, name)).has_ended:
        time.sleep(_POLL_S)
    return job


def set_archived(session: Session, name: str, *, archived: bool) -> None:
    """Hide a job from lists, or show it again."""
    jobs.set_archived(session.store, name, archived=archived)


def count_failed(job: Job) -> int:
    """Return how many items could not be scored."""
    return int(job.progress.get("items_failed") or 0)
