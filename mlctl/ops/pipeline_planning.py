"""Works out what each step of a pipeline job does: every path and value, before anything runs."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlctl.batch.command import CommandOrder
from mlctl.batch.folder import JobFolder
from mlctl.batch.launch import find_folder
from mlctl.batch.order import JobOrder
from mlctl.batch.pipeline import PipelineOrder, StepOrder
from mlctl.entities.component import find_parent_output, list_sources, order_steps
from mlctl.entities.ports import find_expressions, read_source
from mlctl.entities.stored import read_map
from mlctl.errors import NotFound
from mlctl.ops import batch_jobs, batch_orders, environments, ports
from mlctl.ops.documents import CODE_ID_PATTERN
from mlctl.ops.freezing import list_inputs, list_outputs
from mlctl.ops.parallel_planning import find_data, plan_batch
from mlctl.ops.ports import LEFT_OUT, Value, fill_in
from mlctl.registry import artifacts, jobs
from mlctl.runtimes.environments import own_interpreter

if TYPE_CHECKING:
    from mlctl.ops.session import Session


@dataclass(frozen=True)
class Request:
    """A pipeline with what it is given. definition: its frozen component. folder: what relative paths start from.

    label: what to call it in messages.

    shown: what a job's document holds beside that. endpoint, deployment, request_id: of the invocation.
    """

    name: str
    label: str
    definition: Mapping[str, Any]
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]
    settings: Mapping[str, Any]
    folder: Path
    shown: Mapping[str, Any]
    endpoint: str | None = None
    deployment: str | None = None
    request_id: str | None = None


@dataclass(frozen=True)
class PlannedStep:
    """A step, resolved. work: what it does, a command or mini-batches. spec: what a job's document shows of it."""

    order: StepOrder
    work: CommandOrder | JobOrder
    spec: Mapping[str, Any]
    outputs: Mapping[str, Value]


@dataclass(frozen=True)
class Plan:
    """A job, resolved."""

    order: PipelineOrder
    steps: Sequence[PlannedStep]
    spec: Mapping[str, Any]


def plan_job(session: Session, request: Request) -> Plan:
    """Resolve a job with all of its steps; InvalidInput, NotFound before anything has started."""
    return _Planner(session, request).plan()


