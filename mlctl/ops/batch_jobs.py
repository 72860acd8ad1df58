"""Batch jobs: asked for, looked at, stopped, gone on with. Their coordinators (`mlctl.batch`) do the work."""

from __future__ import annotations

import contextlib
import re
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlctl.batch.folder import JobFolder
from mlctl.batch.launch import START_WITHIN_S, find_folder, is_coordinated, start_coordinator, stop_coordinator
from mlctl.batch.leftovers import end_leftover
from mlctl.batch.order import InputMode, JobInput, JobOrder, JobOutput, OutputFormat, read_order, write_order
from mlctl.entities.document import refuse_document
from mlctl.entities.stored import read_map
from mlctl.errors import BackendUnavailable, Conflict, InvalidInput, MlctlError, NotFound
from mlctl.ops.datastores import find_datastore
from mlctl.ops.session import Session
from mlctl.registry import batch_endpoints, jobs
from mlctl.registry.jobs import JobRow
from mlctl.runtimes.mounts import make_links, plan_mount

if TYPE_CHECKING:
    from mlctl.ops.batch_targets import BatchTarget

# What workers need beside the user's packages to read tables and to write them.
TABLE_NEEDS = ("pandas", "pyarrow")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,254}")
_FORBIDDEN_IN_FILE_NAMES = re.compile(r'[~"#%&*:<>?/\\{|}]')
_SUFFIXES: Mapping[str, str] = {"az": ".csv", "csv": ".csv", "jsonl": ".jsonl", "parquet": ".parquet"}
_FILE_KEYS = ("inputs", "outputs", "deployment", "endpoint", "$schema")
_DEFAULT_FILE = "predictions.csv"
_POLL_S = 0.1


@dataclass(frozen=True)
class Invocation:
    """What `batch invoke` was told; None: the deployment's own setting holds.

    data: the input as it was typed. rows: tables, handed over as DataFrames. input_key: of the rows in an online
    script's body. settings: `--set` tokens that are left. values: inputs, outputs and settings as maps, from callers
    that have no command line.
    """

    endpoint: str | None = None
    deployment: str | None = None
    from_deployment: str | None = None
    data: str | None = None
    data_type: str | None = None
    file: Path | None = None
    settings: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict[str, Any])
    rows: bool = False
    input_key: str | None = None
    output_path: str | None = None
    output_format: str | None = None
    output_header: bool | None = None
    output_with_input: bool | None = None
    instance_count: int | None = None
    mini_batch_size: int | None = None
    job_name: str | None = None
    experiment_name: str | None = None
    fails_on_failed_items: bool = False
    request_id: str | None = None


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
    invocation = _read_names(invocation)
    if (pipeline := pipeline_jobs.find_deployment(session, invocation)) is not None:
        return pipeline_jobs.invoke(session, invocation, pipeline, _read_settings(invocation))
    target = find_target(session, invocation)
    settings = _read_settings(invocation)
    order = _make_order(session, invocation, target, settings)
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


@dataclass(frozen=True)
class Settings:
    """What `--set` and `--file` said. inputs, outputs: by name, as maps."""

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    others: Mapping[str, Any]


def _read_names(invocation: Invocation) -> Invocation:
    """Take the names that an invocation's file gives, where the command line gives none. Source: az's surface 3.9."""
    from mlctl.ops.loading import read_document

    if invocation.file is None:
        return invocation
    document = read_document(invocation.file)
    if unknown := [key for key in document.data if key not in _FILE_KEYS]:
        problem = document.problem((unknown[0],), "unknown field", f"known: {', '.join(_FILE_KEYS)}", at_key=True)
        raise refuse_document(document.file, [problem])
    if invocation.from_deployment is not None:
        return invocation
    names = {key: document.data.get(key) for key in ("deployment", "endpoint")}
    given = {key: value for key, value in names.items() if isinstance(value, str) and getattr(invocation, key) is None}
    return replace(invocation, **given)


def _read_settings(invocation: Invocation) -> Settings:
    from mlctl.entities.batch_invocation import BatchInvocation
    from mlctl.entities.overrides import apply_overrides
    from mlctl.ops.loading import read_document

    given: dict[str, Any] = {**invocation.values}
    if invocation.file is not None:
        document = read_document(invocation.file).data
        given |= {key: value for key, value in document.items() if key in ("inputs", "outputs")}
    changed = apply_overrides(given, invocation.settings, BatchInvocation)
    others = {key: value for key, value in changed.items() if key not in ("inputs", "outputs")}
    known = [name for name in BatchInvocation.list_fields() if name not in ("inputs", "outputs")]
    if unknown := sorted(set(others) - set(known)):
        raise InvalidInput(
            f"--set {unknown[0]}: no such setting of a job",
            hint=f"there are: inputs.NAME.path, outputs.NAME.path, {', '.join(known)}",
        )
    return Settings(read_map(changed, "inputs"), read_map(changed, "outputs"), others)


