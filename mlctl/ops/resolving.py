"""From a deployment's document to its plan: which copies of model and code it runs, and with which interpreter.

A plan never changes once it is written: what it names is kept by content hash.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from mlctl.entities.document import Document
from mlctl.entities.extensions import REQUEST_SCHEMA
from mlctl.entities.names import find_name_fault
from mlctl.entities.references import parse_reference
from mlctl.entities.stored import read_map
from mlctl.errors import InvalidInput, NotFound, Problem
from mlctl.ops import environments
from mlctl.ops.documents import CODE_ID_PATTERN
from mlctl.ops.environments import Source
from mlctl.ops.loading import Loaded
from mlctl.ops.session import Session
from mlctl.registry import artifacts, assets, endpoints
from mlctl.registry.artifacts import Artifact
from mlctl.registry.assets import Asset
from mlctl.runtimes import environments as runtime_environments
from mlctl.runtimes.environments import Interpreter, own_interpreter
from mlctl.runtimes.process import can_isolate_network

if TYPE_CHECKING:
    from mlctl.ops.no_code import Files, Served

Plan = dict[str, Any]
# What is wrong, and what to do about it.
Fault = tuple[str, str]


class Base(Protocol):
    """What a deployment was before an update: online and batch ones alike."""

    @property
    def spec(self) -> dict[str, Any]:
        """The document."""
        ...

    @property
    def plan(self) -> dict[str, Any]:
        """What it was resolved to."""
        ...


REMOTE = ("azureml://", "http://", "https://", "wasbs://", "abfss://", "runs:/")


def resolve(
    session: Session,
    loaded: Loaded,
    *,
    checks_script: bool = True,
    base: Base | None = None,
    needs: Sequence[str] = (),
) -> Plan:
    """Copy in what the document points to and return the plan; parts that the command did not bring keep `base`'s.

    needs: packages that the environment shall have beside those it names.
    """
    kept: Mapping[str, Any] = base.plan if base else {}
    spec = loaded.spec
    _refuse_open_network(session, spec)
    code = spec.get("code_configuration")
    # First all that can go wrong without having changed anything: the environment takes longest.
    folder = _find_code(session, loaded, checks_script, base) if code else None
    _check_model(session, loaded)
    served = None if code else _choose_served(session, loaded, base)
    _check_schema(loaded, base)
    packages = served.packages if served else ()
    environment = ResolvedEnvironment(
        session, loaded, base, (*needs, *packages), served.default.source if served else None
    )
    plan = {
        "python": str(environment.interpreter.python),
        "python_version": environment.interpreter.version,
        **({"entry_script": code["scoring_script"], "code": keep_code(session, folder)} if code and folder else {}),
        **({"no_code": str(served.choice), "entry_script": ""} if served else {}),
        "model": _resolve_model(session, loaded) if base is None or loaded.brings("model") else kept.get("model"),
        "environment": environment.register(),
        **_resolve_schema(session, loaded, base),
    }
    if served and plan.get("no_code") != kept.get("no_code"):
        session.on_notice(served.describe(spec["name"], has_environment=environment.is_given))
    drift = environment.interpreter.drift
    if drift:
        plan["drift"] = list(drift)
    if drift and list(drift) != kept.get("drift"):
        session.on_notice(f"{environment.label}: {'; '.join(drift)}")
    _tell(session, plan, environment.interpreter)
    return plan


def _refuse_open_network(session: Session, spec: Mapping[str, Any]) -> None:
    """A replica that must not reach the network is started without one or not at all."""
    if spec.get("egress_public_network_access") == "disabled" and not can_isolate_network(session.environ):
        raise InvalidInput(
            f"egress_public_network_access: disabled cannot be kept for {spec['name']}: this user may not make network"
            " namespaces here",
            hint="run mlctl as root or allow user namespaces (sysctl kernel.unprivileged_userns_clone=1), or take "
            "containers once they are there; left out, the deployment is started with the network",
        )


def _tell(session: Session, plan: Plan, interpreter: Interpreter) -> None:
    environment, model = plan["environment"], plan["model"]
    name = (
        f"{environment['name']}:{environment['version']} · "
        if environment and "Anonymous" not in environment["name"]
        else ""
    )
    session.watcher.step("environment", f"{name}{_describe(interpreter)}")
    for kind, part in (("model", model), ("code", plan.get("code"))):
        stored = artifacts.find_artifact(session.store, session.settings.artifacts, part["hash"]) if part else None
        if part and stored:
            name = f"{part['name']}:{part['version']}" if kind == "model" and len(part["name"]) < 32 else stored.name
            files = f"{stored.files:,} file" + ("" if stored.files == 1 else "s")
            session.watcher.step(kind, f"{name} · {files} · {show_size(stored.size_bytes)} · sha256:{stored.hash[:8]}")


def _describe(interpreter: Interpreter) -> str:
    if interpreter.is_own:
        return f"mlctl's own Python {interpreter.version}"
    packages = f"{interpreter.packages} package" + ("" if interpreter.packages == 1 else "s")
    origin = "cached" if interpreter.built_s is None else f"built {interpreter.built_s:.1f} s"
    return f"{packages} · Python {interpreter.version} · {origin}"


def show_size(size_bytes: int) -> str:
    """Render a size in the unit a person would say: 12.4 kB."""
    size, units = float(size_bytes), iter(("B", "kB", "MB", "GB"))
    unit = next(units)
    while size >= 1000 and unit != "GB":
        size, unit = size / 1000, next(units)
    return f"{size:,.0f} {unit}" if unit == "B" else f"{size:,.1f} {unit}"


def _find_code(session: Session, loaded: Loaded, checks_script: bool, base: Base | None) -> Artifact | Path:
    """Return the code: stored already, or the folder that is to be copied."""
    code = loaded.spec["code_configuration"]
    stored = _stored_code(session, loaded, base)
    folder = stored.path / stored.name if stored else _local_path(loaded, code["code"], "code_configuration.code")
    if not folder.is_dir():
        raise InvalidInput(f"code_configuration.code: {folder} is not a folder", hint=f"ls {folder.parent}")
    if checks_script:
        _check_script(folder, code["scoring_script"])
    return stored or folder


def keep_code(session: Session, code: Artifact | Path) -> Plan:
    """Copy a folder of code into the registry, unless it is there; return how plans name it."""
    is_stored = isinstance(code, Artifact)
    stored = code if is_stored else artifacts.store_artifact(session.store, session.settings.artifacts, code)
    return {"hash": stored.hash, "name": stored.name}


def _stored_code(session: Session, loaded: Loaded, base: Base | None) -> Artifact | None:
    """Return the copy that is meant: named by the hash that `show` prints, or kept because no file brought another."""
    code = loaded.spec["code_configuration"]["code"]
    named = CODE_ID_PATTERN.fullmatch(code)
    if named:
        return artifacts.find_artifact(session.store, session.settings.artifacts, named["hash"])
    if base is None or "code_configuration" in loaded.from_file:
        return None
    # A deployment without a script has none.
    is_same = read_map(base.spec, "code_configuration").get("code") == code
    return (
        artifacts.find_artifact(session.store, session.settings.artifacts, base.plan["code"]["hash"])
        if is_same
        else None
    )


def _choose_served(session: Session, loaded: Loaded, base: Base | None) -> Served:
    """Choose what serves the model of a deployment without a scoring script."""
    from mlctl.ops.no_code import choose_served, refuse_own_container

    environment = loaded.spec.get("environment")
    if isinstance(environment, str) and not is_azures_own(session, environment):
        environment = find_asset(session, "environment", environment).spec
    if isinstance(environment, Mapping):
        refuse_own_container(loaded.spec["name"], cast("Mapping[str, Any]", environment))
    return choose_served(loaded.spec["name"], _list_model_files(session, loaded, base))


def _list_model_files(session: Session, loaded: Loaded, base: Base | None) -> Files | None:
    from mlctl.ops.no_code import Files, list_files

    model: Any = loaded.spec.get("model")
    if model is None:
        return None
    if isinstance(model, dict) and (base is None or loaded.brings("model")):
        inline = cast("Plan", model)
        path = _local_path(loaded, inline["path"], "model.path")
        return Files(path.parent, list_files(path), str(inline["type"]))
    if isinstance(model, str):
        asset = find_asset(session, "model", model)
        digest, kind = asset.artifact or "", str(asset.spec.get("type"))
    else:
        digest, kind = base.plan["model"]["hash"] if base else "", str(cast("Plan", model)["type"])
    stored = artifacts.find_artifact(session.store, session.settings.artifacts, digest)
    return Files(stored.path, list_files(stored.path / stored.name), kind) if stored else None


def _check_schema(loaded: Loaded, base: Base | None) -> None:
    """Refuse a request schema before anything is built."""
    if (text := _brings_schema(loaded, base)) is not None:
        from mlctl.ops.request_schemas import check_schema

        check_schema(text, loaded.folder)


def _resolve_schema(session: Session, loaded: Loaded, base: Base | None) -> Plan:
    text = read_map(loaded.spec, "properties").get(REQUEST_SCHEMA)
    if text is None:
        return {}
    if _brings_schema(loaded, base) is None:
        return {"request_schema": base.plan["request_schema"]} if base else {}
    from mlctl.ops.request_schemas import keep_schema

    return {"request_schema": keep_schema(session, text, loaded.folder)}


def _brings_schema(loaded: Loaded, base: Base | None) -> str | None:
    """Return the request schema that the command names; None without one, or when the deployment has it already."""
    text = read_map(loaded.spec, "properties").get(REQUEST_SCHEMA)
    is_kept = (
        base is not None
        and "properties" not in loaded.from_file
        and read_map(base.spec, "properties").get(REQUEST_SCHEMA) == text
        and "request_schema" in base.plan
    )
    return None if is_kept else text


def _check_script(folder: Path, script: str) -> None:
    """Refuse a scoring script that is missing or no Python. Source: az's own check, --skip-script-validation."""
    path = folder / script
    if not path.is_file():
        message, hint = _describe_missing_script(folder, script)
        raise InvalidInput(f"code_configuration.scoring_script: {message}", hint=hint)
    try:
        ast.parse(path.read_bytes(), filename=script)
    except (SyntaxError, ValueError) as error:
        line, column = getattr(error, "lineno", None) or 0, getattr(error, "offset", None) or 0
        problem = Problem(
            f"scoring_script is not Python: {getattr(error, 'msg', error)}",
            str(path),
            line,
            column,
            excerpt=(getattr(error, "text", "") or "").rstrip("\n"),
        )
        raise InvalidInput(f"{path}: 1 problem, nothing was changed", problems=[problem]) from error


