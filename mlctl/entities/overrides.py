"""`--set` on create: text laid over a document before it is parsed. Used by `ops` and the CLI."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, cast

from mlctl.entities.document import Document, Path, render_path
from mlctl.entities.parts import Part
from mlctl.entities.shape import find_types
from mlctl.entities.values import show_value
from mlctl.errors import InvalidInput

_STEP = re.compile(r"\[(\d{1,6})\]|([^.\[\]]+)")


def override_document(document: Document, expressions: Sequence[str], model_class: type[Part]) -> Document:
    """Apply `--set` expressions to a document; what is wrong with such a value is then told of the option."""
    origins = {_split_expression(expression)[0]: f"--set {expression}" for expression in expressions}
    return document.replace_data(apply_overrides(document.data, expressions, model_class), origins)


def apply_overrides(data: dict[str, Any], expressions: Sequence[str], model_class: type[Part]) -> dict[str, Any]:
    """Return the data with `a.b[0]=value` applied in order. Values are text, read as the field's type wants it.

    Text that does not fit is left for `parse_document` to refuse. JSON is not parsed, as in az.
    """
    changed = deepcopy(data)
    for expression in expressions:
        path, text = _split_expression(expression)
        _assign(changed, path, _read_text(text, find_types(model_class, path)), expression)
    return changed


def _split_expression(expression: str) -> tuple[Path, str]:
    key, separator, text = expression.partition("=")
    if not separator or not key:
        raise InvalidInput(f"--set {expression}: there is no = in it", hint="write --set instance_count=2")
    path = tuple(int(match[1]) if match[1] else match[2] for match in _STEP.finditer(key))
    if render_path(path) != key or not isinstance(path[0], str):
        raise InvalidInput(f'--set {expression}: "{key}" is not a path', hint="write a.b=value or a.list[0]=value")
    return path, text


def _read_text(text: str, types: tuple[Any, ...]) -> object:
    """Read text as int, float or bool if the field is one; anything else stays text."""
    if bool in types and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if int in types and str not in types and re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        return int(text)
    if (
        float in types
        and str not in types
        and re.fullmatch(r"[+-]?[0-9]{1,18}(\.[0-9]{0,18})?|[+-]?\.[0-9]{1,18}", text)
    ):
        return float(text)
    return text


def _assign(root: dict[str, Any], path: Path, value: object, expression: str) -> None:
    """Walk down, making maps and lists on the way, and set the last step."""
    target: Any = root
    for position, step in enumerate(path):
        here = path[:position]
        is_last = position == len(path) - 1
        fresh: object = value if is_last else ([] if isinstance(path[position + 1], int) else {})
        if isinstance(step, int):
            _place_in_list(target, step, fresh, here, expression, replaces=is_last)
        else:
            _place_in_map(target, step, fresh, here, expression, replaces=is_last)
        target = target[step]


def _place_in_map(target: Any, step: str, fresh: object, here: Path, expression: str, *, replaces: bool) -> None:
    if not isinstance(target, dict):
        raise _obstructed(target, here, expression, "a map")
    entries = cast("dict[str, Any]", target)
    if replaces or entries.get(step) is None:
        entries[step] = fresh


def _place_in_list(target: Any, step: int, fresh: object, here: Path, expression: str, *, replaces: bool) -> None:
    if not isinstance(target, list):
        raise _obstructed(target, here, expression, "a list")
    items = cast("list[Any]", target)
    if step > len(items):
        raise InvalidInput(f"--set {expression}: {render_path(here)} has {len(items)} items, [{step}] is out of range")
    if step == len(items):
        items.append(fresh)
    elif replaces:
        items[step] = fresh


def _obstructed(target: object, here: Path, expression: str, wanted: str) -> InvalidInput:
    where = render_path(here)
    message = f"--set {expression}: {where} is {show_value(target)}, not {wanted}"
    return InvalidInput(message, hint=f"set all of it: --set {where}=…")