def _read_path(parts: Mapping[str, Any], name: str) -> tuple[str | None, str | None]:
    """Return the path and the type of an input or an output."""
    given = read_map(parts, name) if isinstance(parts[name], Mapping) else {}
    path, kind = given.get("path"), given.get("type")
    return (path if isinstance(path, str) else None), (kind if isinstance(kind, str) else None)


def _make_order(session: Session, invocation: Invocation, target: BatchTarget, settings: Settings) -> JobOrder:
    spec, others = target.spec, settings.others
    retry = {**read_map(spec, "retry_settings"), **read_map(others, "retry_settings")}
    properties = read_map(spec, "properties")

    def choose(name: str, given: Any, default: Any) -> Any:
        for value in (given, others.get(name), spec.get(name)):
            if value is not None:
                return value
        return default

    kind, paths = _find_input(session, invocation, settings)
    mode = _choose_mode(invocation, target, properties, kind)
    name = invocation.job_name or _make_name(session, target)
    output = _choose_output(session, invocation, spec, settings, name, default="csv" if target.no_code else "az")
    compute = read_map(others, "compute")
    resources = read_map(spec, "resources")
    instances = choose("instance_count", invocation.instance_count or compute.get("instance_count"), None)
    needs_tables = mode != "files" or output.format != "az" or output.with_input or target.no_code is not None
    mount = plan_mount(find_folder(session.settings.home, name).mount, target.plan)
    return JobOrder(
        name=name,
        python=str(target.ensure_python(TABLE_NEEDS if needs_tables else ())),
        app_root=str(mount.app_root),
        entry_script=target.plan["entry_script"],
        model_dir=str(mount.model_dir) if mount.model_dir else None,
        no_code=target.no_code,
        environment_variables=target.environment_variables,
        input=JobInput(
            mode, tuple(paths), str(invocation.input_key or properties.get("mlctl.input_key") or "features")
        ),
        output=output,
        mini_batch_size=_count("mini_batch_size", choose("mini_batch_size", invocation.mini_batch_size, 10)),
        instance_count=_count("instance_count", instances or resources.get("instance_count") or 1),
        max_concurrency_per_instance=_count(
            "max_concurrency_per_instance", choose("max_concurrency_per_instance", None, 1)
        ),
        max_retries=_count("max_retries", retry.get("max_retries", 3), least=0),
        timeout_s=float(retry.get("timeout") or 30),
        error_threshold=_count("error_threshold", choose("error_threshold", None, -1), least=-1),
        mini_batch_error_threshold=_count(
            "mini_batch_error_threshold",
            choose("mini_batch_error_threshold", None, properties.get("mlctl.mini_batch_error_threshold", -1)),
            least=-1,
        ),
        logging_level=str(choose("logging_level", None, "info")).lower(),
        fail_on_failed_items=invocation.fails_on_failed_items,
        cluster=target.cluster,
    )


def _count(name: str, value: Any, *, least: int = 1) -> int:
    try:
        number = int(str(value))
    except ValueError:
        raise InvalidInput(f'{name}: "{value}" is not a whole number') from None
    if number < least:
        raise InvalidInput(f"{name}: {number} is less than {least}")
    return number


def _find_input(session: Session, invocation: Invocation, settings: Settings) -> tuple[str, list[str]]:
    """Return the kind and the paths of the one input."""
    from mlctl.ops.data import resolve_input

    if settings.inputs:
        if len(settings.inputs) > 1:
            names = ", ".join(sorted(settings.inputs))
            raise InvalidInput(f"a model deployment has one input, not {len(settings.inputs)}: {names}")
        path, given_kind = _read_path(settings.inputs, next(iter(settings.inputs)))
        if path is None:
            raise InvalidInput("inputs: a model deployment's input is a path", hint="--set inputs.data.path=./folder")
        kind, paths = resolve_input(session, path, Path.cwd())
        return given_kind or kind, paths
    if invocation.data is None:
        raise InvalidInput("there is no input", hint="mlctl batch invoke … --input PATH, or azureml:NAME:VERSION")
    if invocation.data_type not in (None, "uri_file", "uri_folder"):
        raise InvalidInput(f"--input-type: {invocation.data_type} is neither uri_folder nor uri_file")
    kind, paths = resolve_input(session, invocation.data, Path.cwd())
    return invocation.data_type or kind, paths


def _choose_mode(invocation: Invocation, target: BatchTarget, properties: Mapping[str, Any], kind: str) -> InputMode:
    if target.is_online:
        return "json"
    if invocation.rows or kind == "mltable":
        return "json" if properties.get("mlctl.input") == "json" else "rows"
    mode = str(properties.get("mlctl.input") or "files")
    return "rows" if mode == "rows" else "json" if mode == "json" else "files"