def _describe_missing_script(folder: Path, script: str) -> Fault:
    near = sorted(found.relative_to(folder).as_posix() for found in folder.rglob("*.py"))[:5]
    return f"there is no {script} in {folder}", f"it holds: {', '.join(near)}" if near else f"ls {folder}"


def find_missing(
    session: Session, document: Document, folder: Path, *, needs_endpoint: bool, checks_script: bool = True
) -> list[Problem]:
    """List what a file points to and is not there: endpoint, code and script, model, environment and conda file.

    folder: what paths start from. needs_endpoint: the endpoint has to be there; a trial needs none.
    """
    data = document.data
    named: list[tuple[tuple[str, ...], Fault | None]] = []
    if needs_endpoint:
        named.append((("endpoint_name",), _find_endpoint_fault(session, data.get("endpoint_name"))))
    for kind in ("model", "environment"):
        named.append(((kind,), _find_reference_fault(session, kind, data.get(kind))))
    found: list[tuple[tuple[str, ...], Fault | None]] = []
    for place in (("model", "path"), ("environment", "conda_file"), ("code_configuration", "code")):
        found.append((place, _find_path_fault(folder, _text_at(data, place))))
    if checks_script:
        found.append((("code_configuration", "scoring_script"), _find_script_fault(folder, data)))
    return [
        *(document.not_found(place, *fault) for place, fault in named if fault is not None),
        *(document.problem(place, *fault) for place, fault in found if fault is not None),
        *_find_schema_problems(document, folder),
    ]


