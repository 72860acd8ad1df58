"""Rules that put schemas together: all, any, one, none of them, one or the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, cast

from mlctl.scoring.json_schema.rules import Compiler, Path, Rule, Schema, all_of, choose_rule, simple
from mlctl.scoring.refusals import Fault


def build_all(compiler: Compiler, schema: Schema, path: Path) -> Rule:
    """Build `allOf`."""
    return all_of(compiler.compile_all(schema["allOf"], (*path, "allOf")))


def build_any(compiler: Compiler, schema: Schema, path: Path) -> Rule:
    """Build `anyOf`."""
    rules = compiler.compile_all(schema["anyOf"], (*path, "anyOf"))
    judges = [rule.fits for rule in rules]
    kinds: frozenset[type] = frozenset[type]().union(*(rule.kinds for rule in rules))
    keys = [_only_key(one) for one in schema["anyOf"]]

    def fits(value: Any) -> bool:
        return any(judge(value) for judge in judges)

    def find(value: Any, path: str) -> Iterator[Fault]:
        if not fits(value):
            if all(keys):
                yield Fault(path, f"must have one of the keys {', '.join(map(str, keys))}")
            else:
                yield from _find_nearest(rules, value, path)

    return Rule(fits, find, kinds)


def _only_key(schema: Any) -> str:
    """Return the one key that a schema asks for, if it asks for nothing else."""
    if not isinstance(schema, dict):
        return ""
    keywords = cast("Schema", schema)
    required: list[str] = keywords.get("required", []) if len(keywords) == 1 else []
    return required[0] if len(required) == 1 else ""


def _find_nearest(rules: Sequence[Rule], value: Any, path: str) -> Iterator[Fault]:
    """Tell the faults in the form that was probably meant: whose faults are deepest, then fewest."""
    found = [list(islice(rule.find(value, path), 100)) for rule in rules]
    nearest = max(found, key=lambda faults: (min(len(fault.path) for fault in faults), -len(faults)))
    if len(rules) > 1:
        yield Fault(path, f"fits none of the {len(rules)} forms that it may have; nearest to one of them:")
    yield from nearest


def build_one(compiler: Compiler, schema: Schema, path: Path) -> Rule:
    """Build `oneOf`."""
    rules = compiler.compile_all(schema["oneOf"], (*path, "oneOf"))

    def count(value: Any) -> int:
        return sum(rule.fits(value) for rule in rules)

    def find(value: Any, path: str) -> Iterator[Fault]:
        fitting = count(value)
        if fitting == 0:
            yield from _find_nearest(rules, value, path)
        elif fitting > 1:
            yield Fault(path, f"fits {fitting} of the {len(rules)} forms that it may have, one is allowed")

    return Rule(lambda value: count(value) == 1, find)


def build_not(compiler: Compiler, schema: Schema, path: Path) -> Rule:
    """Build `not`."""
    rule = compiler.compile(schema["not"], (*path, "not"))
    return simple(lambda value: not rule.fits(value), lambda value: "is what the schema excludes", frozenset())


def build_if(compiler: Compiler, schema: Schema, path: Path) -> Rule:
    """Build `if` with `then` and `else`."""
    condition = compiler.compile(schema["if"], (*path, "if"))
    then, otherwise = (compiler.compile(schema.get(name, True), (*path, name)) for name in ("then", "else"))
    return choose_rule(condition.fits, then, otherwise)


def build_reference(compiler: Compiler, schema: Schema, path: Path) -> Rule:
    """Build `$ref`."""
    return compiler.refer(schema["$ref"], path)
