"""What the inputs of components and pipelines come to: literals that fit, paths on this machine."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mlctl.entities.ports import LITERALS, MODELS, PortType, fits
from mlctl.errors import InvalidInput, NotFound
from mlctl.ops import data
from mlctl.ops.session import Session
from mlctl.registry import artifacts
from mlctl.registry.batch_endpoints import name_near

_EXPRESSION = re.compile(r"\$\{\{\s*(inputs|outputs)\.([A-Za-z0-9_]+)\s*\}\}")
_OPTIONAL = re.compile(r"\$\[\[(.*?)\]\]", re.DOTALL)
Ports = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Value:
    """What an input comes to. text: for the command line, None when it is left out. shown: as az shows a job's input.

    key: changes whenever its content does; of an output that is yet to be written, its step's.
    """

    text: str | None
    key: str
    shown: Any = None


LEFT_OUT = Value(None, "none")


def resolve_inputs(
    session: Session, ports: Ports, given: Mapping[str, Any], folder: Path, owner: str
) -> dict[str, Value]:
    """Return each input's value: given, or its default; InvalidInput tells all that are missing or unknown.

    folder: what relative paths start from. owner: whose inputs these are, in messages.
    """
    refuse_unknown(ports, given, owner, "input")
    found: dict[str, Value] = {}
    missing: list[str] = []
    for name, port in ports.items():
        value = pick_value(port, given.get(name))
        if value is not None:
            found[name] = resolve_value(session, port, value, folder, f"{owner}: inputs.{name}")
        elif port.get("optional"):
            found[name] = LEFT_OUT
        else:
            missing.append(name)
    if missing:
        first = missing[0]
        kind = ports[first].get("type")
        example = f"inputs.{first}={_example(kind)}" if kind in LITERALS else f"inputs.{first}.path=PATH"
        raise InvalidInput(
            f"{owner}: {_list_missing(missing, ports)} missing, nothing was started", hint=f"--set {example}"
        )
    return found


def _list_missing(missing: list[str], ports: Ports) -> str:
    names = [f"{name} ({ports[name].get('type')})" for name in missing]
    return f"input {names[0]} is" if len(names) == 1 else f"inputs {', '.join(names)} are"


def _example(kind: Any) -> str:
    return {"integer": "1", "number": "0.5", "boolean": "true"}.get(str(kind), "VALUE")


def refuse_unknown(ports: Mapping[str, Any], given: Mapping[str, Any], owner: str, side: str) -> None:
    """Refuse names that are not there. side: input or output."""
    unknown = sorted(given.keys() - ports.keys())
    if unknown:
        near = name_near(unknown[0], list(ports))
        raise InvalidInput(f"{owner} has no {side} {unknown[0]}, nothing was started", hint=near or "it has none")


def pick_value(port: Mapping[str, Any], given: Any) -> Any:
    """Return what was given for an input, a literal's value or a map with a path; else its default; None: neither."""
    if isinstance(given, Mapping):
        fields = cast("Mapping[str, Any]", given)
        if fields.get("path") is not None:
            return fields
        given = fields["value"] if fields.get("value") is not None else fields.get("default")
    return given if given is not None else port.get("default")


def resolve_value(session: Session, port: Mapping[str, Any], value: Any, folder: Path, where: str) -> Value:
    """Return what a literal, a path or a map with a path comes to. where: for messages."""
    fields = cast("Mapping[str, Any]", value if isinstance(value, Mapping) else {})
    kind = PortType(port["type"]) if port.get("type") else None
    if kind is None and not fields:
        kind = PortType.STRING
    if kind in LITERALS:
        return _resolve_literal(port, cast("PortType", kind), value, where)
    path = fields.get("path", value)
    if not isinstance(path, str):
        raise InvalidInput(f"{where}: {path} is no path", hint="give a path or azureml:NAME:VERSION")
    told = fields.get("type")
    if kind is not None and told is not None and PortType(told) is not kind:
        raise InvalidInput(f"{where}: it is a {kind}, not a {told}")
    return _resolve_path(session, kind or (PortType(told) if told else None), path, folder, where)