def _find_schema_problems(document: Document, folder: Path) -> list[Problem]:
    if REQUEST_SCHEMA not in read_map(document.data, "properties"):
        return []
    from mlctl.ops.request_schemas import find_schema_problems

    return find_schema_problems(document, folder)


def _find_endpoint_fault(session: Session, name: Any) -> Fault | None:
    # Whatever is no name is told by the checks of the text.
    if not isinstance(name, str) or find_name_fault(name) is not None:
        return None
    try:
        endpoints.get_endpoint(session.store, name)
    except NotFound as error:
        return error.message, error.hint
    return None


def _find_reference_fault(session: Session, kind: str, text: Any) -> Fault | None:
    if not isinstance(text, str):
        return None
    try:
        if kind != "environment" or not is_azures_own(session, text):
            find_asset(session, kind, text)
    except NotFound as error:
        return error.message, error.hint
    except InvalidInput:
        return None  # no reference at all: the text's own faults say so
    return None


def _find_path_fault(folder: Path, text: str) -> Fault | None:
    if not text or "azureml:" in text or text.startswith(REMOTE):
        return None
    path = folder / text.removeprefix("file://")
    return None if _is_there(path) else (f"{path} does not exist", f"paths start from the file's folder: ls {folder}")


def _find_script_fault(folder: Path, data: Mapping[str, Any]) -> Fault | None:
    code, script = (_text_at(data, ("code_configuration", name)) for name in ("code", "scoring_script"))
    source = folder / code
    if not code or not script or not _is_there(source) or not source.is_dir() or _is_there(source / script):
        return None
    return _describe_missing_script(source, script)


