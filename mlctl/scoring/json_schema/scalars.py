"""Rules for single values: types, choices, numbers, text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

from mlctl.scoring.json_schema.rules import (
    ALL_KINDS,
    Builder,
    Compiler,
    Path,
    Rule,
    Schema,
    SchemaRefused,
    compile_pattern,
    freeze,
    list_words,
    show,
    simple,
)
from mlctl.scoring.refusals import name_kind

_NUMBERS = frozenset({int, float})
_KINDS: dict[str, tuple[frozenset[type], str]] = {
    "null": (frozenset({type(None)}), "null"),
    "boolean": (frozenset({bool}), "a boolean"),
    "integer": (frozenset({int}), "a whole number"),
    "number": (frozenset({int, float}), "a number"),
    "string": (frozenset({str}), "a string"),
    "array": (frozenset({list}), "a list"),
    "object": (frozenset({dict}), "an object"),
}


def build_type(compiler: Compiler, schema: Schema, path: Path) -> Rule:
    """Build `type`."""
    given = schema["type"]
    names: list[str] = [given] if isinstance(given, str) else list(given)
    for name in names:
        if name not in _KINDS:
            raise SchemaRefused((*path, "type"), f'"{name}" is no type')
    kinds: frozenset[type] = frozenset[type]().union(*(_KINDS[name][0] for name in names))
    takes_whole = "integer" in names and "number" not in names
    wanted = list_words([_KINDS[name][1] for name in names])

    def fits(value: Any) -> bool:
        return type(value) in kinds or (takes_whole and type(value) is float and value.is_integer())

    return simple(fits, lambda value: f"must be {wanted}, it is {name_kind(value)}", kinds)


def _one_of_values(values: Sequence[Any]) -> Rule:
    frozen = {freeze(one) for one in values}
    wanted = ", ".join(map(show, values[:20])) + (", …" if len(values) > 20 else "")
    rule = "must be one of " if len(values) > 1 else "must be "
    return simple(
        lambda value: freeze(value) in frozen,
        lambda value: f"{rule}{wanted}, it is {show(value)}",
        frozenset(),
    )


def build_enum(compiler: Compiler, schema: Schema, path: Path) -> Rule:
    """Build `enum`."""
    return _one_of_values(schema["enum"])


def build_const(compiler: Compiler, schema: Schema, path: Path) -> Rule:
    """Build `const`."""
    return _one_of_values([schema["const"]])


# Numbers


def build_bound(keyword: str, words: str, holds: Callable[[Any, Any], bool]) -> Builder:
    """Make the builder of a limit for numbers. words: how it is told."""

    def build(compiler: Compiler, schema: Schema, path: Path) -> Rule | None:
        limit = schema[keyword]
        if isinstance(limit, bool):  # draft 4: says what `minimum` means
            return None
        strict = schema.get(f"exclusive{keyword.capitalize()}") is True
        compare = _STRICT[keyword][1] if strict else holds
        said = _STRICT[keyword][0] if strict else words

        def fits(value: Any) -> bool:
            return type(value) not in (int, float) or compare(value, limit)

        def fit_all(values: list[Any]) -> bool:
            if not _NUMBERS.issuperset(map(type, values)):
                return False
            outermost = find_outermost(values, default=limit)
            # NaN compares with nothing, and may hide what is beside it.
            return not values or (outermost == outermost and compare(outermost, limit))

        return simple(fits, lambda value: f"must be {said} {limit}, it is {value}", ALL_KINDS - _NUMBERS, fit_all)

    find_outermost: Callable[..., Any] = min if keyword.lower().endswith("minimum") else max
    return build


_STRICT: dict[str, tuple[str, Callable[[Any, Any], bool]]] = {
    "minimum": ("more than", lambda value, limit: not value <= limit),
    "maximum": ("less than", lambda value, limit: not value >= limit),
}


def build_multiple_of(compiler: Compiler, schema: Schema, path: Path) -> Rule:
    """Build `multipleOf`."""
    step = schema["multipleOf"]

    def fits(value: Any) -> bool:
        if type(value) not in (int, float):
            return True
        if isinstance(step, float) or isinstance(value, float):
            try:
                return (value / step).is_integer()
            except (OverflowError, ValueError):
                return abs(value) != float("inf") and Fraction(value) % Fraction(step) == 0
        return value % step == 0

    return simple(fits, lambda value: f"must be a multiple of {step}, it is {value}", ALL_KINDS - {int, float})


def build_pattern(compiler: Compiler, schema: Schema, path: Path) -> Rule:
    """Build `pattern`."""
    search = compile_pattern(schema["pattern"], (*path, "pattern")).search
    return simple(
        lambda value: type(value) is not str or search(value) is not None,
        lambda value: f"must match {schema['pattern']}, it is {show(value)}",
        ALL_KINDS - {str},
    )
