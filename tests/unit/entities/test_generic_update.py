from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.entities.deployment import ManagedOnlineDeployment
from mlctl.entities.generic_update import apply_generic_update
from mlctl.errors import InvalidInput, MlctlError, UsageError


def base() -> dict[str, Any]:
    return {
        "instance_count": 1,
        "tags": {"team": "risk"},
        "code_configuration": {"code": "./src", "scoring_script": "score.py"},
        "items": [{"name": "a", "size": 1}, {"name": "b", "size": 2}],
    }


def update(*operations: tuple[str, ...], force_string: bool = False) -> dict[str, Any]:
    return apply_generic_update(base(), operations, force_string)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("true", True),
        ("null", None),
        ('{"a": 1}', {"a": 1}),
        ("[1]", [1]),
        ('"2"', "2"),
        ("two", "two"),
        ("", ""),
        ("a=b", "a=b"),
        ("NaN", "NaN"),
    ],
)
def test_values_are_json_where_they_are_json(text: str, value: object) -> None:
    assert update(("set", f"instance_count={text}"))["instance_count"] == value


def test_json_can_be_turned_off() -> None:
    assert update(("set", "instance_count=2"), force_string=True)["instance_count"] == "2"
    assert update(("add", "items", "k=2"), force_string=True)["items"][-1] == {"k": "2"}


def test_nested_values_are_set() -> None:
    assert update(("set", "code_configuration.scoring_script=x.py"))["code_configuration"]["scoring_script"] == "x.py"


def test_a_missing_last_key_is_created() -> None:
    assert update(("set", "tags.stage=prod"))["tags"] == {"team": "risk", "stage": "prod"}
    assert update(("set", "environment_variables={}"))["environment_variables"] == {}


def test_a_missing_step_is_refused_with_the_options() -> None:
    with pytest.raises(InvalidInput, match="there is no tag") as caught:
        update(("set", "tag.team=x"))
    assert caught.value.hint == "there are: code_configuration, instance_count, items, tags"


def test_camel_case_finds_the_field() -> None:
    changed = update(("set", "instanceCount=3", "codeConfiguration.scoringScript=y.py"))
    assert (changed["instance_count"], changed["code_configuration"]["scoring_script"]) == (3, "y.py")


@pytest.mark.parametrize("path", ["items[1].size", "items[-1].size", "items[name=b].size"])
def test_items_are_found_by_index_or_filter(path: str) -> None:
    assert update(("set", f"{path}=9"))["items"] == [{"name": "a", "size": 1}, {"name": "b", "size": 9}]


@pytest.mark.parametrize(
    "path", ["items[2].size", "items[name=z].size", "items[x].size", "items.size", "instance_count.x"]
)
def test_what_is_not_there_is_refused(path: str) -> None:
    with pytest.raises(InvalidInput):
        update(("set", f"{path}=9"))


def test_pairs_are_added_as_one_map() -> None:
    assert update(("add", "items", "name=c", "size=3"))["items"][-1] == {"name": "c", "size": 3}


def test_json_and_text_are_added_as_items() -> None:
    assert update(("add", "items", '{"name": "c"}', "text", "k=v", "7"))["items"][2:] == [
        {"name": "c"},
        "text",
        {"k": "v"},
        7,
    ]


def test_a_missing_list_is_begun() -> None:
    assert update(("add", "tags.list", "x"))["tags"]["list"] == ["x"]


def test_only_lists_are_added_to() -> None:
    with pytest.raises(InvalidInput, match="not a list"):
        update(("add", "tags", "a=b"))


def test_keys_and_items_are_removed() -> None:
    assert update(("remove", "tags.team"))["tags"] == {}
    assert update(("remove", "items", "0"))["items"] == [{"name": "b", "size": 2}]
    assert update(("remove", "items[name=b]"))["items"] == [{"name": "a", "size": 1}]


def test_what_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(InvalidInput, match="there is no other") as caught:
        update(("remove", "tags.other"))
    assert caught.value.hint == "there are: team"


def test_operations_are_applied_in_order() -> None:
    changed = update(("set", "tags.a=1"), ("remove", "tags.a"), ("set", "tags.b=2", "tags.b=3"))
    assert changed["tags"] == {"team": "risk", "b": 3}


def test_maps_that_the_model_knows_are_begun() -> None:
    operations = [("set", "environmentVariables.WHO=you"), ("set", "request_settings.request_timeout_ms=7000")]
    changed = apply_generic_update({}, operations, model_class=ManagedOnlineDeployment)
    assert changed == {"environment_variables": {"WHO": "you"}, "request_settings": {"request_timeout_ms": 7000}}


def test_the_choices_leave_the_schema_out() -> None:
    with pytest.raises(InvalidInput) as caught:
        apply_generic_update({"$schema": "x", "name": "b"}, [("set", "nme.x=1")], model_class=ManagedOnlineDeployment)
    assert caught.value.hint == "there are: name"


def test_the_data_given_is_not_touched() -> None:
    data = base()
    apply_generic_update(data, [("set", "tags.team=x"), ("remove", "items", "0")])
    assert data == base()


@pytest.mark.parametrize("operation", [("set", "x"), ("set", "=x"), ("add", "items"), ("remove",), ("drop", "x")])
def test_incomplete_operations_are_usage_errors(operation: tuple[str, ...]) -> None:
    with pytest.raises(UsageError):
        update(operation)


TOKENS = st.text(alphabet='abit.[]=0-1{}" ,', max_size=10) | st.sampled_from(
    ["items", "tags", "items[0]", "items[name=a].size"]
)


@given(st.lists(st.tuples(st.sampled_from(["set", "add", "remove"]), TOKENS, TOKENS), max_size=4))
def test_any_operations_are_applied_or_refused(operations: list[tuple[str, ...]]) -> None:
    with contextlib.suppress(MlctlError):
        update(*operations)