def _text_at(data: Mapping[str, Any], place: tuple[str, str]) -> str:
    part: Any = data.get(place[0])
    text: Any = cast("Mapping[str, Any]", part).get(place[1]) if isinstance(part, Mapping) else None
    return text if isinstance(text, str) else ""


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:
        # A name too long for any file, or a folder that may not be looked into.
        return False


def _check_model(session: Session, loaded: Loaded) -> None:
    model = loaded.spec.get("model") if loaded.brings("model") else None
    if isinstance(model, str):
        find_asset(session, "model", model)
    elif model is not None:
        _local_path(loaded, model["path"], "model.path")


def _resolve_model(session: Session, loaded: Loaded) -> Plan | None:
    model = loaded.spec.get("model")
    if model is None:
        return None
    if isinstance(model, str):
        asset = find_asset(session, "model", model)
        return {"workspace": asset.workspace, "name": asset.name, "version": asset.version, "hash": asset.artifact}
    stored = artifacts.store_artifact(
        session.store, session.settings.artifacts, _local_path(loaded, model["path"], "model.path")
    )
    asset = register(session, "model", model, stored.hash, anonymous=stored.hash)
    return {"workspace": asset.workspace, "name": asset.name, "version": asset.version, "hash": stored.hash}


class ResolvedEnvironment:
    """A deployment's environment on its way to the plan: found and built, then registered."""

    def __init__(
        self,
        session: Session,
        loaded: Loaded,
        base: Base | None = None,
        needs: Sequence[str] = (),
        default: Source | None = None,
    ) -> None:
        self._session = session
        self._needs = needs
        self._default = default
        self._kept: Plan | None = None
        self._asset: Asset | None = None
        self._spec: dict[str, Any] | None = None
        self.label = "the deployment's environment"
        self.is_given = loaded.spec.get("environment") is not None
        is_kept = base is not None and not loaded.brings("environment")
        self._kept = base.plan.get("environment") if base and is_kept else None
        # What a model without a script runs in may depend on the model.
        is_settled = is_kept and not (default is not None and loaded.brings("model"))
        known = _find_interpreter(base.plan) if base and is_settled else None
        self.interpreter = known or self._ensure(loaded)

    def _ensure(self, loaded: Loaded) -> Interpreter:
        given = loaded.spec.get("environment")
        if self._kept is not None:
            self._asset = assets.get_asset(self._session.store, kind="environment", **self._kept)
        elif isinstance(given, str):
            if is_azures_own(self._session, given):
                self.label = given
                unknown = "it is one of Azure's own environments, whose packages are not known here"
                self.is_given = self._default is None
                return self._ensure_default(unknown) if self._default else own_interpreter(unknown)
            self._asset = find_asset(self._session, "environment", given)
        elif given is not None:
            source = environments.read_inline(given, loaded.folder, loaded.file)
            self._spec, self.label = source.spec, source.label
            return self._build(source)
        if self._asset is None:
            return self._ensure_default() if self._default else own_interpreter()
        source = environments.read_registered(self._asset)
        self.label = source.label
        return self._build(source)

    def _build(self, source: Source) -> Interpreter:
        """Build an environment; where its packages are not known, those that a model without a script needs."""
        if self._default is None or isinstance(source.spec.get("conda_file"), Mapping):
            return environments.ensure(self._session, source, needs=self._needs)
        self.is_given = False
        image = environments.ensure(self._session, source)
        return self._ensure_default(*image.drift)

    def _ensure_default(self, *drift: str) -> Interpreter:
        assert self._default is not None
        interpreter = environments.ensure(self._session, self._default)
        return replace(interpreter, drift=(*drift, *interpreter.drift))

    def register(self) -> Plan | None:
        """Register an inline environment; return how the plan names it, None without one."""
        if self._spec is not None:
            self._asset = register(self._session, "environment", self._spec, None, anonymous=None)
        if self._asset is None:
            return self._kept
        return {"workspace": self._asset.workspace, "name": self._asset.name, "version": self._asset.version}