def _choose_output(
    session: Session,
    invocation: Invocation,
    spec: Mapping[str, Any],
    settings: Settings,
    job: str,
    *,
    default: OutputFormat,
) -> JobOutput:
    properties = read_map(spec, "properties")
    format_ = invocation.output_format or str(properties.get("mlctl.output_format") or default)
    if format_ not in _SUFFIXES:
        raise InvalidInput(f"the output format {format_} is none of {', '.join(_SUFFIXES)}")
    file_name = settings.others.get("output_file_name") or spec.get("output_file_name") or _DEFAULT_FILE
    if file_name == _DEFAULT_FILE:
        file_name = Path(_DEFAULT_FILE).stem + _SUFFIXES[format_]
    if not isinstance(file_name, str) or _FORBIDDEN_IN_FILE_NAMES.search(file_name) or file_name in (".", ".."):
        raise InvalidInput(f"output_file_name: {file_name} is no file name: a folder goes to --output-path")
    output_path = invocation.output_path
    for name in settings.outputs:
        output_path = _read_path(settings.outputs, name)[0] or output_path
    output = JobOutput(
        action="summary_only" if spec.get("output_action") == "summary_only" else "append_row",
        folder=str(_find_output_folder(session, output_path, job)),
        file_name=file_name,
        format=_as_format(format_),
        header=_choose_flag(invocation.output_header, properties.get("mlctl.output_header")),
        with_input=_choose_flag(invocation.output_with_input, properties.get("mlctl.output_with_input")),
    )
    return output


def _as_format(text: str) -> OutputFormat:
    match text:
        case "csv" | "jsonl" | "parquet":
            return text
        case _:
            return "az"


def _choose_flag(given: bool | None, setting: Any) -> bool:
    return given if given is not None else str(setting or "").lower() == "true"


def find_place(session: Session, text: str, folder: Path, what: str) -> str:
    """Return where an output goes: a datastore's folder, or a path that starts from `folder`. what: for messages."""
    datastore = find_datastore(session.settings, text)
    if datastore is None and "://" in text and not text.startswith("file://"):
        raise InvalidInput(f"{what}: {text} is not on this machine", hint="give a folder: path: ./outputs")
    return str(datastore or (folder / Path(text.removeprefix("file://")).expanduser()).absolute())


def _find_output_folder(session: Session, text: str | None, job: str) -> Path:
    if text is None:
        return find_folder(session.settings.home, job).path / "score"
    if (datastore := find_datastore(session.settings, text)) is not None:
        return datastore
    if "://" in text and not text.startswith("file://"):
        raise InvalidInput(
            f"--output-path: {text} is not on this machine", hint="give a folder: --output-path ./scores"
        )
    return Path(text.removeprefix("file://")).expanduser().absolute()


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


def _make_name(session: Session, target: BatchTarget) -> str:
    while True:
        name = f"{target.label}-{secrets.token_hex(4)}"
        if jobs.find(session.store, name) is None:
            return name


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
    _refuse_step(name, "canceled", "cancel")
    if job.row.has_ended:
        raise Conflict(f"job {name} has ended: it is {job.status}", hint=f"mlctl job show -n {name}")
    jobs.set_state(session.store, name, "CancelRequested", unless=jobs.ENDED)
    folder = JobFolder(job.folder)
    if not stop_coordinator(folder):
        # Nobody works on it.
        _end_leftovers(session, name)
        jobs.set_state(session.store, name, "Canceled", unless=jobs.ENDED)
    session.watcher.begin(f"{name} is being canceled")
    deadline = None if session.timeout_s is None else time.monotonic() + session.timeout_s
    while not (job := look(session, name)).has_ended and (deadline is None or time.monotonic() < deadline):
        time.sleep(_POLL_S)
    if job.status == jobs.NOT_RESPONDING:
        jobs.set_state(session.store, name, "Canceled", unless=jobs.ENDED)
    return look(session, name)


def _refuse_step(name: str, done: str, verb: str) -> None:
    owner, step = jobs.split_step(name)
    if step:
        raise InvalidInput(f"{name} is a step: it is {done} with its job", hint=f"mlctl job {verb} -n {owner}")


def _end_leftovers(session: Session, name: str) -> None:
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
    _refuse_step(name, "gone on with", "show")
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


@dataclass(frozen=True)
class Download:
    """What `job download` copies: from, and to below the target folder."""

    source: Path
    target: Path


def download(session: Session, name: str, *, folder: Path, output_name: str | None, takes_all: bool) -> list[Path]:
    """Copy a job's outputs, logs and failed items; returns what was written. Source: az-ml-surface 1.8."""
    import shutil

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
    import shutil

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


def with_request(invocation: Invocation, request_id: str) -> Invocation:
    """Return an invocation that is made once, however often it is repeated."""
    return replace(invocation, request_id=request_id)
