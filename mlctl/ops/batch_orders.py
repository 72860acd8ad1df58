"""What an invocation of a batch deployment amounts to: its settings, input and output, and the order of its job."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlctl.batch.launch import find_folder
from mlctl.batch.order import InputMode, JobInput, JobOrder, JobOutput, OutputFormat
from mlctl.entities.document import refuse_document
from mlctl.entities.stored import read_map
from mlctl.errors import InvalidInput
from mlctl.ops.datastores import find_datastore
from mlctl.ops.session import Session
from mlctl.registry import jobs
from mlctl.runtimes.mounts import plan_mount

if TYPE_CHECKING:
    from mlctl.ops.batch_targets import BatchTarget

# What workers need beside the user's packages to read tables and to write them.
TABLE_NEEDS = ("pandas", "pyarrow")
_FORBIDDEN_IN_FILE_NAMES = re.compile(r'[~"#%&*:<>?/\\{|}]')
_SUFFIXES: Mapping[str, str] = {"az": ".csv", "csv": ".csv", "jsonl": ".jsonl", "parquet": ".parquet"}
_FILE_KEYS = ("inputs", "outputs", "deployment", "endpoint", "$schema")
_DEFAULT_FILE = "predictions.csv"


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
class Settings:
    """What `--set` and `--file` said. inputs, outputs: by name, as maps."""

    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    others: Mapping[str, Any]


def read_names(invocation: Invocation) -> Invocation:
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


def read_settings(invocation: Invocation) -> Settings:
    """Return what `--set` and `--file` say; InvalidInput names settings that there are not."""
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


def make_order(session: Session, invocation: Invocation, target: BatchTarget, settings: Settings) -> JobOrder:
    """Return what the job of an invocation shall do; its name is made up where none is given."""
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
        raise InvalidInput(
            f"{what}: {text} is not on this machine", hint="give a folder of this machine, such as ./outputs"
        )
    return str(datastore or (folder / Path(text.removeprefix("file://")).expanduser()).absolute())


def _find_output_folder(session: Session, text: str | None, job: str) -> Path:
    if text is None:
        return find_folder(session.settings.home, job).path / "score"
    return Path(find_place(session, text, Path.cwd(), "--output-path"))


def _make_name(session: Session, target: BatchTarget) -> str:
    while True:
        name = f"{target.label}-{secrets.token_hex(4)}"
        if jobs.find(session.store, name) is None:
            return name
