from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.entities.deployment import ManagedOnlineDeployment
from mlctl.entities.document import make_document
from mlctl.entities.endpoint import ManagedOnlineEndpoint
from mlctl.entities.overrides import apply_overrides, override_document
from mlctl.entities.parsing import check_document, parse_document
from mlctl.entities.yaml_file import load_document
from mlctl.errors import InvalidInput, MlctlError, Problem
from tests.unit.entities.texts import BAD, F1


def override(*expressions: str, **data: Any) -> dict[str, Any]:
    return apply_overrides(data, expressions, ManagedOnlineDeployment)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("instance_count=2", {"instance_count": 2}),
        ("instance_count=two", {"instance_count": "two"}),
        ("app_insights_enabled=True", {"app_insights_enabled": True}),
        ("data_collector.sampling_rate=0.5", {"data_collector": {"sampling_rate": 0.5}}),
        ("name=a=b", {"name": "a=b"}),
        ("name=", {"name": ""}),
        ("name=3", {"name": "3"}),
        ("environment.version=3", {"environment": {"version": "3"}}),
        ("environment_variables.X=3", {"environment_variables": {"X": "3"}}),
        ("request_settings.request_timeout_ms=90", {"request_settings": {"request_timeout_ms": 90}}),
        ("environment_variables={}", {"environment_variables": "{}"}),
        ("scale_settings.max_instances=3", {"scale_settings": {"max_instances": 3}}),
        ("unknown.deep[0].x=1", {"unknown": {"deep": [{"x": "1"}]}}),
    ],
)
def test_a_value_is_read_as_its_field_wants_it(expression: str, expected: dict[str, Any]) -> None:
    assert override(expression) == expected


def test_lists_are_indexed_and_made() -> None:
    expressions = ["identity.type=user_assigned", "identity.user_assigned_identities[0].resource_id=/x"]
    changed = apply_overrides({}, expressions, ManagedOnlineEndpoint)
    assert changed == {"identity": {"type": "user_assigned", "user_assigned_identities": [{"resource_id": "/x"}]}}


def test_traffic_is_read_as_numbers() -> None:
    assert apply_overrides({}, ["traffic.blue=100"], ManagedOnlineEndpoint) == {"traffic": {"blue": 100}}


def test_later_expressions_win_and_the_data_is_not_touched() -> None:
    data = {"request_settings": {"max_queue_wait_ms": 1}}
    changed = apply_overrides(
        data, ["request_settings.max_queue_wait_ms=2", "request_settings.max_queue_wait_ms=3"], ManagedOnlineDeployment
    )
    assert changed == {"request_settings": {"max_queue_wait_ms": 3}}
    assert data == {"request_settings": {"max_queue_wait_ms": 1}}


@pytest.mark.parametrize("expression", ["name", "", "=3", "a..b=1", "a.=1", "[0]=1", "a[x]=1", "a[0=1"])
def test_what_is_no_assignment_is_refused_with_1_as_by_az(expression: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        override(expression)
    assert caught.value.exit_code == 1


def test_text_in_the_way_is_refused_and_can_be_replaced_whole() -> None:
    with pytest.raises(InvalidInput) as caught:
        override("model.path=x", model="azureml:m:3")
    assert caught.value.message == '--set model.path=x: model is "azureml:m:3", not a map'
    assert caught.value.hint == "set all of it: --set model=…"
    assert override("model=azureml:m:4", model="azureml:m:3") == {"model": "azureml:m:4"}


@pytest.mark.parametrize("expression", ["tags[0]=1", "a[2]=1"])
def test_an_index_must_fit(expression: str) -> None:
    with pytest.raises(InvalidInput):
        override(expression, tags={}, a=[1])


def test_an_item_of_a_list_is_replaced() -> None:
    assert override("a[1]=x", a=[1, 2, 3]) == {"a": [1, "x", 3]}


def test_a_bad_value_is_told_of_the_option_not_of_the_file() -> None:
    document = override_document(load_document(F1, file="x"), ["instance_count=two"], ManagedOnlineDeployment)
    expected = Problem('--set instance_count=two: "two" is not a whole number (1 to 50)')
    assert check_document(document, ManagedOnlineDeployment) == (expected,)


def test_an_option_mends_a_file() -> None:
    text = BAD.replace("scoring_scrpt", "scoring_script").replace("999999", "9999")
    document = override_document(load_document(text, file="x"), ["instance_count=2"], ManagedOnlineDeployment)
    assert parse_document(document, ManagedOnlineDeployment).instance_count == 2


def test_an_unknown_field_of_an_option_gets_a_hint() -> None:
    document = override_document(load_document(F1, file="x"), ["instance_cont=2"], ManagedOnlineDeployment)
    expected = Problem("--set instance_cont=2: unknown field", hint="did you mean instance_count?")
    assert check_document(document, ManagedOnlineDeployment) == (expected,)


def test_an_endpoint_comes_from_options_alone() -> None:
    document = override_document(
        make_document({}), ["name=fraud", "public_network_access=disabled"], ManagedOnlineEndpoint
    )
    assert parse_document(document, ManagedOnlineEndpoint).public_network_access == "disabled"


@given(st.lists(st.text(alphabet="ab.[]=01 x", max_size=12) | st.text(max_size=8), max_size=4))
def test_any_expressions_are_applied_or_refused(expressions: list[str]) -> None:
    with contextlib.suppress(MlctlError):
        override(*expressions, a=[1, {"b": "x"}], b="text")
