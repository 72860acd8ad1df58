"""Request schemas of deployments: `properties: {mlctl.request_schema: ./request.schema.json}`, checked and kept.

A schema is kept as a copy, as code is: what happens to the file later does not matter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from jsonschema import SchemaError
from jsonschema.validators import validator_for

from mlctl.entities.document import Document
from mlctl.entities.document import Path as DocumentPath
from mlctl.entities.extensions import REQUEST_SCHEMA
from mlctl.entities.stored import read_map
from mlctl.errors import InvalidInput, Problem
from mlctl.ops.session import Session
from mlctl.registry import artifacts
from mlctl.scoring.json_schema.compiling import compile_schema
from mlctl.scoring.json_schema.rules import SchemaRefused

OFF = "off"
_MOST_BYTES = 1024 * 1024
_HINT = "the schemas of JSON Schema 2020-12 and its older drafts are taken"


def find_schema_problems(document: Document, folder: Path) -> list[Problem]:
    """List what is wrong with the schema that a document names: in the document, or in the schema's file."""
    text = read_map(document.data, "properties").get(REQUEST_SCHEMA)
    if not isinstance(text, str) or not text or text == OFF:
        return []
    path = folder / text
    if not path.is_file():
        hint = f'paths start from the file\'s folder: ls {path.parent}; "{OFF}" checks nothing'
        return [document.problem(("properties", REQUEST_SCHEMA), f"{path} does not exist", hint)]
    return list_problems(path)


def check_schema(text: str, folder: Path) -> None:
    """Raise InvalidInput that tells what is wrong with a schema, and where."""
    path = folder / text
    if text == OFF:
        return
    if not path.is_file():
        raise InvalidInput(
            f"properties: {REQUEST_SCHEMA}: {path} does not exist",
            hint=f'paths start from the file\'s folder: ls {path.parent}; "{OFF}" checks nothing',
        )
    problems = list_problems(path)
    if problems:
        count = f"{len(problems)} problem" + ("s" if len(problems) != 1 else "")
        raise InvalidInput(f"{path}: {count}, nothing was changed", problems=problems)


def keep_schema(session: Session, text: str, folder: Path) -> Any:
    """Copy a schema that was checked; return how plans name it."""
    if text == OFF:
        return OFF
    stored = artifacts.store_artifact(session.store, session.settings.artifacts, folder / text)
    return {"hash": stored.hash, "name": stored.name}


def list_problems(path: Path) -> list[Problem]:
    """List what is wrong with a schema's file: not JSON, no schema, or more than request schemas can do."""
    try:
        content = path.read_bytes()
        if len(content) > _MOST_BYTES:
            return [Problem(f"the schema has {len(content):,} bytes, {_MOST_BYTES:,} are allowed", str(path))]
        text = content.decode("utf-8-sig")
        schema: Any = json.loads(text)
    except OSError as error:
        return [Problem(f"cannot be read: {error.strerror}", str(path))]
    except UnicodeDecodeError as error:
        return [Problem(f"byte {error.start + 1} is not UTF-8", str(path), hint="save the file as UTF-8")]
    except json.JSONDecodeError as error:
        lines = error.doc.splitlines() or [""]
        excerpt = lines[min(error.lineno, len(lines)) - 1]
        return [Problem(f"is not JSON: {error.msg}", str(path), error.lineno, error.colno, excerpt=excerpt)]
    except RecursionError:
        return [Problem("is nested too deeply", str(path))]
    return [_locate(path, text, place, message) for place, message in _find_faults(schema)]


def _find_faults(schema: Any) -> list[tuple[DocumentPath, str]]:
    if not isinstance(schema, dict):
        return [((), "a request schema is an object")]
    judge: Any = validator_for(cast("Mapping[str, Any]", schema))
    found = judge(judge.META_SCHEMA).iter_errors(schema)
    faults: list[SchemaError] = sorted(found, key=lambda error: [str(step) for step in error.absolute_path])
    if faults:
        return [(tuple(fault.absolute_path), fault.message) for fault in faults[:20]]
    try:
        compile_schema(schema)
    except SchemaRefused as error:
        return [(error.path, str(error))]
    return []


def _locate(path: Path, text: str, place: DocumentPath, message: str) -> Problem:
    """Show the line where a fault is. JSON is YAML, but for tabs between its signs."""
    from mlctl.entities.yaml_file import load_document

    try:
        return load_document(text.replace("\t", " "), file=str(path)).problem(place, message, _HINT)
    except InvalidInput:
        where = "".join(f"/{step}" for step in place)
        return Problem(f"{where}: {message}" if where else message, str(path), hint=_HINT)
