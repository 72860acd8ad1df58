"""Rules for lists and objects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from mlctl.scoring.json_schema.rules import (
    ALL_KINDS,
    ANYTHING,
    NOTHING,
    Builder,
    Compiler,
    Path,
    Rule,
    Schema,
    all_of,
    choose_rule,
    compile_pattern,
    extend_path,
    freeze,
    reject,
    show,
    simple,
)
from mlctl.scoring.refusals import Fault


def build_items(compiler: Compiler, schema: Schema, path: Path) -> Rule:
    """Build `prefixItems`, `items` and `additionalItems` together: what one leaves is the next one's."""
    given = schema.get("items", True)
    if isinstance(given, list):  # up to draft 2019-09
        prefix = compiler.compile_all(given, (*path, "items"))
        rest = compiler.compile(schema.get("additionalItems", True), (*path, "additionalItems"))
    else:
        prefix = compiler.compile_all(schema.get("prefixItems", ()), (*path, "prefixItems"))
        rest = compiler.compile(given, (*path, "items"))
    return _items_rule(prefix, rest)


def _items_rule(prefix: Sequence[Rule], rest: Rule) -> Rule:
    judges, count = [(rule.kinds, rule.fits) for rule in prefix], len(prefix)
    kinds, judge, fit_all = rest.kinds, rest.fits, rest.fit_all

    def fits(value: Any) -> bool:
        if type(value) is not list:
            return True
        found = cast("list[Any]", value)
        for item, (fine, fits_here) in zip(found, judges):  # noqa: B905  the shorter one counts
            if type(item) not in fine and not fits_here(item):
                return False
        others = found[count:] if count else found
        if kinds.issuperset(map(type, others)) or (fit_all is not None and fit_all(others)):
            return True
        return all(map(judge, others))

    def find(value: Any, path: str) -> Iterator[Fault]:
        for number, item in enumerate(cast("list[Any]", value) if type(value) is list else ()):
            rule = prefix[number] if number < count else rest
            if not rule.fits(item):
                yield from rule.find(item, f"{path}[{number}]")

    return Rule(fits, find, ALL_KINDS - {list})


def build_items_alone(compiler: Compiler, schema: Schema, path: Path) -> Rule | None:
    """Build `items` where there is no `prefixItems`, which brings it along."""
    return None if "prefixItems" in schema else build_items(compiler, schema, path)


def build_contains(compiler: Compiler, schema: Schema, path: Path) -> Rule:
    """Build `contains` with `minContains` and `maxContains`."""
    wanted = schema["contains"]
    rule = compiler.compile(wanted, (*path, "contains"))
    least, most = schema.get("minContains", 1), schema.get("maxContains", float("inf"))

    def count(value: Any) -> int:
        return sum(map(rule.fits, value))

    def describe(value: Any) -> str:
        if isinstance(wanted, dict) and "const" in wanted and not count(value):
            return f"lacks {show(cast('Schema', wanted)['const'])}"
        return f"has {count(value)} items that fit `contains`, from {least} to {most} are needed"

    return simple(
        lambda value: type(value) is not list or least <= count(value) <= most,
        describe,
        ALL_KINDS - {list},
    )


def build_unique_items(compiler: Compiler, schema: Schema, path: Path) -> Rule | None:
    """Build `uniqueItems`."""
    if not schema["uniqueItems"]:
        return None

    def fits(value: Any) -> bool:
        if type(value) is not list:
            return True
        found = cast("list[Any]", value)
        return len(set(map(freeze, found))) == len(found)

    return simple(fits, lambda value: "has items that are equal", ALL_KINDS - {list})


def build_properties(compiler: Compiler, schema: Schema, path: Path) -> Rule:
    """Build `properties`."""
    rules = compiler.compile_map(schema["properties"], (*path, "properties"))
    judges = [(name, rule.fits) for name, rule in rules.items()]

    def fits(value: Any) -> bool:
        if type(value) is dict:
            for name, judge in judges:
                if name in value and not judge(value[name]):
                    return False
        return True

    def find(value: Any, path: str) -> Iterator[Fault]:
        for name, rule in rules.items() if type(value) is dict else ():
            if name in value and not rule.fits(value[name]):
                yield from rule.find(value[name], extend_path(path, name))

    return Rule(fits, find, ALL_KINDS - {dict})