def _resolve_literal(port: Mapping[str, Any], kind: PortType, value: Any, where: str) -> Value:
    if isinstance(value, Mapping):
        path: Any = cast("Mapping[str, Any]", value)["path"]
        raise InvalidInput(f"{where}: it is a {kind}, not the path {path}", hint="give the value itself")
    if not fits(kind, value):
        raise InvalidInput(f'{where}: "{show_literal(value)}" is no {kind}')
    choices: list[Any] = port.get("enum") or []
    if choices and show_literal(value) not in [show_literal(choice) for choice in choices]:
        raise InvalidInput(f'{where}: "{value}" is none of {", ".join(map(show_literal, choices))}')
    if kind in (PortType.NUMBER, PortType.INTEGER):
        for bound, is_wrong in (("min", float.__lt__), ("max", float.__gt__)):
            if port.get(bound) is not None and is_wrong(float(value), float(port[bound])):
                word = "less" if bound == "min" else "more"
                raise InvalidInput(f"{where}: {value} is {word} than {port[bound]}")
    text = show_literal(value)
    text = text.lower() if kind is PortType.BOOLEAN else text
    return Value(text, f"={text}", text)


def check_literal(port: Mapping[str, Any], value: Value, where: str) -> None:
    """Refuse a literal that comes from the pipeline's input and does not fit the step's."""
    kind = port.get("type")
    if kind in LITERALS and value.text is not None:
        _resolve_literal(port, PortType(kind), value.text, where)


def find_kind(given: Any) -> str | None:
    """Return the type of a pipeline's input: as its component says, or as the value that a job gives tells."""
    if isinstance(given, Mapping):
        return cast("Mapping[str, Any]", given).get("type")
    return None


def show_literal(value: Any) -> str:
    """Render a literal as a command line gets it."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _resolve_path(session: Session, kind: PortType | None, text: str, folder: Path, where: str) -> Value:
    try:
        if kind in MODELS and (model := _find_model(session, text)) is not None:
            path, key = model
        elif kind is PortType.MLTABLE:
            path = data.find_folder(session, text, folder)
            key = data.look_into(path).digest
        else:
            found, paths = data.resolve_input(session, text, folder)
            if kind in (PortType.URI_FILE, PortType.URI_FOLDER) and found != kind:
                raise InvalidInput(f"{where}: {text} is a {found}, not a {kind}")
            path = Path(paths[0])
            key = data.look_into(path).digest
    except (InvalidInput, NotFound) as error:
        if error.message.startswith(where):
            raise
        raise type(error)(f"{where}: {error.message.removeprefix('input: ')}", hint=error.hint) from error
    shown = {
        "type": str(kind or ("uri_folder" if path.is_dir() else "uri_file")),
        "mode": "ro_mount",
        "path": str(path),
    }
    return Value(str(path), key, shown)


def _find_model(session: Session, text: str) -> tuple[Path, str] | None:
    """Return the files of a registered model and their hash; None for a path."""
    from mlctl.ops.resolving import find_asset

    if not text.lower().startswith("azureml:") or text.lower().startswith(("azureml://datastores/", "azureml://jobs/")):
        return None
    asset = find_asset(session, "model", text)
    stored = artifacts.find_artifact(session.store, session.settings.artifacts, asset.artifact or "")
    if stored is None:
        raise NotFound(f"the files of model {asset.name}:{asset.version} are not in the registry any more")
    return stored.path / stored.name, stored.hash


def fill_in(command: str, inputs: Mapping[str, Value], outputs: Mapping[str, str]) -> str:
    """Put values in place of `${{inputs.x}}`, quoted for the shell; `$[[…]]` is left out when one in it is."""

    def fill(match: re.Match[str]) -> str:
        if match[1] == "outputs":
            return shlex.quote(outputs.get(match[2], "./outputs"))
        return shlex.quote(inputs.get(match[2], LEFT_OUT).text or "")

    def choose(match: re.Match[str]) -> str:
        names = [found[2] for found in _EXPRESSION.finditer(match[1]) if found[1] == "inputs"]
        return match[1] if all(inputs.get(name, LEFT_OUT).text is not None for name in names) else ""

    return _EXPRESSION.sub(fill, _OPTIONAL.sub(choose, command))