class _Planner:
    def __init__(self, session: Session, request: Request) -> None:
        self._session = session
        self._request = request
        self._folder = find_folder(session.settings.home, request.name)
        self._steps: Mapping[str, Mapping[str, Any]] = request.definition["jobs"]
        self._done: dict[str, PlannedStep] = {}
        self._pythons: dict[str, Path] = {}

    def plan(self) -> Plan:
        request = self._request
        known = read_map(request.definition, "inputs")
        owner = request.label
        self._inputs = ports.resolve_inputs(self._session, known, request.inputs, request.folder, owner)
        ports.refuse_unknown(read_map(request.definition, "outputs"), request.outputs, owner, "output")
        self._outputs = {
            name: self._find_output(name, port, request.outputs.get(name))
            for name, port in read_map(request.definition, "outputs").items()
        }
        needs = {
            name: {source for source, _ in list_sources(read_map(step, "inputs"))} for name, step in self._steps.items()
        }
        for name in order_steps(needs):
            self._done[name] = self._plan_step(name, self._steps[name], tuple(sorted(needs[name])))
        steps = list(self._done.values())
        order = PipelineOrder(
            name=request.name,
            steps=tuple(step.order for step in steps),
            continues_on_failure=bool(request.settings.get("continue_on_step_failure")),
            at_once=max(1, os.cpu_count() or 1),
        )
        return Plan(order, steps, self._describe())

    def _describe(self) -> dict[str, Any]:
        """Return what is kept of the job: what its document shows, and how to run it again."""
        request = self._request
        inputs = read_map(request.definition, "inputs")
        fixed = {name: {**port, "default": self._inputs[name].text} for name, port in inputs.items()}
        return {
            **request.shown,
            "inputs": {name: value.shown for name, value in self._inputs.items() if value.text is not None},
            "output_folders": self._outputs,
            "output_types": {
                name: port.get("type") or "uri_folder" for name, port in read_map(request.definition, "outputs").items()
            },
            "settings": dict(request.settings),
            "definition": {**request.definition, "inputs": fixed},
        }

    def _find_output(self, name: str, port: Mapping[str, Any], given: Any) -> str:
        chosen = read_source(given) or read_source(port)
        if not chosen or find_expressions(chosen):
            return str(self._folder.path / "outputs" / name)
        return batch_orders.find_place(self._session, chosen, self._request.folder, f"outputs.{name}")

    def _plan_step(self, name: str, step: Mapping[str, Any], after: tuple[str, ...]) -> PlannedStep:
        folder = find_folder(self._session.settings.home, jobs.name_step(self._request.name, name))
        inputs = self._resolve_step_inputs(name, step)
        outputs = {port: self._find_step_output(folder, step, port) for port in list_outputs(step)}
        if step.get("type") == "parallel":
            return self._plan_parallel(name, step, after, inputs, outputs)
        component = read_map(step, "component") or step
        types = self._find_types(step)
        environment = step.get("environment") or component.get("environment")
        command = CommandOrder(
            name=jobs.name_step(self._request.name, name),
            command=fill_in(component["command"], inputs, outputs),
            python=str(self._find_python(environment)),
            code=self._find_code(component.get("code")),
            environment_variables={**ports.list_variables(component), **ports.list_variables(step)},
            outputs=outputs,
            timeout_s=(read_map(step, "limits") or read_map(component, "limits")).get("timeout"),
            output_files=tuple(sorted(port for port, kind in types.items() if kind == "uri_file")),
        )
        key = self._make_key(component, command, inputs)
        facts = {
            "command": component["command"],
            **{each: component[each] for each in ("code", "description") if component.get(each)},
            **({"environment": environment} if isinstance(environment, str) else {}),
            "display_name": step.get("display_name") or component.get("display_name") or name,
            "reuse_key": key,
        }
        spec = self._describe_step(name, step, inputs, outputs) | facts
        written = {port: Value(path, f"{key}/{port}" if key else "") for port, path in outputs.items()}
        return PlannedStep(StepOrder(name, after, key), command, spec, written)

    def _plan_parallel(
        self,
        name: str,
        step: Mapping[str, Any],
        after: tuple[str, ...],
        inputs: Mapping[str, Value],
        outputs: Mapping[str, str],
    ) -> PlannedStep:
        task = step["task"]
        given = find_data(f"{self._request.label}: jobs.{name}", step, inputs)
        needs = batch_orders.TABLE_NEEDS if given.mode == "rows" else ()
        order = plan_batch(
            jobs.name_step(self._request.name, name),
            step,
            given,
            python=self._find_python(task.get("environment"), needs),
            code=self._find_code(task["code"]) or "",
            inputs=inputs,
            outputs=outputs,
            variables=ports.list_variables(step),
            types=self._find_types(step),
            folder=find_folder(self._session.settings.home, jobs.name_step(self._request.name, name)).path,
        )
        facts = {**batch_jobs.describe_order(order, None), "type": "parallel", "code": task["code"]}
        spec = facts | self._describe_step(name, step, inputs, outputs)
        written = {port: Value(path, "") for port, path in outputs.items()}
        return PlannedStep(StepOrder(name, after, kind="parallel"), order, spec, written)

    def _describe_step(
        self, name: str, step: Mapping[str, Any], inputs: Mapping[str, Value], outputs: Mapping[str, str]
    ) -> dict[str, Any]:
        """Return what is kept of a step whatever its type."""
        return {
            "parent": self._request.name,
            "step": name,
            "display_name": step.get("display_name") or name,
            "experiment_name": self._request.shown.get("experiment_name") or "Default",
            "inputs": {port: value.shown for port, value in inputs.items() if value.text is not None},
            "output_folders": dict(outputs),
            "output_types": self._find_types(step),
        }

    def _find_types(self, step: Mapping[str, Any]) -> dict[str, str]:
        """Return what a step's outputs are: as it or its component says, or the pipeline's output that one is."""
        own = read_map(step, "outputs")
        above = read_map(self._request.definition, "outputs")
        return {
            port: ports.find_kind(facts)
            or ports.find_kind(above.get(find_parent_output(own.get(port)) or ""))
            or "uri_folder"
            for port, facts in list_outputs(step).items()
        }

    def _resolve_step_inputs(self, name: str, step: Mapping[str, Any]) -> dict[str, Value]:
        given = read_map(step, "inputs")
        where = f"{self._request.label}: jobs.{name}"
        bound = {port: self._follow(each) for port, each in given.items() if find_expressions(read_source(each))}
        rest = {port: each for port, each in given.items() if port not in bound}
        # An optional input of the pipeline that was left out leaves the step's own default.
        free = {port: facts for port, facts in list_inputs(step).items() if bound.get(port, LEFT_OUT).text is None}
        found = ports.resolve_inputs(self._session, free, rest, self._request.folder, where)
        for port, value in bound.items():
            ports.check_literal(list_inputs(step)[port], value, f"{where}: inputs.{port}")
        return {**found, **{port: value for port, value in bound.items() if value.text is not None}}

    def _follow(self, given: Any) -> Value:
        """Return what an expression stands for: the pipeline's input, or another step's output."""
        text = read_source(given)
        found = {path: self._find_source(path) for path in find_expressions(text)}
        if len(found) == 1 and re.fullmatch(r"\s*\$\{\{[^}]*\}\}\s*", text):
            return next(iter(found.values()))
        filled = re.sub(r"\$\{\{\s*([^}]*?)\s*\}\}", lambda match: found[match[1]].text or "", text)
        keys = [value.key for value in found.values()]
        return Value(filled, f"={filled} {keys}" if all(keys) else "", filled)

    def _find_source(self, path: str) -> Value:
        words = path.split(".")
        if words[1] == "inputs":
            return self._inputs[words[2]]
        value = self._done[words[2]].outputs[words[4]]
        return replace(value, shown={"type": "uri_folder", "mode": "ro_mount", "path": value.text})

    def _find_step_output(self, folder: JobFolder, step: Mapping[str, Any], port: str) -> str:
        target = read_map(step, "outputs").get(port)
        parent = find_parent_output(target)
        if parent is not None:
            return self._outputs[parent]
        chosen = read_source(target)
        if not chosen:
            return str(folder.path / "outputs" / port)
        return batch_orders.find_place(self._session, chosen, self._request.folder, f"outputs.{port}")

    def _find_python(self, environment: Any, needs: Sequence[str] = ()) -> Path:
        from mlctl.ops.resolving import find_asset, is_azures_own

        if not isinstance(environment, str) or is_azures_own(self._session, environment):
            return own_interpreter().python
        if needs or environment not in self._pythons:
            source = environments.read_registered(find_asset(self._session, "environment", environment))
            self._pythons[environment] = environments.ensure(self._session, source, needs=needs).python
        return self._pythons[environment]

    def _find_code(self, code: str | None) -> str | None:
        known = CODE_ID_PATTERN.fullmatch(code or "")
        if known is None:
            return None
        stored = artifacts.find_artifact(self._session.store, self._session.settings.artifacts, known["hash"])
        if stored is None:
            raise NotFound(
                f"the code of a step is not in the registry any more ({known['hash'][:8]})", hint="mlctl doctor"
            )
        path = stored.path / stored.name
        return str(path) if path.is_dir() else str(stored.path)

    def _make_key(self, component: Mapping[str, Any], command: CommandOrder, inputs: Mapping[str, Value]) -> str:
        """Return what is equal for steps that do the same with the same input; empty for one that always runs."""
        is_new = self._request.settings.get("force_rerun") or component.get("is_deterministic") is False
        if is_new or not all(value.key for value in inputs.values()):
            return ""
        facts = {
            "command": component["command"],
            "code": command.code,
            "python": command.python,
            "variables": dict(command.environment_variables),
            "inputs": {name: value.key for name, value in inputs.items()},
            "outputs": sorted(command.outputs),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