def _select(choose: Callable[[str], bool], rule: Rule) -> Rule:
    """Make a rule for the fields whose names are chosen."""

    def fits(value: Any) -> bool:
        if type(value) is not dict:
            return True
        return all(rule.fits(item) for name, item in cast("Schema", value).items() if choose(name))

    def find(value: Any, path: str) -> Iterator[Fault]:
        for name, item in cast("Schema", value).items() if type(value) is dict else ():
            if choose(name):
                yield from rule.find(item, extend_path(path, name))

    return Rule(fits, find, ALL_KINDS - {dict})


def build_pattern_properties(compiler: Compiler, schema: Schema, path: Path) -> Rule:
    """Build `patternProperties`."""
    here = (*path, "patternProperties")
    rules = compiler.compile_map(schema["patternProperties"], here)
    searches = {name: compile_pattern(name, (*here, name)).search for name in rules}
    return all_of(
        [_select(lambda name, search=searches[text]: search(name) is not None, rule) for text, rule in rules.items()]
    )


def build_additional_properties(compiler: Compiler, schema: Schema, path: Path) -> Rule | None:
    """Build `additionalProperties`."""
    rule = compiler.compile(schema["additionalProperties"], (*path, "additionalProperties"))
    known = frozenset(schema.get("properties", ()))
    patterns = [compile_pattern(text, path) for text in schema.get("patternProperties", ())]

    def is_additional(name: str) -> bool:
        return name not in known and not any(pattern.search(name) for pattern in patterns)

    if rule is ANYTHING:
        return None
    if rule is not NOTHING:
        return _select(is_additional, rule)
    listed = f"known here: {', '.join(sorted(known)[:20])}" if known else "no fields are known here"
    named = Rule(reject, lambda value, path: (Fault(path, f"is not a known field; {listed}"),))
    return _select(is_additional, named)


def _missing(path: str, name: str) -> Fault:
    return Fault(extend_path(path, name), "is missing")


def build_required(compiler: Compiler, schema: Schema, path: Path) -> Rule | None:
    """Build `required`."""
    if isinstance(schema["required"], bool):  # draft 3's; unknown since
        return None
    names: Sequence[str] = tuple(schema["required"])
    needed = frozenset(names)

    def fits(value: Any) -> bool:
        return type(value) is not dict or needed <= value.keys()

    def find(value: Any, path: str) -> Iterator[Fault]:
        yield from (_missing(path, name) for name in names if type(value) is dict and name not in value)

    return Rule(fits, find, ALL_KINDS - {dict})


def build_property_names(compiler: Compiler, schema: Schema, path: Path) -> Rule:
    """Build `propertyNames`."""
    rule = compiler.compile(schema["propertyNames"], (*path, "propertyNames"))

    def find(value: Any, path: str) -> Iterator[Fault]:
        for name in cast("Schema", value) if type(value) is dict else ():
            for fault in rule.find(name, path):
                yield Fault(extend_path(path, name), f"is no name for a field: {fault.message}")

    return Rule(
        lambda value: type(value) is not dict or all(map(rule.fits, cast("Schema", value))), find, ALL_KINDS - {dict}
    )


def build_dependency(keyword: str) -> Builder:
    """Make the builder of what a field asks of the others when it is there: names, or a schema."""

    def build(compiler: Compiler, schema: Schema, path: Path) -> Rule:
        rules: list[Rule] = []
        for name, needed in schema[keyword].items():
            if isinstance(needed, list):
                rule = build_required(compiler, {"required": needed}, path) or ANYTHING
            else:
                rule = compiler.compile(needed, (*path, keyword, name))
            rules.append(choose_rule(lambda value, name=name: type(value) is dict and name in value, rule, ANYTHING))
        return all_of(rules)

    return build
