from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from mlctl.entities import kinds
from mlctl.entities.kinds import KINDS, Kind
from mlctl.entities.parsing import check_document
from mlctl.entities.schemas import build_schema, check_against_schema
from mlctl.entities.yaml_file import load_document
from scripts.generate_schemas import FOLDER, find_differences, main
from tests.unit.entities.strategies import documents
from tests.unit.entities.texts import BAD, F1, F2, F3, F4


@functools.cache
def schema_of(kind: Kind) -> dict[str, Any]:
    return build_schema(kind)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_schemas_are_valid_draft_7(kind: Kind) -> None:
    Draft7Validator.check_schema(schema_of(kind))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_editors_find_a_description_for_every_field(kind: Kind) -> None:
    schema = schema_of(kind)
    assert schema["$id"] == kind.schema_url
    for body in (schema, *schema.get("definitions", {}).values()):
        assert body["additionalProperties"] is False
        assert all(field["description"] for field in body["properties"].values())


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(KINDS))
def test_the_schema_accepts_what_the_model_accepts(data: st.DataObject, kind: Kind) -> None:
    document = data.draw(documents(kind.model_class))
    kind.model_class.from_document(document)
    assert check_against_schema(document, schema_of(kind)) == []


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(KINDS))
def test_the_schema_accepts_what_the_model_renders(data: st.DataObject, kind: Kind) -> None:
    document = kind.model_class.from_document(data.draw(documents(kind.model_class))).to_document()
    assert check_against_schema(document, schema_of(kind)) == []


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (F1, kinds.MANAGED_DEPLOYMENT),
        (F2, kinds.MANAGED_DEPLOYMENT),
        (F1 + F3[F3.index("scale_settings") :], kinds.MANAGED_DEPLOYMENT),
        (F4, kinds.MANAGED_ENDPOINT),
        ("{name: fraud, id: /x, kind: Managed, identity: {type: none, principal_id: p}}", kinds.MANAGED_ENDPOINT),
    ],
)
def test_the_schema_accepts_the_scenarios(text: str, kind: Kind) -> None:
    assert check_against_schema(yaml.safe_load(text), schema_of(kind)) == []


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ("zzz: 1", ()),
        ("request_settings: {zzz: 1}", ("request_settings",)),
        ("liveness_probe: {path: /x}", ("liveness_probe",)),
        ("resources: {}", ()),
    ],
)
def test_the_schema_refuses_the_same_unknown_fields(line: str, path: tuple[str, ...]) -> None:
    text = F1 + line + "\n"
    assert check_document(load_document(text, file="x"), kinds.MANAGED_DEPLOYMENT.model_class)
    errors = check_against_schema(yaml.safe_load(text), schema_of(kinds.MANAGED_DEPLOYMENT))
    assert [found for found, _ in errors] == [path]


def test_the_schema_finds_the_three_problems_of_the_bad_example() -> None:
    errors = check_against_schema(yaml.safe_load(BAD), schema_of(kinds.MANAGED_DEPLOYMENT))
    paths = {path[0] for path, _ in errors}
    assert paths == {"code_configuration", "instance_count", "request_settings"}


def test_the_schema_files_are_what_the_entities_say() -> None:
    assert find_differences(FOLDER) == []


def test_the_check_passes_after_writing_and_fails_after_a_change(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([], tmp_path) == 0
    assert main(["--check"], tmp_path) == 0
    path = tmp_path / "model.schema.json"
    path.write_text(path.read_text().replace('"path"', '"pfad"'))
    assert main(["--check"], tmp_path) == 1
    printed = capsys.readouterr()
    assert "--- schemas/model.schema.json" in printed.out
    assert "run make schemas" in printed.err


def test_a_schema_file_that_nothing_generates_is_removed(tmp_path: Path) -> None:
    (tmp_path / "old.schema.json").write_text("{}\n")
    assert main(["--check"], tmp_path) == 1
    assert main([], tmp_path) == 0
    assert not (tmp_path / "old.schema.json").exists()
