"""`--set`, `--add` and `--remove` on update, as the Azure CLI applies them. Used by `ops` and the CLI."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from copy import deepcopy
from typing import Any, cast

from mlctl.entities.parts import Part
from mlctl.entities.shape import find_types, is_map, is_part
from mlctl.entities.values import show_value
from mlctl.errors import InvalidInput, UsageError

_SEGMENT = re.compile(r"\[[^\]]*\]|[^.\[\]]+")


def apply_generic_update(
    data: dict[str, Any],
    operations: Sequence[tuple[str, ...]],
    force_string: bool = False,
    *,
    model_class: type[Part] | None = None,
) -> dict[str, Any]:
    """Return the data with the operations applied in order.

    operations: ("set", "a.b=1", …), ("add", "path", "k=v" or JSON, …), ("remove", "path") or ("remove", "list", "0").
    Values are read as JSON where they are JSON; force_string turns that off. model_class: maps that it knows and the
    data leaves out are begun on the way, since az works on objects that have all of them.
    """
    changed = deepcopy(data)
    for verb, *arguments in operations:
        if verb == "set":
            for expression in arguments:
                _apply_set(changed, expression, force_string, model_class)
        elif verb == "add":
            _apply_add(changed, arguments, force_string, model_class)
        elif verb == "remove":
            _apply_remove(changed, arguments)
        else:
            raise UsageError(f"{verb} is not one of set, add and remove")
    return changed


def _apply_set(root: dict[str, Any], expression: str, force_string: bool, model_class: type[Part] | None) -> None:
    key, text = _split_pair(expression, f"--set {expression}", "--set instance_count=2")
    option = f"--set {expression}"
    *above, last = _split_path(key, option)
    _begin_maps(root, above, model_class)
    target = _find(root, above, option)
    value = _read_value(text, force_string)
    if isinstance(target, list):
        items = cast("list[Any]", target)
        items[_find_index(items, last, option)] = value
    elif isinstance(target, dict):
        entries = cast("dict[str, Any]", target)
        entries[_find_key(entries, last) or last] = value
    else:
        raise InvalidInput(f"{option}: {'.'.join(above)} is {show_value(target)}, nothing can be set in it")


def _apply_add(root: dict[str, Any], arguments: list[str], force_string: bool, model_class: type[Part] | None) -> None:
    if len(arguments) < 2:
        raise UsageError("--add needs a path and at least one value", hint="write --add path.of.list key=value")
    path, *values = arguments
    option = f"--add {path}"
    *above, last = _split_path(path, option)
    _begin_maps(root, above, model_class)
    parent = _find(root, above, option)
    if isinstance(parent, dict):
        entries = cast("dict[str, Any]", parent)
        key = _find_key(entries, last) or last
        if entries.get(key) is None:
            entries[key] = []
        last = key
    target = _step(parent, last, option)
    if not isinstance(target, list):
        raise InvalidInput(f"{option}: {path} is {show_value(target)}, not a list")
    cast("list[Any]", target).extend(_collect_items(values, force_string))


def _collect_items(values: list[str], force_string: bool) -> list[Any]:
    """Read the values of `--add`: pairs that follow each other make one map, everything else is an item by itself."""
    items: list[Any] = []
    is_in_map = False
    for value in values:
        name, separator, text = value.partition("=")
        if separator and not value.lstrip().startswith(("{", "[", '"')):
            if not is_in_map:
                items.append({})
            items[-1][name] = _read_value(text, force_string)
        else:
            items.append(_read_value(value, force_string))
        is_in_map = bool(separator) and isinstance(items[-1], dict)
    return items


def _apply_remove(root: dict[str, Any], arguments: list[str]) -> None:
    if not 1 <= len(arguments) <= 2:
        raise UsageError("--remove needs a path, and may be given an index", hint="write --remove tags.team")
    option = f"--remove {' '.join(arguments)}"
    segments = _split_path(arguments[0], option)
    if len(arguments) == 2:
        segments.append(f"[{arguments[1].strip('[]')}]")
    *above, last = segments
    target = _find(root, above, option)
    if isinstance(target, list):
        items = cast("list[Any]", target)
        del items[_find_index(items, last, option)]
        return
    _step(target, last, option)
    entries = cast("dict[str, Any]", target)
    del entries[_find_key(entries, last) or last]


def _split_pair(expression: str, option: str, example: str) -> tuple[str, str]:
    """Split at the first `=` that is not within brackets: filters hold one too."""
    match = re.match(r"((?:\[[^\]]*\]|[^=\[])+)=(.*)", expression, re.DOTALL)
    if match is None:
        raise UsageError(f"{option}: there is no = in it", hint=f"write {example}")
    return match[1], match[2]


def _split_path(path: str, option: str) -> list[str]:
    segments = _SEGMENT.findall(path)
    if not segments:
        raise UsageError(f'{option}: "{path}" is not a path')
    return segments


def _read_value(text: str, force_string: bool) -> Any:
    if force_string or len(text) > 1_000_000:
        return text
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return text


def _refuse_constant(name: str) -> None:
    """Leave NaN and Infinity text: no JSON reader would take them back."""
    raise ValueError(name)


def _begin_maps(root: dict[str, Any], segments: list[str], model_class: type[Part] | None) -> None:
    """Begin the maps on the way that the model knows and the document leaves out."""
    target: Any = root
    path: tuple[str, ...] = ()
    for segment in segments:
        if model_class is None or not isinstance(target, dict):
            return
        entries = cast("dict[str, Any]", target)
        key = _find_key(entries, segment) or _to_snake(segment)
        path = (*path, key)
        if entries.get(key) is None:
            if not any(is_part(found) or is_map(found) for found in find_types(model_class, path)):
                return
            entries[key] = {}
        target = entries[key]


def _find(root: Any, segments: list[str], option: str) -> Any:
    target = root
    for segment in segments:
        target = _step(target, segment, option)
    return target


def _step(target: Any, segment: str, option: str) -> Any:
    if isinstance(target, list):
        items = cast("list[Any]", target)
        return items[_find_index(items, segment, option)]
    entries = cast("dict[str, Any]", target) if isinstance(target, dict) else {}
    key = _find_key(entries, segment)
    if key is None:
        shown = show_value(cast("object", target))
        known = sorted(key for key in entries if key != "$schema")
        options = f"there are: {', '.join(known)}" if known else f"it would stand in {shown}"
        raise InvalidInput(f"{option}: there is no {segment}", hint=options)
    return entries[key]


def _find_key(entries: dict[str, Any], segment: str) -> str | None:
    """Find a key as it is written, else in snake_case: `instanceCount` is instance_count."""
    return next((key for key in (segment, _to_snake(segment)) if key in entries), None)


def _to_snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def _find_index(items: list[Any], segment: str, option: str) -> int:
    """Find an item by `[0]`, `[-1]` or `[name=x]`."""
    inner = segment[1:-1] if segment.startswith("[") else segment
    if re.fullmatch(r"-?[0-9]{1,6}", inner):
        if -len(items) <= int(inner) < len(items):
            return int(inner)
        raise InvalidInput(f"{option}: the list has {len(items)} items, [{inner}] is out of range")
    name, separator, text = inner.partition("=")
    found = [index for index, item in enumerate(items) if separator and _matches(item, name, text)]
    if len(found) != 1:
        raise InvalidInput(f"{option}: [{inner}] picks {len(found)} of {len(items)} items, it must pick one")
    return found[0]


def _matches(item: Any, name: str, text: str) -> bool:
    return isinstance(item, dict) and str(cast("dict[str, Any]", item).get(name)) == text
