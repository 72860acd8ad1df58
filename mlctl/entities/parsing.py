"""Documents to entities: all that is wrong is collected and told in plain words. Used by `ops` for every document."""

from __future__ import annotations

import re
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, TypeVar, cast

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mlctl.entities.component import PIPELINE_TAG
from mlctl.entities.deployment_settings import ScaleType
from mlctl.entities.document import Document, Path, refuse_document, render_path
from mlctl.entities.kinds import KINDS, find_kind_of_class
from mlctl.entities.parallel_step import PARALLEL_TAG
from mlctl.entities.parts import MAP_TAG, TEXT_TAG, Entity, Part
from mlctl.entities.schedule import INVOCATION_TAG, JOB_TAG, TriggerType
from mlctl.entities.shape import find_homes, find_types, is_part, list_fields_at
from mlctl.entities.values import list_words, show_value
from mlctl.errors import InvalidInput, Problem

_Entity = TypeVar("_Entity", bound=Entity)
_TAGS = {MAP_TAG, TEXT_TAG, PIPELINE_TAG, PARALLEL_TAG, INVOCATION_TAG, JOB_TAG}
# Field -> the names of its halves that pydantic puts after it.
_NAMED_TAGS = {"scale_settings": set(map(str, ScaleType)), "trigger": set(map(str, TriggerType))}
_NOT_A_MAP = {"model_type", "model_attributes_type", "dict_type", "mapping_type"}


def parse_document(document: Document, model_class: type[_Entity]) -> _Entity:
    """Turn a document into an entity, or raise one InvalidInput with all its problems, sorted by line."""
    try:
        return model_class.model_validate(document.data)
    except ValidationError as error:
        details = _leave_out_consequences(model_class, error.errors(include_url=False))
        problems = [_describe(document, model_class, detail) for detail in details]
        raise refuse_document(document.file, problems) from None


def check_document(document: Document, model_class: type[Entity]) -> tuple[Problem, ...]:
    """List what is wrong with a document, for `validate`; empty when nothing is."""
    try:
        parse_document(document, model_class)
    except InvalidInput as error:
        return error.problems
    return ()


def _describe(document: Document, model: type[Entity], detail: ErrorDetails) -> Problem:
    """Translate one finding of pydantic."""
    path = _clean_path(detail["loc"])
    kind, context = detail["type"], detail.get("ctx", {})
    if kind == "refused":
        path = (*path, context["key"]) if context.get("key") else path
        problem = document.problem(path, context["message"], context["hint"])
        return _explain_boolean(problem) if isinstance(detail["input"], bool) else problem
    if kind == "extra_forbidden":
        return document.problem(path, "unknown field", _suggest_field(model, path), at_key=True)
    if kind == "missing":
        return document.problem(path, "is missing", _suggest_value(model, path))
    return document.problem(path, *_describe_shape(model, path, detail))


def _explain_boolean(problem: Problem) -> Problem:
    """Say that a word became a boolean on the way: `off` is read as false. Quoted it is text, where that will do."""
    word = re.match(r"(yes|no|on|off)\b", problem.excerpt[problem.column - 1 :], re.IGNORECASE)
    if word is None:
        return problem
    read = "true" if word[0].lower() in ("yes", "on") else "false"
    is_number_wanted = "number" in problem.message
    quoted = "" if is_number_wanted else f'; in quotation marks it is text: "{word[0]}"'
    return replace(problem, hint=f"YAML reads {word[0]} as {read}{quoted}")


def _describe_shape(model: type[Entity], path: Path, detail: ErrorDetails) -> tuple[str, str]:
    """Say (message, hint) for a value that is not a map or list though it should be."""
    if detail["input"] is None:
        return "is empty", "leave the line out, or give it a value"
    if detail["type"] in _NOT_A_MAP:
        return f"{show_value(detail['input'])} is not a map", _list_known(model, path)
    if detail["type"] == "list_type":
        return f"{show_value(detail['input'])} is not a list", "each item is a line of its own that begins with -"
    return detail["msg"][:1].lower() + detail["msg"][1:], ""


def _leave_out_consequences(model: type[Entity], details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Leave out what is missing only because it was misspelt or put elsewhere: the unknown field says it already."""
    meant: set[Path] = set()
    for path in (_clean_path(detail["loc"]) for detail in details if detail["type"] == "extra_forbidden"):
        meant.update((*home, path[-1]) for home in find_homes(model, str(path[-1])))
        meant.update((*path[:-1], name) for name in _find_near(model, path[:-1], str(path[-1])))
    return [detail for detail in details if detail["type"] != "missing" or _clean_path(detail["loc"]) not in meant]


def _clean_path(location: tuple[int | str, ...]) -> Path:
    """Leave out the names of the halves of unions, which pydantic puts in between."""
    path: list[int | str] = []
    for step in location:
        if step in _TAGS or (len(path) == 1 and step in _NAMED_TAGS.get(str(path[0]), ())):
            continue
        path.append(step)
    return tuple(path)


def _suggest_field(model: type[Entity], path: Path) -> str:
    """Tell what was probably meant by an unknown field, or where it belongs."""
    parent, name = path[:-1], str(path[-1])
    for owner in find_types(model, parent):
        if is_part(owner) and name in cast("type[Part]", owner).misplaced:
            return cast("type[Part]", owner).misplaced[name]
    return (
        _suggest_home(model, name)
        or _suggest_sibling(model, parent, name)
        or _suggest_near(model, parent, name)
        or _list_known(model, parent)
    )


def _suggest_sibling(model: type[Entity], parent: Path, name: str) -> str:
    """Tell that the other kind of the same family has the field: `compute`, `resources`, `mirror_traffic`."""
    kind = find_kind_of_class(model)
    for other in KINDS:
        is_sibling = kind is not None and other.family == kind.family and other is not kind
        if is_sibling and name in list_fields_at(other.model_class, parent):
            return f"only a {other.model_class.label} has it ({other.when})"
    return ""


def _suggest_home(model: type[Entity], name: str) -> str:
    homes = tuple(dict.fromkeys(render_path(home) for home in find_homes(model, name)))
    if not homes:
        return ""
    return "it belongs at the top level" if homes[0] == "" else f"it belongs under {list_words(homes[:3])}"


def _suggest_near(model: type[Entity], parent: Path, name: str) -> str:
    near = _find_near(model, parent, name)
    return f"did you mean {near[0]}?" if near else ""


def _find_near(model: type[Entity], parent: Path, name: str) -> list[str]:
    return get_close_matches(name.lower(), list_fields_at(model, parent), n=1)


def _list_known(model: type[Entity], path: Path) -> str:
    known = list_fields_at(model, path)
    return f"known here: {', '.join(known)}" if 0 < len(known) <= 8 else ""


def _suggest_value(model: type[Entity], path: Path) -> str:
    """Show an example for a missing field, as the model gives one."""
    for owner in find_types(model, path[:-1]):
        fields: dict[str, Any] = dict(owner.model_fields) if is_part(owner) else {}
        examples = fields[path[-1]].examples if path[-1] in fields else None
        if examples:
            return f"for example {path[-1]}: {examples[0]}"
    return ""
