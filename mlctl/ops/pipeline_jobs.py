"""Pipeline jobs: a component's steps with what they are given become commands that a coordinator runs here."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mlctl.batch.command import CommandOrder, write_command
from mlctl.batch.launch import find_folder
from mlctl.batch.order import write_order
from mlctl.batch.pipeline import write_pipeline
from mlctl.entities.ports import LITERALS
from mlctl.entities.stored import read_map
from mlctl.errors import Conflict, InvalidInput
from mlctl.ops import batch_jobs
from mlctl.ops.freezing import freeze
from mlctl.ops.pipeline_planning import PlannedStep, Request, plan_job
from mlctl.ops.ports import find_kind
from mlctl.registry import batch_deployments, batch_endpoints, jobs
from mlctl.registry.batch_deployments import BatchDeploymentRow

if TYPE_CHECKING:
    from mlctl.entities.pipeline_job import PipelineJob
    from mlctl.ops.batch_jobs import Job
    from mlctl.ops.batch_orders import Invocation, Settings
    from mlctl.ops.session import Session

_ONLY_STEP = "main"


def create(session: Session, entity: PipelineJob, file: Path) -> Job:
    """Start a pipeline job that a file describes, and return at once."""
    from mlctl.ops.components import resolve_component

    spec, folder = entity.to_document(), file.absolute().parent
    inputs = read_map(spec, "inputs")
    if spec.get("component") is not None:
        definition = as_pipeline(resolve_component(session, spec["component"], folder)["document"])
    else:
        facts = {"inputs": _describe_inputs(inputs), "outputs": _describe_outputs(read_map(spec, "outputs"))}
        definition = freeze(session, {"type": "pipeline", **facts, "jobs": spec["jobs"]}, folder)
    keys = ("display_name", "experiment_name", "description", "tags", "properties", "compute", "settings")
    return start(
        session,
        Request(
            name=_choose_name(session, spec.get("name"), "pipeline"),
            label=file.name,
            definition=definition,
            inputs=inputs,
            outputs=read_map(spec, "outputs"),
            settings={**read_map(definition, "settings"), **read_map(spec, "settings")},
            folder=folder,
            shown={key: spec[key] for key in keys if key in spec},
        ),
    )


def _describe_inputs(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a job's inputs are: their types stand in the file, or their values tell."""
    return {name: {"type": _find_type(given)} for name, given in inputs.items()}


def _find_type(given: Any) -> str | None:
    if isinstance(given, Mapping):
        fields = cast("Mapping[str, Any]", given)
        return fields.get("type") or ("uri_folder" if fields.get("value") is None else _find_type(fields["value"]))
    if isinstance(given, bool):
        return "boolean"
    return "integer" if isinstance(given, int) else "number" if isinstance(given, float) else "string"


def _describe_outputs(outputs: Mapping[str, Any]) -> dict[str, Any]:
    return {name: {"type": find_kind(target) or "uri_folder"} for name, target in outputs.items()}


def find_deployment(session: Session, invocation: Invocation) -> BatchDeploymentRow | None:
    """Return the pipeline deployment that an invocation means; None when it means another one, or none."""
    if invocation.endpoint is None or invocation.from_deployment is not None:
        return None
    owner = batch_endpoints.find_endpoint(session.store, invocation.endpoint)
    if owner is None:
        return None
    name = invocation.deployment or owner.default_deployment
    row = batch_deployments.find_deployment(session.store, owner.name, name) if name else None
    return row if row is not None and row.is_pipeline else None


def invoke(session: Session, invocation: Invocation, row: BatchDeploymentRow, settings: Settings) -> Job:
    """Start a job of a pipeline deployment, and return at once."""
    _refuse_options(invocation, row, settings)
    definition = as_pipeline(row.plan["document"])
    own = read_map(row.spec, "settings")
    request = Request(
        name=_choose_name(session, invocation.job_name, row.endpoint),
        label=f"{row.endpoint}/{row.name}",
        definition=definition,
        inputs={**settings.inputs, **_name_input(invocation, definition)},
        outputs={**settings.outputs, **_name_output(invocation, definition)},
        settings={**read_map(definition, "settings"), **own},
        folder=Path.cwd(),
        shown={"experiment_name": invocation.experiment_name or own.get("experiment_name") or "Default"},
        endpoint=row.endpoint,
        deployment=row.name,
        request_id=invocation.request_id,
    )
    if invocation.job_name is not None and jobs.find(session.store, request.name) is not None:
        return _find_same(session, request)
    return start(session, request)


