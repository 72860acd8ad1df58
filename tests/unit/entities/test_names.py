from __future__ import annotations

import pytest

from mlctl.entities.names import (
    check_name,
    find_asset_name_fault,
    find_name_fault,
    schema_file,
    schema_url,
)
from mlctl.errors import InvalidInput


@pytest.mark.parametrize("name", ["abc", "A-b", "a--b", "x" * 32, "fraud-endpoint", "aB3xZ"])
def test_letters_digits_and_inner_hyphens_make_a_name(name: str) -> None:
    assert find_name_fault(name) is None


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("ab", '"ab" is shorter than 3 characters'),
        ("", '"" is shorter than 3 characters'),
        ("1abc", '"1abc" does not begin with a letter'),
        ("abc-", '"abc-" ends with a hyphen'),
        ("a_b", '"a_b" may hold nothing but letters, digits and hyphens, 3 to 32 of them'),
        ("abcé", '"abcé" may hold nothing but letters, digits and hyphens, 3 to 32 of them'),
        ("abc\n", '"abc\n" may hold nothing but letters, digits and hyphens, 3 to 32 of them'),
    ],
)
def test_a_bad_name_is_told_why(name: str, fault: str) -> None:
    assert find_name_fault(name) == fault


def test_a_name_of_36_characters_is_refused_with_its_length() -> None:
    assert "has 36 characters, 32 are allowed" in str(find_name_fault("a" * 36))


def test_a_checked_name_comes_back_in_lower_case() -> None:
    assert check_name("mnist-aB3xZ") == "mnist-ab3xz"


def test_a_bad_name_of_an_option_raises_with_an_example() -> None:
    with pytest.raises(InvalidInput, match="deployment name") as caught:
        check_name("1", "deployment")
    assert caught.value.hint


@pytest.mark.parametrize("name", ["a", "fraud-model", "1.0", "my_model.v2", "x" * 255])
def test_assets_may_have_dots_and_underscores(name: str) -> None:
    assert find_asset_name_fault(name) is None


@pytest.mark.parametrize("name", ["", "../x", ".hidden", "a/b", "a b", "x" * 256, "a\n"])
def test_assets_never_have_names_that_lead_out_of_a_folder(name: str) -> None:
    assert find_asset_name_fault(name) is not None


def test_schemas_are_named_as_azure_names_them() -> None:
    assert schema_file("model") == "model.schema.json"
    assert schema_url("model") == "https://azuremlschemas.azureedge.net/latest/model.schema.json"
