"""From a schema to its rule."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, cast
from urllib.parse import unquote

from mlctl.scoring.json_schema import combinations, containers, scalars
from mlctl.scoring.json_schema.rules import (
    ANYTHING,
    NOTHING,
    Builder,
    Path,
    Rule,
    Schema,
    SchemaRefused,
    all_of,
    limit_size,
    reword,
)
from mlctl.scoring.refusals import Fault

_UNSUPPORTED = ("$dynamicRef", "$recursiveRef", "unevaluatedItems", "unevaluatedProperties")
# What is told in place of all faults, as with ajv-errors.
_MESSAGE = "errorMessage"
# Up to this draft a $ref stands alone: what is beside it has no effect.
_LONELY_REFERENCES = ("draft-04", "draft-06", "draft-07")

# In the order in which faults are told; the type comes first, for most values it is all there is to say. Comparisons
# are turned round, so that NaN is within all bounds, as with jsonschema.
_BUILDERS: Mapping[str, Builder] = {
    "type": scalars.build_type,
    "$ref": combinations.build_reference,
    "enum": scalars.build_enum,
    "const": scalars.build_const,
    "minimum": scalars.build_bound("minimum", "at least", lambda value, limit: not value < limit),
    "maximum": scalars.build_bound("maximum", "at most", lambda value, limit: not value > limit),
    "exclusiveMinimum": scalars.build_bound("exclusiveMinimum", "more than", lambda value, limit: not value <= limit),
    "exclusiveMaximum": scalars.build_bound("exclusiveMaximum", "less than", lambda value, limit: not value >= limit),
    "multipleOf": scalars.build_multiple_of,
    "minLength": limit_size("minLength", str, is_least=True),
    "maxLength": limit_size("maxLength", str, is_least=False),
    "pattern": scalars.build_pattern,
    "minItems": limit_size("minItems", list, is_least=True),
    "maxItems": limit_size("maxItems", list, is_least=False),
    "prefixItems": containers.build_items,
    "items": containers.build_items_alone,
    "contains": containers.build_contains,
    "uniqueItems": containers.build_unique_items,
    "minProperties": limit_size("minProperties", dict, is_least=True),
    "maxProperties": limit_size("maxProperties", dict, is_least=False),
    "required": containers.build_required,
    "properties": containers.build_properties,
    "patternProperties": containers.build_pattern_properties,
    "additionalProperties": containers.build_additional_properties,
    "propertyNames": containers.build_property_names,
    "dependentRequired": containers.build_dependency("dependentRequired"),
    "dependentSchemas": containers.build_dependency("dependentSchemas"),
    "dependencies": containers.build_dependency("dependencies"),
    "allOf": combinations.build_all,
    "anyOf": combinations.build_any,
    "oneOf": combinations.build_one,
    "not": combinations.build_not,
    "if": combinations.build_if,
}


def compile_schema(schema: Any) -> Rule:
    """Compile a schema that is valid as such; raises SchemaRefused where it asks for more than there is."""
    rule = _Compiler(schema).compile(schema, ())
    try:
        for text in ("null", "0", '""', "[]", "{}"):
            rule.fits(json.loads(text))
    except RecursionError:
        raise SchemaRefused((), "refers to itself without end") from None
    return rule


class _Compiler:
    """Compiles the schemas of one document; each reference's target once, since it may lead back to itself."""

    def __init__(self, root: Any) -> None:
        self._root = root
        dialect = str(cast("Schema", root).get("$schema", "")) if isinstance(root, dict) else ""
        self._is_reference_alone = any(name in dialect for name in _LONELY_REFERENCES)
        self._targets: dict[str, list[Rule]] = {}

    def compile(self, schema: Any, path: Path) -> Rule:
        if isinstance(schema, bool):
            return ANYTHING if schema else NOTHING
        if not isinstance(schema, dict):
            raise SchemaRefused(path, "is neither a schema nor true or false")
        keywords = cast("Schema", schema)
        for name in _UNSUPPORTED:
            if name in keywords:
                raise SchemaRefused((*path, name), f"{name} is not supported in request schemas")
        if "$ref" in keywords and self._is_reference_alone:
            return self.refer(keywords["$ref"], path)
        rules = [build(self, keywords, path) for name, build in _BUILDERS.items() if name in keywords]
        rule = all_of([rule for rule in rules if rule is not None])
        message = keywords.get(_MESSAGE)
        return reword(rule, message) if isinstance(message, str) else rule

    def compile_all(self, schemas: Any, path: Path) -> list[Rule]:
        return [self.compile(schema, (*path, number)) for number, schema in enumerate(schemas)]

    def compile_map(self, schemas: Any, path: Path) -> dict[str, Rule]:
        return {name: self.compile(schema, (*path, name)) for name, schema in schemas.items()}

    def refer(self, reference: Any, path: Path) -> Rule:
        text = str(reference)
        known = self._targets.get(text)
        if known is None:
            known = self._targets[text] = list[Rule]()
            known.append(self.compile(self._resolve(text, (*path, "$ref")), _pointer_path(text)))
        if known:
            return known[0]
        # It is being compiled further up: looked up when it is needed.
        target = known
        return Rule(lambda value: target[0].fits(value), lambda value, path: target[0].find(value, path))

    def _resolve(self, text: str, path: Path) -> Any:
        if text != "#" and not text.startswith("#/"):
            raise SchemaRefused(path, f'"{text}" leads out of this document: only #/… is supported in request schemas')
        found: Any = self._root
        for step in _pointer_path(text):
            if isinstance(found, list):
                items = cast("list[Any]", found)
                found = items[int(step)] if str(step).isdigit() and int(step) < len(items) else None
            else:
                found = cast("Schema", found).get(str(step)) if isinstance(found, dict) else None
        if found is None:
            raise SchemaRefused(path, f'"{text}" is not there')
        return found


def _pointer_path(text: str) -> Path:
    return tuple(unquote(step).replace("~1", "/").replace("~0", "~") for step in text.split("/")[1:])


def find_faults(rule: Rule, value: Any) -> Iterable[Fault]:
    """Return what is wrong with a value; nothing is when it fits."""
    try:
        return () if rule.fits(value) else rule.find(value, "$")
    except RecursionError:
        return (Fault("$", "is nested too deeply"),)
