"""What is wrong with the file of a request schema, and where."""

import json
from pathlib import Path
from typing import Any

import pytest

from mlctl.ops.request_schemas import list_problems


def check(tmp_path: Path, text: str | bytes) -> list[Any]:
    path = tmp_path / "request.schema.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list_problems(path)


def test_a_good_schema_has_no_problems(tmp_path: Path) -> None:
    assert (
        check(tmp_path, json.dumps({"type": "object", "properties": {"a": {"$ref": "#/$defs/a"}}, "$defs": {"a": {}}}))
        == []
    )
    assert check(tmp_path, "\ufeff{}") == []


def test_what_is_no_json_is_told_with_its_line(tmp_path: Path) -> None:
    (problem,) = check(tmp_path, '{\n  "type": "object",\n}\n')
    assert (problem.line, problem.column) == (3, 1) or problem.line == 2
    assert "is not JSON" in problem.message


def test_what_is_no_schema_is_told_with_its_line_even_after_tabs(tmp_path: Path) -> None:
    text = '{\n\t"properties": {\n\t\t"a": {"type": "integr"},\n\t\t"b": {"minimum": "x"}\n\t}\n}'
    first, second = check(tmp_path, text)
    assert (first.line, first.excerpt.strip()) == (3, '"a": {"type": "integr"},')
    assert first.message.startswith("properties.a.type:")
    assert (second.line, second.message) == (4, "properties.b.minimum: 'x' is not of type 'number'")


def test_what_request_schemas_cannot_do_is_told_with_its_line(tmp_path: Path) -> None:
    (problem,) = check(tmp_path, '{\n "items": {\n  "unevaluatedItems": false}}')
    assert problem.line == 3
    assert "not supported in request schemas" in problem.message


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[]", "a request schema is an object"),
        (b'{"a": "\xff"}', "is not UTF-8"),
        ("[" * 100_000, "nested too deeply"),
        ('{"description": "' + "x" * 1024 * 1024 + '"}', "1,048,576 are allowed"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str | bytes, words: str) -> None:
    (problem,) = check(tmp_path, text)
    assert words in problem.message
