"""JSON Schemas of the documents, for editors and for a second opinion. Written to `schemas/` by a script."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from mlctl.entities.document import Path
from mlctl.entities.kinds import Kind

_DRAFT = "http://json-schema.org/draft-07/schema#"


def build_schema(kind: Kind) -> dict[str, Any]:
    """Build the schema of a kind of document; draft 7, which editors know best."""
    schema = kind.model_class.model_json_schema(ref_template="#/definitions/{model}")
    definitions = schema.pop("$defs", {})
    body = _wrap_references({**schema, "definitions": definitions} if definitions else schema)
    title = kind.model_class.label
    return {"$schema": _DRAFT, "$id": kind.schema_url, **body, "title": title[:1].upper() + title[1:]}


def check_against_schema(data: Mapping[str, Any], schema: Mapping[str, Any]) -> list[tuple[Path, str]]:
    """List (path, message) of everything that does not fit; empty when all does."""
    from jsonschema import Draft7Validator

    validator = cast("Any", Draft7Validator(cast("Any", schema)))
    errors = sorted(validator.iter_errors(data), key=lambda error: [str(step) for step in error.path])
    return [(tuple(error.absolute_path), error.message) for error in errors]


def _wrap_references(node: Any) -> Any:
    """Move a `$ref` that has neighbours into `allOf`: draft 7 ignores the neighbours otherwise."""
    if isinstance(node, list):
        return [_wrap_references(item) for item in cast("list[Any]", node)]
    if not isinstance(node, dict):
        return node
    fields = {name: _wrap_references(value) for name, value in cast("dict[str, Any]", node).items()}
    if isinstance(fields.get("$ref"), str) and len(fields) > 1:
        return {"allOf": [{"$ref": fields.pop("$ref")}], **fields}
    return fields