def _find_interpreter(plan: Plan) -> Interpreter | None:
    """Return the interpreter that a plan names, if it is still there and still one of this mlctl's."""
    python = Path(plan["python"])
    is_own = python == Path(sys.executable)
    if not is_own and (runtime_environments.find_environment(python) is None or not python.exists()):
        return None
    return Interpreter(python, plan["python_version"], tuple(plan.get("drift", ())), is_own=is_own)


def register(
    session: Session, kind: str, spec: Mapping[str, Any], artifact: str | None, *, anonymous: str | None
) -> Asset:
    """Register a model or environment under its own name, or under its content's when it has none."""
    import hashlib
    import json

    digest = anonymous or hashlib.sha256(json.dumps(dict(spec), sort_keys=True).encode()).hexdigest()
    is_named = bool(spec.get("name"))
    anonymous_name = digest[:32] if kind == "model" else "CliV2AnonymousEnvironment"
    return assets.put_asset(
        session.store,
        kind=kind,
        workspace=session.workspace,
        name=spec["name"] if is_named else anonymous_name,
        version=spec.get("version") if is_named else ("1" if kind == "model" else digest[:32]),
        spec=spec,
        artifact=artifact,
    )


def inline_conda_file(environment: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the environment with the content of its conda file, and of requirement files, in place of the paths."""
    return environments.read_inline(environment, folder).spec


def find_asset(session: Session, kind: str, text: str) -> Asset:
    """Return the model or environment that a reference names; NotFound lists the versions there are."""
    reference = parse_reference(text, kind)  # pyright: ignore[reportArgumentType]  kind is one of the two
    if reference.version is not None:
        found = assets.get_asset(
            session.store, kind=kind, workspace=session.workspace, name=reference.name, version=reference.version
        )
    else:
        found = assets.latest_asset(session.store, kind=kind, workspace=session.workspace, name=reference.name)
    if found is None:
        raise _missing(session, kind, text, reference.name)
    return found


def is_azures_own(session: Session, text: str) -> bool:
    """Say whether a reference names a curated environment or one of a shared registry, and none registered here."""
    reference = parse_reference(text, "environment")
    is_curated = reference.registry is not None or reference.name.lower().startswith("azureml-")
    known = assets.list_assets(session.store, kind="environment", workspace=session.workspace, name=reference.name)
    return is_curated and not known


def _missing(session: Session, kind: str, text: str, name: str) -> NotFound:
    known = assets.list_assets(session.store, kind=kind, workspace=session.workspace, name=name)
    example = "-p ./model" if kind == "model" else "--image IMAGE --conda-file conda.yml"
    create = f"register it: mlctl {kind} create -n {name} -v VERSION {example}"
    versions = ", ".join(asset.version for asset in known)
    return NotFound(f"there is no {kind} {text}", hint=f"{name} has the versions {versions}" if known else create)


def _local_path(loaded: Loaded, text: str, field: str) -> Path:
    return find_local(loaded.folder, text, field)


def find_local(folder: Path, text: str, field: str) -> Path:
    """Return the path that a field names; InvalidInput when it is not on this machine. folder: where it starts."""
    if text.startswith(REMOTE):
        raise InvalidInput(
            f"{field}: {text} is not on this machine, and mlctl does not fetch it",
            hint=f"download it and give the path: {field}: ./folder",
        )
    path = (folder / text.removeprefix("file://")).resolve()
    if not _is_there(path):
        raise InvalidInput(
            f"{field}: {path} does not exist", hint=f"paths start from the file's folder: ls {path.parent}"
        )
    return path
