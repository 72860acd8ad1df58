"""What a schedule starts: a batch invocation, or a job of a file, of a map or of a pipeline that has run."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlctl.entities.document import Document
from mlctl.entities.names import find_name_fault
from mlctl.entities.stored import read_map
from mlctl.errors import InvalidInput, NotFound, Problem
from mlctl.ops import batch_jobs
from mlctl.ops.batch_jobs import Job
from mlctl.ops.batch_orders import Invocation
from mlctl.ops.session import Session
from mlctl.registry import batch_deployments, batch_endpoints, jobs
from mlctl.registry.schedules import ScheduleRow

if TYPE_CHECKING:
    from mlctl.entities.command_job import CommandJob
    from mlctl.entities.pipeline_job import PipelineJob
    from mlctl.ops.pipeline_planning import Request

_EXPRESSION = re.compile(r"\$\{\{\s*(?P<name>[\w.]+)\s*\}\}")


def describe(row: ScheduleRow) -> str:
    """Say in a line what a schedule starts."""
    given = row.spec["create_job"]
    if isinstance(given, str):
        return given
    if "endpoint" in given:
        deployment = given.get("deployment")
        return f"batch endpoint {given['endpoint']}" + (f", deployment {deployment}" if deployment else "")
    return str(given.get("job") or given.get("command"))


def find_missing(session: Session, document: Document, folder: Path) -> list[Problem]:
    """List what a schedule's file names and is not there: endpoint, deployment, job, a job's file."""
    given = document.data.get("create_job")
    path: tuple[str, ...] = ("create_job",)
    if isinstance(given, Mapping):
        fields: Mapping[str, Any] = {**given}  # pyright: ignore[reportUnknownArgumentType]
        if "endpoint" in fields:
            return _find_missing_target(session, document, fields)
        path, given = (*path, "job"), fields.get("job")
    if not isinstance(given, str):
        return []
    try:
        if given.startswith("azureml:"):
            jobs.get(session.store, _name_repeated(given))
        else:
            _find_job_file(folder, given)
    except NotFound as error:
        return [document.not_found(path, error.message.removeprefix("create_job: "), error.hint)]
    return []


def _find_missing_target(session: Session, document: Document, given: Mapping[str, Any]) -> list[Problem]:
    endpoint, deployment = given["endpoint"], given.get("deployment")
    # Whatever is no name is told by the checks of the text.
    if not isinstance(endpoint, str) or find_name_fault(endpoint) is not None:
        return []
    path = ("create_job", "endpoint")
    try:
        owner = batch_endpoints.get_endpoint(session.store, endpoint)
        path = ("create_job", "deployment")
        if isinstance(deployment, str):
            batch_deployments.get_deployment(session.store, owner.name, deployment)
    except NotFound as error:
        return [document.not_found(path, error.message, error.hint)]
    return []


def check(session: Session, row: ScheduleRow) -> None:
    """Refuse a schedule whose job could not be started."""
    from mlctl.ops.batch_targets import find_target
    from mlctl.ops.pipeline_jobs import find_deployment

    given = row.spec["create_job"]
    if not isinstance(given, str) and "endpoint" in given:
        invocation = make_invocation(row, {})
        if find_deployment(session, invocation) is None:
            find_target(session, invocation)
    elif find_repeated(row) is not None:
        make_request(session, row, "", {})
    else:
        load_job(row, {})


def start(session: Session, row: ScheduleRow, *, name: str, due_at: int) -> Job:
    """Start what a schedule says, as a job of that name."""
    given = row.spec["create_job"]
    values = {"name": name, "creation_context.trigger_time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(due_at))}
    if isinstance(given, Mapping) and "endpoint" in given:
        return batch_jobs.invoke(session, make_invocation(row, values))
    return _start_job(session, row, name, values)


def make_invocation(row: ScheduleRow, values: Mapping[str, str]) -> Invocation:
    """Return the invocation that a schedule is to make; values: what expressions stand for."""
    given = row.spec["create_job"]
    ports = {side: _fill_ports(read_map(given, side), values, Path(row.folder)) for side in ("inputs", "outputs")}
    return Invocation(
        endpoint=given["endpoint"],
        deployment=given.get("deployment"),
        values={**{side: found for side, found in ports.items() if found}, **read_map(given, "settings")},
        job_name=values.get("name"),
        experiment_name=given.get("experiment_name"),
    )


def _fill_ports(ports: Mapping[str, Any], values: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """Fill in expressions, and let relative paths start from the schedule's own folder."""
    found: dict[str, Any] = {}
    for port, value in ports.items():
        if isinstance(value, Mapping):
            part: dict[str, Any] = {**value}  # pyright: ignore[reportUnknownArgumentType]
            if isinstance(part.get("path"), str):
                part["path"] = _anchor(_fill(part["path"], values), folder)
            found[port] = part
        else:
            found[port] = _fill(value, values) if isinstance(value, str) else value
    return found


