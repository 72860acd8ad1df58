"""What loaders tell of bodies, as the versions of swagger can say it."""

from __future__ import annotations

from typing import Any

import pytest

from mlctl.scoring.body_documents import describe_input
from mlctl.scoring.no_code.signatures import Column, describe_table
from mlctl.scoring.no_code.tables import describe_rows

ROWS = {"type": "array", "items": {"type": ["number", "boolean", "null"], "errorMessage": "no"}}


@pytest.mark.parametrize("version", ["2", "3"])
def test_of_rows_and_a_table_old_versions_tell_the_rows(version: str) -> None:
    assert describe_input(describe_rows(ROWS), version) == {
        "type": "object",
        "properties": {"features": {"type": "array", "items": {"type": "number"}}},
    }


def test_a_signature_is_told_with_its_fields() -> None:
    schema = {"properties": {"input_data": describe_table([Column("a", "double", None, True)])}}
    assert describe_input(schema, "2") == {
        "type": "object",
        "properties": {
            "input_data": {
                "type": "object",
                "required": ["columns", "data"],
                "properties": {
                    "columns": {"type": "array", "items": {}},
                    "data": {"type": "array", "items": {"maxItems": 1}},
                },
            }
        },
    }


@pytest.mark.parametrize(
    ("kinds", "told"),
    [(["integer", "boolean"], {"type": "integer"}), (["array", "object"], {}), ("string", {"type": "string"})],
)
def test_a_type_is_told_where_one_is_meant(kinds: Any, told: Any) -> None:
    assert describe_input({"properties": {"x": {"type": kinds}}}, "3")["properties"] == {"x": told}


def test_the_newest_version_tells_all_but_our_own_words() -> None:
    schema = {**describe_rows(ROWS), "properties": {"errorMessage": True}}
    told = describe_input(schema, "3.1")
    assert (told["if"], told["properties"]) == ({"required": ["features"]}, {"errorMessage": True})
    assert "'no'" not in repr(told)
