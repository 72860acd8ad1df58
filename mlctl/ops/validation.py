"""Documents checked without changing anything: what mlctl refuses in them, and on request what Azure's client would."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mlctl.entities.deployment_settings import ScaleType
from mlctl.entities.document import Document
from mlctl.entities.document import Path as DocumentPath
from mlctl.entities.kinds import (
    CHOICES,
    KINDS,
    PIPELINE_BATCH_DEPLOYMENT,
    Kind,
    find_kind,
    find_kind_of_class,
    is_complete,
    is_conda_file,
)
from mlctl.entities.model import ModelType
from mlctl.entities.parsing import check_document
from mlctl.entities.values import match_word
from mlctl.errors import InvalidInput, Problem
from mlctl.ops.batch_validation import list_batch_problems
from mlctl.ops.loading import read_document

FAMILIES = {
    **CHOICES,
    "online-endpoint": CHOICES["endpoint"],
    "online-deployment": CHOICES["deployment"],
    "batch": CHOICES["batch-endpoint"],
}


@dataclass(frozen=True)
class FileReport:
    """What is wrong with one file. kind: the schema's name, None: cannot be told; is_partial: an update merges it."""

    file: str
    kind: str | None
    problems: tuple[Problem, ...]
    is_partial: bool = False

    @property
    def is_valid(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def validate(files: Sequence[Path], *, kind: str | None = None, for_azure: bool = False) -> list[FileReport]:
    """Check files; the kind comes from `$schema`, else from the fields, else from `kind`."""
    if kind is not None:
        _check_kind(kind)
    return [_validate_file(file, kind, for_azure) for file in files]


def list_kinds() -> tuple[str, ...]:
    """Name what `kind` may be: a schema, or a family whose fields tell the rest."""
    return tuple(dict.fromkeys((*(kind.name for kind in KINDS), *FAMILIES)))


def _check_kind(kind: str) -> None:
    if kind.lower() not in {name.lower() for name in list_kinds()}:
        raise InvalidInput(f"there is no kind {kind}", hint=f"kinds: {', '.join(list_kinds())}")


def _validate_file(file: Path, kind_name: str | None, for_azure: bool) -> FileReport:
    try:
        document = read_document(file)
    except InvalidInput as error:
        return FileReport(str(file), None, error.problems or (Problem(error.message, str(file), hint=error.hint),))
    kind = find_kind(document.data) or _find_named(kind_name, document.data)
    if kind is None and is_conda_file(document.data):
        hint = "an environment names it: conda_file: " + file.name
        return FileReport(str(file), None, (document.problem((), "this is a conda file", hint),))
    if kind is None:
        hint = "give --kind, or begin with $schema: " + KINDS[2].schema_url
        return FileReport(str(file), None, (document.problem((), "its kind cannot be told from its fields", hint),))
    is_partial = kind.family in ("deployment", "batch-deployment") and not is_complete(document.data, kind)
    checked = _fill_in(document, kind) if is_partial else document
    problems = list(check_document(checked, kind.model_class))
    if for_azure:
        problems += [_mark(problem) for problem in _list_azure_problems(document, kind, is_partial)]
    ordered = sorted(problems, key=lambda problem: (problem.line, problem.column))
    return FileReport(str(file), kind.name, tuple(ordered), is_partial)


def _find_named(name: str | None, data: Mapping[str, Any]) -> Kind | None:
    if name is None:
        return None
    choose = FAMILIES.get(name.lower())
    if choose is not None:
        return find_kind_of_class(choose(data))
    return next((kind for kind in KINDS if kind.name.lower() == name.lower()), None)


def _fill_in(document: Document, kind: Kind) -> Document:
    """Give a document that is meant to be merged what it leaves to the deployment that is there."""
    examples = {"name": "blue", "endpoint_name": "fraud-endpoint", "instance_type": "Standard_DS3_v2"}
    if kind is PIPELINE_BATCH_DEPLOYMENT:
        examples |= {"type": "pipeline"}
        document = document.replace_data({"component": "./component.yml", **document.data})
    missing = {name: examples[name] for name in kind.model_class.list_required() if document.data.get(name) is None}
    return document.replace_data({**missing, **document.data})


# What Azure's client refuses though mlctl takes it. Source: az's surface, sections 3.0 to 3.4.


def _mark(problem: Problem) -> Problem:
    return Problem(
        f"Azure refuses: {problem.message}",
        problem.file,
        problem.line,
        problem.column,
        problem.hint,
        problem.excerpt,
        problem.width,
    )


def _list_azure_problems(document: Document, kind: Kind, is_partial: bool) -> Iterator[Problem]:
    if kind.family == "endpoint":
        yield from _check_endpoint(document)
    if kind.family == "deployment":
        if is_partial:
            yield from _check_whole(document, kind)
        yield from _check_collections(document)
        yield from _check_scaling(document, kind)
        yield from _check_model_alone(document)
    if kind.family == "batch-deployment" and is_partial:
        yield from _check_whole(document, kind)
    yield from list_batch_problems(document, kind)


def _check_endpoint(document: Document) -> Iterator[Problem]:
    name = "egress_public_network_access"
    if name in document.data:
        hint = "Azure knows it on managed deployments only"
        yield document.problem((name,), "unknown field of an endpoint", hint, at_key=True)


def _check_whole(document: Document, kind: Kind) -> Iterator[Problem]:
    needed = [name for name in kind.model_class.list_required() if document.data.get(name) is None]
    names = [name for name in needed if name not in ("name", "endpoint_name")]
    neither = "neither model nor environment" if kind.family == "deployment" else "nothing that it would run"
    what = f" ({', '.join(names)} is missing)" if names else f" ({neither})"
    yield document.problem((), f"this is no whole deployment{what}, mlctl merges it", "write all fields, or use --set")


def _check_collections(document: Document) -> Iterator[Problem]:
    collections = _map_at(document.data, ("data_collector", "collections"))
    for name in collections:
        path = ("data_collector", "collections", name, "enabled")
        value = _map_at(collections, (name,)).get("enabled")
        if isinstance(value, bool):
            word = "true" if value else "false"
            yield document.problem(path, f"{word} is not text", f"write it in quotation marks: enabled: '{word}'")


def _check_scaling(document: Document, kind: Kind) -> Iterator[Problem]:
    scaling = _map_at(document.data, ("scale_settings",))
    is_automatic = match_word(scaling.get("type"), (ScaleType.TARGET_UTILIZATION,)) is not None
    if is_automatic and kind.name.startswith("managed"):
        hint = "managed deployments are scaled by rules of Azure Monitor there; here it works"
        yield document.problem(("scale_settings", "type"), "target_utilization is for Kubernetes only", hint)
    if "cooldown_period" in scaling:
        hint = "leave it out of files that go to Azure"
        yield document.problem(("scale_settings", "cooldown_period"), "unknown field", hint, at_key=True)


def _check_model_alone(document: Document) -> Iterator[Problem]:
    """Tell of models that are served without a script here only. Of registered ones nothing is known."""
    model, environment = (_map_at(document.data, (name,)) for name in ("model", "environment"))
    is_custom = match_word(model.get("type", ModelType.CUSTOM_MODEL), (ModelType.CUSTOM_MODEL,)) is not None
    is_alone = document.data.get("code_configuration") is None and "inference_config" not in environment
    if model and is_custom and is_alone:
        hint = "there only mlflow_model and triton_model do without: add code_configuration"
        yield document.problem(("model",), "a custom_model cannot be served without a scoring script", hint)


def _map_at(data: Mapping[str, Any], path: DocumentPath) -> Mapping[str, Any]:
    """Follow a path; an empty map where something else is."""
    found: Any = data
    for step in path:
        found = cast("Mapping[Any, Any]", found).get(step) if isinstance(found, Mapping) else None
    return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}