def _fill(text: str, values: Mapping[str, str]) -> str:
    return _EXPRESSION.sub(lambda match: values.get(match["name"], match[0]), text)


def _anchor(path: str, folder: Path) -> str:
    is_elsewhere = "://" in path or path.startswith(("azureml:", "file:", "/", "~"))
    return path if is_elsewhere else str(folder / path)


def _start_job(session: Session, row: ScheduleRow, name: str, values: Mapping[str, str]) -> Job:
    from mlctl.ops import command_jobs, pipeline_jobs

    if find_repeated(row) is not None:
        return pipeline_jobs.start(session, make_request(session, row, name, values))
    entity, file = load_job(row, {**values, "name": name})
    return command_jobs.start(session, entity, file)


def find_repeated(row: ScheduleRow) -> str | None:
    """Return the name of the job that a schedule runs again; None for other schedules."""
    given = row.spec["create_job"]
    source = given if isinstance(given, str) else given.get("job")
    if source is None or not source.startswith("azureml:"):
        return None
    return _name_repeated(source)


def _name_repeated(source: str) -> str:
    return source.removeprefix("azureml:").rpartition("/")[2]


def make_request(session: Session, row: ScheduleRow, name: str, values: Mapping[str, str]) -> Request:
    """Return a pipeline that has run with what its schedule says instead; what it was given is the default."""
    from mlctl.ops.pipeline_planning import Request

    former = jobs.get(session.store, find_repeated(row) or "")
    if former.kind != "pipeline":
        raise InvalidInput(
            f"create_job: {former.name} is a {former.kind} job, only pipeline jobs are run again",
            hint="name its file instead: create_job: ./train.yml",
        )
    given = row.spec["create_job"]
    changes: Mapping[str, Any] = {} if isinstance(given, str) else given
    folder = Path(row.folder)
    definition = former.spec["definition"]
    shown = ("display_name", "experiment_name", "description", "tags", "properties", "compute")
    return Request(
        name=name,
        label=former.name,
        definition=definition,
        inputs=_fill_ports(read_map(changes, "inputs"), values, folder),
        outputs=_fill_ports(read_map(changes, "outputs"), values, folder),
        settings={**read_map(definition, "settings"), **read_map(changes, "settings")},
        folder=folder,
        shown={"experiment_name": former.spec.get("experiment_name") or "Default"}
        | {key: changes[key] for key in shown if key in changes},
    )


def load_job(row: ScheduleRow, values: Mapping[str, str]) -> tuple[CommandJob | PipelineJob, Path]:
    """Return the job that a schedule starts, and the file that its paths start beside. values: of expressions.

    A job's file is read anew for each run: a change takes effect from the next run on.
    """
    from mlctl.entities.document import make_document
    from mlctl.entities.pipeline_job import job_class
    from mlctl.ops.loading import load, parse_checked

    given = row.spec["create_job"]
    folder = Path(row.folder)
    changes: dict[str, Any] = {} if isinstance(given, str) else {**given}
    source = given if isinstance(given, str) else changes.pop("job", None)
    for side in ("inputs", "outputs"):
        if side in changes:
            changes[side] = _fill_ports(changes[side], values, folder)
    if source is None:
        data, file = changes, folder / f"schedule {row.name}"
    else:
        file = _find_job_file(folder, source)
        data = _merge(load(file, job_class).to_document(), changes, file)
    if "name" in values:
        data["name"] = values["name"]
    return parse_checked(make_document(data, str(file)), job_class(data)), file


def _find_job_file(folder: Path, source: str) -> Path:
    file = folder / source.removeprefix("file:")
    if not file.is_file():
        raise NotFound(f"create_job: there is no file {file}", hint=f"ls -l {file.parent}")
    return file


def _merge(job: dict[str, Any], changes: Mapping[str, Any], file: Path) -> dict[str, Any]:
    """Return a job's document with what its schedule says instead; maps are merged."""
    kind = changes.get("type", job["type"])
    if kind != job["type"]:
        raise InvalidInput(f"create_job.type: {file} is a {job['type']} job, not a {kind} job")
    merged = {**job, **changes}
    for side in ("inputs", "outputs", "environment_variables", "tags", "properties", "settings"):
        if side in changes:
            merged[side] = {**read_map(job, side), **changes[side]}
    if kind == "command":
        merged.pop("settings", None)
    return merged