def _refuse_options(invocation: Invocation, row: BatchDeploymentRow, settings: Settings) -> None:
    """Refuse what only makes sense where a script scores mini-batches."""
    given = {
        "--rows": invocation.rows,
        "--mini-batch-size": invocation.mini_batch_size,
        "--instance-count": invocation.instance_count,
        "--input-key": invocation.input_key,
        "--output-format": invocation.output_format,
        "--header": invocation.output_header,
        "--with-input": invocation.output_with_input,
        **{f"--set {name}": True for name in settings.others},
    }
    wrong = [name for name, value in given.items() if value]
    if wrong:
        raise InvalidInput(
            f"{wrong[0]}: {row.endpoint}/{row.name} runs a component's steps, which have no mini-batches",
            hint="leave it out; what a component takes is given as --set inputs.NAME=VALUE or inputs.NAME.path=PATH",
        )


def _name_input(invocation: Invocation, definition: Mapping[str, Any]) -> dict[str, Any]:
    """Give `--input` the name of the one input that is data."""
    if invocation.data is None:
        return {}
    names = [name for name, port in read_map(definition, "inputs").items() if port.get("type") not in LITERALS]
    if len(names) != 1:
        which = f"its inputs are {', '.join(names)}" if names else "it takes no data"
        raise InvalidInput(
            f"--input: the component has no single input of data, {which}",
            hint=f"--set inputs.{names[0]}.path={invocation.data}" if names else "leave --input out",
        )
    return {names[0]: {"path": invocation.data}}


def _name_output(invocation: Invocation, definition: Mapping[str, Any]) -> dict[str, Any]:
    if invocation.output_path is None:
        return {}
    names = list(read_map(definition, "outputs"))
    if len(names) != 1:
        which = f"its outputs are {', '.join(names)}" if names else "it writes none"
        raise InvalidInput(
            f"--output-path: the component has no single output, {which}",
            hint=f"--set outputs.{names[0]}.path={invocation.output_path}" if names else "leave --output-path out",
        )
    return {names[0]: {"path": invocation.output_path}}


def _find_same(session: Session, request: Request) -> Job:
    """Return the job of that name, if it was asked for alike: a script that runs twice finds its first job."""
    known = jobs.get(session.store, request.name)
    asked = plan_job(session, request).spec
    if known.kind != "pipeline" or known.spec != {**asked, "experiment_name": known.spec["experiment_name"]}:
        raise Conflict(
            f"there is a job {request.name} already, and it does something else",
            hint=f"choose another --job-name, or see: mlctl job show -n {request.name}",
        )
    return batch_jobs.look(session, request.name)


def _choose_name(session: Session, given: str | None, label: str) -> str:
    if given is not None:
        batch_jobs.check_name(given)
        return given
    while True:
        name = f"{label}-{secrets.token_hex(4)}"
        if jobs.find(session.store, name) is None:
            return name


def as_pipeline(component: Mapping[str, Any]) -> dict[str, Any]:
    """Return a component as a pipeline: one that is a command becomes its only step."""
    if component.get("type") == "pipeline":
        return dict(component)
    inputs, outputs = read_map(component, "inputs"), read_map(component, "outputs")
    step = {
        "component": dict(component),
        "inputs": {name: f"${{{{parent.inputs.{name}}}}}" for name in inputs},
        "outputs": {name: f"${{{{parent.outputs.{name}}}}}" for name in outputs},
    }
    words = {key: component[key] for key in ("name", "version", "description") if key in component}
    return {**words, "type": "pipeline", "inputs": inputs, "outputs": outputs, "jobs": {_ONLY_STEP: step}}


def start(session: Session, request: Request) -> Job:
    """Write a job and its steps down, and start its coordinator; nothing is left behind when it is refused."""
    from mlctl.ops.compute import tell_compute

    session.store.require_room()
    tell_compute(session, request.settings.get("default_compute") or request.shown.get("compute"))
    plan = plan_job(session, request)
    with session.store.transaction():
        row = jobs.insert(
            session.store,
            name=request.name,
            kind="pipeline",
            workspace=session.workspace,
            endpoint=request.endpoint,
            deployment=request.deployment,
            request_id=request.request_id,
            spec=plan.spec,
        )
        for step in plan.steps:
            jobs.insert(
                session.store,
                name=step.work.name,
                kind="step",
                workspace=session.workspace,
                spec=step.spec,
            )
    folder = find_folder(session.settings.home, request.name)
    folder.make()
    for step in plan.steps:
        here = find_folder(session.settings.home, step.work.name)
        here.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if isinstance(step.work, CommandOrder):
            write_command(here.order, step.work)
        else:
            _make_places(step)
            write_order(here.order, step.work)
    write_pipeline(folder.order, plan.order)
    return batch_jobs.start(session, row)


def _make_places(step: PlannedStep) -> None:
    """Make the folders that the workers of a parallel step write to; a command's are made when it starts."""
    types: Mapping[str, str] = step.spec["output_types"]
    for name, value in step.outputs.items():
        place = Path(value.text or "")
        (place.parent if types[name] == "uri_file" else place).mkdir(mode=0o700, parents=True, exist_ok=True)
