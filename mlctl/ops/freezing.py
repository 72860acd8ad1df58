"""Puts what paths and references of a component name today in their place: code by hash, the rest by version."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from mlctl.entities.component import list_sources
from mlctl.entities.ports import LITERALS, MODELS, PortType, find_expressions, read_source
from mlctl.entities.stored import read_map
from mlctl.errors import InvalidInput
from mlctl.ops import ports
from mlctl.ops.documents import CODE_ID, CODE_ID_PATTERN, asset_id
from mlctl.ops.loading import Loaded
from mlctl.ops.resolving import ResolvedEnvironment, find_asset, find_local, keep_code
from mlctl.ops.session import Session
from mlctl.registry import artifacts

Frozen = dict[str, Any]


def freeze(session: Session, document: Mapping[str, Any], folder: Path) -> Frozen:
    """Freeze a component with all of its steps; InvalidInput when a step cannot be run as it is connected."""
    return _Freezer(session).freeze(dict(document), folder)


class _Freezer:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._told: set[str] = set()

    def freeze(self, document: Frozen, folder: Path) -> Frozen:
        if document.get("type") != "pipeline":
            return self._freeze_command(document, folder)
        steps = {name: self._freeze_step(name, step, folder) for name, step in document["jobs"].items()}
        _check_sources(steps, read_map(document, "inputs"))
        return {**document, "jobs": steps}

    def _freeze_step(self, name: str, step: Frozen, folder: Path) -> Frozen:
        given = read_map(step, "inputs")
        step = {**step, "inputs": {port: self._freeze_input(name, port, each, folder) for port, each in given.items()}}
        if step.get("type") == "parallel":
            return {**step, "task": self._freeze_command(step["task"], folder)}
        component = step.get("component")
        if component is None:
            return self._freeze_command(step, folder)
        inner = self._freeze_component(component, folder)
        if inner.get("type") == "pipeline":
            raise InvalidInput(f"jobs.{name}: its component is a pipeline in turn; steps are commands here")
        _check_ports(name, step, inner)
        if step.get("environment") is not None:
            step = self._freeze_environment(step, folder)
        return {**step, "component": inner}

    def _freeze_component(self, component: Any, folder: Path) -> Frozen:
        from mlctl.ops.components import read_component

        if isinstance(component, str) and component.lower().startswith("azureml:"):
            asset = find_asset(self._session, "component", component)
            return {**asset.spec, "name": asset.name, "version": asset.version}
        document, here = read_component(component, folder)
        return self.freeze(document, here)

    def _freeze_input(self, step: str, port: str, given: Any, folder: Path) -> Any:
        """Give a path the folder it starts from, and a reference to the newest version its number."""
        if not isinstance(given, Mapping):
            return given
        fields = dict(cast("Mapping[str, Any]", given))
        path = fields.get("path")
        if not isinstance(path, str) or find_expressions(path):
            return fields
        if not path.lower().startswith("azureml:"):
            return {**fields, "path": str(find_local(folder, path, f"jobs.{step}.inputs.{port}.path"))}
        if fields.get("type") in MODELS:
            asset = find_asset(self._session, "model", path)
            return {**fields, "path": f"azureml:{asset.name}:{asset.version}"}
        return fields

    def _freeze_command(self, document: Frozen, folder: Path) -> Frozen:
        frozen = dict(document)
        if document.get("code"):
            frozen["code"] = CODE_ID.format(hash=self._keep_code(document["code"], folder))
        return self._freeze_environment(frozen, folder)

    def _freeze_environment(self, document: Frozen, folder: Path) -> Frozen:
        environment = document.get("environment")
        if environment is None:
            return document
        given = frozenset({"environment"})
        found = ResolvedEnvironment(self._session, Loaded({"environment": environment}, folder, given, given))
        text = "; ".join(found.interpreter.drift)
        if text and text not in self._told:
            self._told.add(text)
            named = document.get("name") or document.get("display_name")
            self._session.on_notice(f"{f'environment of {named}' if named else 'environment'}: {text}")
        asset = found.register()
        if asset is None:
            return document
        identifier = (asset["workspace"], self._session.resource_group, asset["name"], asset["version"])
        return {**document, "environment": asset_id("environment", *identifier)}

    def _keep_code(self, code: str, folder: Path) -> str:
        known = CODE_ID_PATTERN.fullmatch(code)
        stored = (
            artifacts.find_artifact(self._session.store, self._session.settings.artifacts, known["hash"])
            if known
            else None
        )
        return str(keep_code(self._session, stored or find_local(folder, code, "code"))["hash"])


def _check_ports(name: str, step: Mapping[str, Any], component: Mapping[str, Any]) -> None:
    """Refuse inputs and outputs that the component of a step does not have, and needed ones that are missing."""
    inputs, given = read_map(component, "inputs"), read_map(step, "inputs")
    for side, known, named in (
        ("input", inputs, given),
        ("output", read_map(component, "outputs"), read_map(step, "outputs")),
    ):
        if strange := sorted(named.keys() - known.keys()):
            near = ports.name_near(strange[0], list(known))
            raise InvalidInput(
                f"jobs.{name}.{side}s: its component has no {side} {strange[0]}", hint=near or "it has none"
            )
    needed = [port for port, facts in inputs.items() if not facts.get("optional") and facts.get("default") is None]
    if missing := sorted(set(needed) - given.keys()):
        raise InvalidInput(
            f"jobs.{name}.inputs: {missing[0]} is missing, its component needs it",
            hint=f"for example {missing[0]}: ${{{{parent.inputs.{missing[0]}}}}}",
        )


def list_outputs(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return a step's outputs by name: its component's, or those that a command writes down itself."""
    return read_map(step["component"], "outputs") if step.get("component") else read_map(step, "outputs")


def list_inputs(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a step's inputs are, by name: as its component says; a command takes whatever it is given."""
    if step.get("component"):
        return read_map(step["component"], "inputs")
    return {name: {} for name in read_map(step, "inputs")}


def _check_sources(steps: Mapping[str, Frozen], inputs: Mapping[str, Any]) -> None:
    """Refuse inputs that name an output which their source does not write, or that are of another kind than it."""
    for name, step in steps.items():
        given = read_map(step, "inputs")
        for source, output in list_sources(given):
            known = list_outputs(steps[source])
            if output not in known:
                near = ports.name_near(output, list(known))
                raise InvalidInput(
                    f"jobs.{name}.inputs: step {source} has no output {output}", hint=near or "it has none"
                )
        for port, facts in list_inputs(step).items():
            _check_kind(f"jobs.{name}.inputs.{port}", facts, given.get(port), inputs)


def _check_kind(where: str, port: Mapping[str, Any], given: Any, inputs: Mapping[str, Any]) -> None:
    """Refuse data where a literal belongs, and the other way round."""
    if port.get("type") is None:
        return
    is_literal = port["type"] in LITERALS
    for path in find_expressions(read_source(given)):
        words = path.split(".")
        if words[:2] == ["parent", "inputs"]:
            kind = ports.find_kind(inputs[words[2]])
            is_other = kind is not None and (PortType(kind) in LITERALS) != is_literal
        else:
            kind, is_other = "data", is_literal
        if is_other:
            raise InvalidInput(f"{where}: it is a {port.get('type')}, and ${{{{{path}}}}} is {kind}")
