"""What a compiled schema consists of, and how rules are put together."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from mlctl.scoring.refusals import Fault

Path = tuple[str | int, ...]
Fits = Callable[[Any], bool]
Find = Callable[[Any, str], Iterable[Fault]]
FitAll = Callable[[list[Any]], bool]
Schema = Mapping[str, Any]

# The types of the values that json.loads makes.
ALL_KINDS: frozenset[type] = frozenset((type(None), bool, int, float, str, list, dict))
_LONGEST_SHOWN = 60
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SchemaRefused(Exception):
    """The schema asks for what is not supported here. path: where in the schema."""

    def __init__(self, path: Path, message: str) -> None:
        super().__init__(message)
        self.path = path


@dataclass(frozen=True)
class Rule:
    """One schema, or one keyword of it.

    fits: the quick judge. find: every fault of a value at a path. kinds: the Python types, as json.loads makes them,
    whose values fit whatever they are: most lists are judged by the types in them. fit_all: says yes of a list whose
    values all fit, quickly; a no means nothing.
    """

    fits: Fits
    find: Find
    kinds: frozenset[type] = frozenset()
    fit_all: FitAll | None = None


class Compiler(Protocol):
    """What builders of rules ask of the compiler: to compile the schemas in theirs. path: where these stand."""

    def compile(self, schema: Any, path: Path) -> Rule:
        """Compile a schema."""
        ...

    def compile_all(self, schemas: Any, path: Path) -> list[Rule]:
        """Compile a list of schemas."""
        ...

    def compile_map(self, schemas: Any, path: Path) -> dict[str, Rule]:
        """Compile schemas that have names."""
        ...

    def refer(self, reference: Any, path: Path) -> Rule:
        """Compile what a `$ref` names."""
        ...


# Builds a keyword's rule, given the schema that has the keyword; None: it has no effect there.
Builder = Callable[[Compiler, Schema, Path], "Rule | None"]


def accept(value: Any) -> bool:
    """Take everything."""
    return True


def reject(value: Any) -> bool:
    """Take nothing."""
    return False


ANYTHING = Rule(accept, lambda value, path: (), ALL_KINDS)
NOTHING = Rule(reject, lambda value, path: (Fault(path, "is not allowed"),))


def all_of(rules: Sequence[Rule]) -> Rule:
    """Put rules together that all have to hold."""
    if not rules:
        return ANYTHING
    if len(rules) == 1:
        return rules[0]
    judges = [rule.fits for rule in rules]
    kinds = ALL_KINDS.intersection(*(rule.kinds for rule in rules))

    def fits(value: Any) -> bool:
        for judge in judges:  # noqa: SIM110  a generator takes twice as long
            if not judge(value):
                return False
        return True

    def find(value: Any, path: str) -> Iterator[Fault]:
        for rule in rules:
            yield from rule.find(value, path)

    return Rule(fits, find, kinds, _fit_all_of(rules))


def _fit_all_of(rules: Sequence[Rule]) -> FitAll | None:
    if not any(rule.fit_all for rule in rules):
        return None
    judges = [rule.fit_all or _fit_by_kind(rule.kinds) for rule in rules]
    return lambda values: all(judge(values) for judge in judges)


def _fit_by_kind(kinds: frozenset[type]) -> FitAll:
    return lambda values: kinds.issuperset(map(type, values))


def simple(fits: Fits, describe: Callable[[Any], str], kinds: frozenset[type], fit_all: FitAll | None = None) -> Rule:
    """Make a rule that has one fault at most, at the value itself."""

    def find(value: Any, path: str) -> Iterable[Fault]:
        return () if fits(value) else (Fault(path, describe(value)),)

    return Rule(fits, find, kinds, fit_all)


def choose_rule(holds: Fits, then: Rule, otherwise: Rule) -> Rule:
    """Make a rule of two: one for the values of which `holds` is true, one for the others."""
    return Rule(
        lambda value: then.fits(value) if holds(value) else otherwise.fits(value),
        lambda value, path: then.find(value, path) if holds(value) else otherwise.find(value, path),
        then.kinds & otherwise.kinds,
    )


def freeze(value: Any) -> Any:
    """Make values comparable as JSON compares them: 1 is 1.0, but true is not 1; fields have no order."""
    if isinstance(value, list):
        return ("list", *map(freeze, cast("list[Any]", value)))
    if isinstance(value, dict):
        return frozenset((name, freeze(item)) for name, item in cast("Schema", value).items())
    return (value,) if isinstance(value, bool | None) else value


def show(value: Any) -> str:
    """Render a value as a message quotes it."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + "…"


_UNITS: Mapping[type, tuple[str, str]] = {
    str: ("character", "characters"),
    list: ("item", "items"),
    dict: ("field", "fields"),
}


def limit_size(keyword: str, kind: type, *, is_least: bool) -> Builder:
    """Make the builder of a limit for what text, lists and objects hold."""

    def build(compiler: Compiler, schema: Schema, path: Path) -> Rule:
        limit = schema[keyword]

        def fits(value: Any) -> bool:
            return type(value) is not kind or (len(value) >= limit if is_least else len(value) <= limit)

        def describe(value: Any) -> str:
            one, several = _UNITS[kind]
            unit = one if limit == 1 else several
            return f"must have {'at least' if is_least else 'at most'} {limit:,} {unit}, it has {len(value):,}"

        return simple(fits, describe, ALL_KINDS - {kind})

    return build


def compile_pattern(text: str, path: Path) -> re.Pattern[str]:
    """Compile a regular expression; those of JavaScript are Python's as well, with few exceptions."""
    try:
        return re.compile(text)
    except re.error as error:
        raise SchemaRefused(path, f"{show(text)} is no regular expression for Python: {error}") from None


def list_words(words: Sequence[str]) -> str:
    """Join as people do: `a list, a string or null`."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def reword(rule: Rule, message: str) -> Rule:
    """Make a rule that tells one fault in words of its own, instead of all."""
    return Rule(
        rule.fits, lambda value, path: () if rule.fits(value) else (Fault(path, message),), rule.kinds, rule.fit_all
    )


def extend_path(path: str, name: str) -> str:
    """Return the path of a field."""
    return f"{path}.{name}" if _IDENTIFIER.fullmatch(name) else f"{path}[{show(name)}]"
