"""Command jobs: a YAML file becomes a command that a coordinator runs on this machine."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlctl.batch.command import CommandOrder, write_command
from mlctl.batch.launch import find_folder
from mlctl.entities.command_job import CommandJob
from mlctl.entities.stored import read_map
from mlctl.errors import InvalidInput, Problem
from mlctl.ops import batch_jobs, batch_orders, environments, ports
from mlctl.ops.batch_jobs import Job
from mlctl.ops.ports import LEFT_OUT, Value
from mlctl.ops.session import Session
from mlctl.registry import artifacts, jobs
from mlctl.runtimes.environments import own_interpreter

if TYPE_CHECKING:
    from mlctl.entities.pipeline_job import PipelineJob


def check(file: Path, *, overrides: Sequence[str] = ()) -> tuple[Problem, ...]:
    """Return what is wrong with a job's file; nothing is looked up or started."""
    from mlctl.entities.pipeline_job import job_class
    from mlctl.ops.loading import load

    try:
        load(file, job_class, overrides=overrides)
    except InvalidInput as error:
        return error.problems or (Problem(error.message, str(file), hint=error.hint),)
    return ()


def create(session: Session, *, file: Path, name: str | None = None, overrides: Sequence[str] = ()) -> Job:
    """Start a job and return at once; nothing is left behind when it is refused."""
    from mlctl.entities.pipeline_job import job_class
    from mlctl.ops.loading import load

    return start(session, load(file, job_class, overrides=overrides, options={"name": name}), file)


def start(session: Session, entity: CommandJob | PipelineJob, file: Path) -> Job:
    """Start a job that a checked document describes; file: what its relative paths start beside."""
    from mlctl.entities.pipeline_job import PipelineJob

    if isinstance(entity, PipelineJob):
        from mlctl.ops import pipeline_jobs

        return pipeline_jobs.create(session, entity, file)
    spec = entity.to_document()
    folder = file.absolute().parent
    chosen = spec.get("name") or f"command-{secrets.token_hex(4)}"
    batch_jobs.check_name(chosen)
    inputs = {each: _find_input(session, each, value, folder) for each, value in read_map(spec, "inputs").items()}
    home = find_folder(session.settings.home, chosen)
    outputs = {
        each: _find_output(session, value, home.path / "outputs" / each, folder)
        for each, value in read_map(spec, "outputs").items()
    }
    python = _find_python(session, spec.get("environment"), file)
    code = _find_code(session, spec.get("code"), folder)
    # Written down first: a name that is taken is refused before its folder is touched.
    row = jobs.insert(
        session.store,
        name=chosen,
        kind="command",
        workspace=session.workspace,
        spec={**spec, "output_folders": outputs, "output_types": dict.fromkeys(_list_output_files(spec), "uri_file")},
    )
    home.make()
    write_command(
        home.order,
        CommandOrder(
            name=chosen,
            command=ports.fill_in(spec["command"], inputs, outputs),
            python=str(python),
            code=code,
            environment_variables={
                key: ports.show_literal(value) for key, value in read_map(spec, "environment_variables").items()
            },
            outputs=outputs,
            timeout_s=read_map(spec, "limits").get("timeout"),
            output_files=_list_output_files(spec),
        ),
    )
    return batch_jobs.start(session, row)


def _find_input(session: Session, name: str, given: Any, folder: Path) -> Value:
    """Return what a literal, data or a model comes to; InvalidInput when it is not what its type says."""
    kind = ports.find_kind(given)
    port = {"type": kind} if kind else {}
    value = ports.pick_value(port, given)
    return LEFT_OUT if value is None else ports.resolve_value(session, port, value, folder, f"inputs.{name}")


def _find_output(session: Session, value: Any, default: Path, folder: Path) -> str:
    given = value.get("path") if isinstance(value, Mapping) else value  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    return batch_orders.find_place(session, given, folder, "outputs") if isinstance(given, str) else str(default)


def _list_output_files(spec: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(name for name, given in read_map(spec, "outputs").items() if ports.find_kind(given) == "uri_file")


def _find_python(session: Session, given: Any, file: Path) -> Path:
    from mlctl.ops.resolving import find_asset, is_azures_own

    if given is None or (isinstance(given, str) and is_azures_own(session, given)):
        return own_interpreter().python
    if isinstance(given, str):
        source = environments.read_registered(find_asset(session, "environment", given))
    else:
        source = environments.read_inline(given, file.absolute().parent, file)
    return environments.ensure(session, source).python


def _find_code(session: Session, given: str | None, folder: Path) -> str | None:
    if given is None:
        return None
    path = (folder / given.removeprefix("file://")).resolve()
    if not path.exists():
        raise InvalidInput(f"code: {path} does not exist", hint=f"paths start from the file's folder: ls {path.parent}")
    stored = artifacts.store_artifact(session.store, session.settings.artifacts, path)
    return str(stored.path / stored.name) if path.is_dir() else str(stored.path)
