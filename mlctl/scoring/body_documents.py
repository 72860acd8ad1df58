"""What is known of a model's bodies, written as `/swagger.json` can say it. Used by `swagger`.

Loaders describe what they refuse, in JSON Schema. Swagger 3.1 takes that as it is; 2 and 3 know no conditions and no
choice of types: they get one form of a body, and of a value the type that is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

_KEPT = ("required", "minItems", "maxItems")
# What stands beside the type that is meant: Python takes true for 1, and null is not-a-number.
_LOOSE = frozenset({"boolean", "null"})
_CONDITION = frozenset({"if", "then", "else"})
# For people, in messages about values.
_OWN = "errorMessage"

Schema = dict[str, Any]


def describe_input(schema: Mapping[str, Any], version: str) -> Schema:
    """Return the schema of a body for a version of swagger: 2, 3 or 3.1."""
    found = _drop_own(schema) if version == "3.1" else simplify(schema)
    return {"type": "object", **found}


def _drop_own(value: Any) -> Any:
    if isinstance(value, Mapping):
        items = cast("Mapping[str, Any]", value).items()
        return {name: _drop_from(name, item) for name, item in items if name != _OWN}
    return [_drop_own(item) for item in cast("list[Any]", value)] if isinstance(value, list) else value


def _drop_from(name: str, value: Any) -> Any:
    if name != "properties":
        return _drop_own(value)
    return {key: _drop_own(item) for key, item in cast("Mapping[str, Any]", value).items()}


def simplify(schema: Any) -> Schema:
    """Reduce a schema to one form: where one may be chosen, the one that is no table of columns and data."""
    if not isinstance(schema, Mapping):
        return {}
    given = cast("Mapping[str, Any]", schema)
    if "if" in given:
        chosen = "else" if given["if"] == {"type": "object"} else "then"
        rest = {name: value for name, value in given.items() if name not in _CONDITION}
        return _merge(simplify(rest), simplify(given.get(chosen)))
    found: Schema = {**_find_type(given), **{name: given[name] for name in _KEPT if name in given}}
    if "properties" in given:
        found["properties"] = {name: simplify(value) for name, value in given["properties"].items()}
    if "items" in given or found.get("type") == "array":
        found["items"] = simplify(given.get("items"))
    return found


def _find_type(schema: Mapping[str, Any]) -> Schema:
    kinds: Any = schema.get("type", ())
    if isinstance(kinds, str):
        return {"type": kinds}
    return {"type": kinds[0]} if kinds and _LOOSE.issuperset(kinds[1:]) else {}


def _merge(one: Schema, other: Schema) -> Schema:
    merged = dict(one)
    for name, value in other.items():
        mine = merged.get(name)
        merged[name] = _merge(cast("Schema", mine), value) if isinstance(mine, dict) else value
    return merged
