"""Which fields there are at which path of a model, and of what type. Used for hints and to read the text of `--set`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Union, cast, get_args, get_origin

from mlctl.entities.document import Path
from mlctl.entities.parts import Part


def find_types(model: type[Part], path: Path) -> tuple[Any, ...]:
    """List the types that may stand at a path: several for a union, none where there is no such field."""
    types: tuple[Any, ...] = (model,)
    for step in path:
        types = tuple(inner for outer in types for inner in _step_into(outer, step))
    return types


def list_fields_at(model: type[Part], path: Path) -> tuple[str, ...]:
    """List the names of the fields at a path; empty where names are free, as in `tags`."""
    names = [name for found in find_types(model, path) if is_part(found) for name in found.list_fields()]
    return tuple(dict.fromkeys(names))


def find_homes(model: type[Part], name: str) -> tuple[Path, ...]:
    """List the paths of all maps that have a field of that name, the upper ones first."""
    return tuple(path for path, part in _walk(model) if name in part.list_fields())


def is_part(found: Any) -> bool:
    """Say whether a type is one of our models."""
    return isinstance(found, type) and issubclass(found, Part)


def is_map(found: Any) -> bool:
    """Say whether a type is a map with free names, as `tags` is."""
    origin = get_origin(found)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _walk(model: type[Part]) -> Iterator[tuple[Path, type[Part]]]:
    level: list[tuple[Path, type[Part]]] = [((), model)]
    while level:
        yield from level
        level = [
            ((*path, name), inner)
            for path, part in level
            for name, annotation in part.list_fields().items()
            for inner in _unfold(annotation)
            if is_part(inner)
        ]


def _step_into(outer: Any, step: str | int) -> tuple[Any, ...]:
    if is_part(outer):
        fields = cast("type[Part]", outer).list_fields()
        return _unfold(fields[step]) if isinstance(step, str) and step in fields else ()
    origin = get_origin(outer)
    if not isinstance(origin, type):
        return ()
    if isinstance(step, str) and issubclass(origin, Mapping):
        return _unfold(get_args(outer)[1])
    if isinstance(step, int) and issubclass(origin, Sequence):
        return _unfold(get_args(outer)[0])
    return ()


def _unfold(annotation: Any) -> tuple[Any, ...]:
    """List the members of a union, without None and without what `Annotated` adds."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _unfold(get_args(annotation)[0])
    if origin is Union or origin is UnionType:
        return tuple(inner for member in get_args(annotation) for inner in _unfold(member))
    return () if annotation is NoneType else (annotation,)
