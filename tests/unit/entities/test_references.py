from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.entities.references import Reference, parse_reference
from mlctl.errors import InvalidInput

ARM = (
    "azureml:/subscriptions/s/resourceGroups/g/providers/Microsoft.MachineLearningServices"
    "/workspaces/w/models/fraud-model/versions/3"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("azureml:fraud-model:3", Reference("fraud-model", version="3")),
        ("azureml:fraud-model:1.0", Reference("fraud-model", version="1.0")),
        ("azureml:fraud-model@latest", Reference("fraud-model", label="latest")),
        ("azureml:fraud-model", Reference("fraud-model")),
        (ARM, Reference("fraud-model", version="3")),
        ("azureml://registries/r/models/m/versions/4", Reference("m", version="4", registry="r")),
        ("azureml://registries/r/models/m/labels/latest", Reference("m", label="latest", registry="r")),
    ],
)
def test_every_form_of_a_reference_is_understood(text: str, expected: Reference) -> None:
    assert parse_reference(text, "model") == expected


@pytest.mark.parametrize("text", ["azureml:m:3", "azureml:m@latest", "azureml:m"])
def test_a_short_reference_is_shown_as_it_was_written(text: str) -> None:
    assert str(parse_reference(text, "model")) == text


def test_a_reference_without_version_means_the_newest() -> None:
    assert parse_reference("azureml:m", "model").is_newest
    assert parse_reference("azureml:m@latest", "model").is_newest
    assert not parse_reference("azureml:m:1", "model").is_newest


def test_plain_text_is_refused_with_the_reference_that_was_meant() -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_reference("fraud-model:3", "model")
    assert caught.value.hint == "did you mean azureml:fraud-model:3?"


def test_a_model_does_not_serve_as_an_environment() -> None:
    with pytest.raises(InvalidInput, match="names one of the models, not one of the environments"):
        parse_reference(ARM, "environment")


@pytest.mark.parametrize(
    "text", ["", "azureml:", "azureml:../x:1", "azureml:a:b:c", "azureml:a:", "azureml:a b", "file:x"]
)
def test_what_is_no_reference_is_refused_with_the_forms(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_reference(text, "environment")
    assert caught.value.hint


@given(st.text())
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidInput):
        assert "/" not in parse_reference("azureml:" + text, "model").name
