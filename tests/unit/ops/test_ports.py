"""Inputs of components: literals that fit, defaults, what is left out, what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlctl.errors import InvalidInput, MlctlError
from mlctl.ops.ports import resolve_inputs
from mlctl.ops.session import Session
from mlctl.settings import Settings


def resolve(tmp_path: Path, ports: dict[str, Any], given: dict[str, Any]) -> dict[str, str | None]:
    session = Session(Settings(home=tmp_path / "home"))
    try:
        return {name: value.text for name, value in resolve_inputs(session, ports, given, tmp_path, "it").items()}
    finally:
        session.close()


@pytest.mark.parametrize(
    ("port", "given", "text"),
    [
        ({"type": "number"}, 0.5, "0.5"),
        ({"type": "number"}, "1e-3", "1e-3"),
        ({"type": "integer"}, "7", "7"),
        ({"type": "boolean"}, True, "true"),
        ({"type": "boolean"}, "True", "true"),
        ({"type": "string"}, 5, "5"),
        ({"type": "string"}, {"type": "string", "default": "a"}, "a"),
        ({"type": "string", "default": "b"}, None, "b"),
        ({"type": "string", "default": "b"}, {"type": "string"}, "b"),
        ({"type": "string", "optional": True}, None, None),
        ({"type": "boolean", "default": False}, None, "false"),
        ({"type": "string", "enum": ["a", "b"]}, "b", "b"),
    ],
)
def test_a_literal_becomes_the_text_of_a_command_line(tmp_path: Path, port: Any, given: Any, text: str | None) -> None:
    assert resolve(tmp_path, {"x": port}, {} if given is None else {"x": given}) == {"x": text}


@pytest.mark.parametrize(
    ("port", "given", "said"),
    [
        ({"type": "number"}, "much", 'inputs.x: "much" is no number'),
        ({"type": "integer"}, 1.5, "is no integer"),
        ({"type": "integer"}, True, "is no integer"),
        ({"type": "boolean"}, 2, "is no boolean"),
        ({"type": "number", "min": 0}, -1, "-1 is less than 0"),
        ({"type": "integer", "max": 3}, "4", "4 is more than 3"),
        ({"type": "string", "enum": ["a", "b"]}, "c", "is none of a, b"),
        ({"type": "number"}, {"path": "./a"}, "it is a number, not the path ./a"),
        ({"type": "uri_folder"}, {"path": ".", "type": "uri_file"}, "it is a uri_folder, not a uri_file"),
        ({"type": "uri_file"}, {"path": "."}, "is a uri_folder, not a uri_file"),
        ({"type": "uri_file"}, "gone.csv", "gone.csv does not exist"),
        ({"type": "custom_model"}, "azureml:gone:1", "there is no model azureml:gone:1"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, port: Any, given: Any, said: str) -> None:
    with pytest.raises(MlctlError, match=r"^it: inputs\.x: ") as caught:
        resolve(tmp_path, {"x": port}, {"x": given})
    assert said in caught.value.message


def test_all_that_is_missing_is_told_at_once(tmp_path: Path) -> None:
    ports = {"data": {"type": "uri_folder"}, "rate": {"type": "number"}, "note": {"type": "string", "optional": True}}
    with pytest.raises(InvalidInput) as caught:
        resolve(tmp_path, ports, {})
    assert "inputs data (uri_folder), rate (number) are missing" in caught.value.message
    assert caught.value.hint == "--set inputs.data.path=PATH"


def test_an_unknown_name_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput) as caught:
        resolve(tmp_path, {"data": {"type": "string"}}, {"dta": 1})
    assert (caught.value.message, caught.value.hint) == (
        "it has no input dta, nothing was started",
        "did you mean data?",
    )


def test_relative_paths_start_from_the_folder_that_is_given(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("1")
    ports = {"x": {"type": "uri_file"}, "y": {"type": "uri_folder"}, "z": {"type": "mltable"}}
    found = resolve(tmp_path, ports, {"x": {"path": "a.csv"}, "y": {"path": "."}, "z": {"path": "."}})
    assert found == {"x": str(tmp_path / "a.csv"), "y": str(tmp_path), "z": str(tmp_path)}
