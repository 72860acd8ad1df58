from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.entities.traffic import check_traffic, find_mirror_fault, find_traffic_fault, parse_percentages
from mlctl.errors import InvalidInput

BOTH = ("blue", "green")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("blue=90 green=10", {"blue": 90, "green": 10}),
        ("blue=100", {"blue": 100}),
        ("Blue=100", {"blue": 100}),
        ("blue=0 green=100", {"green": 100}),
        ("green=0", {}),
        ("blue=007 green=93", {"blue": 7, "green": 93}),
    ],
)
def test_percentages_are_split_as_az_does(text: str, expected: dict[str, int]) -> None:
    assert parse_percentages(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("blue=90,green=10", "not by a comma"),
        ("blue=90%", "leave the % sign out"),
        ("blue=90  green=10", "exactly one blank"),
        (" blue=100", "exactly one blank"),
        ("blue = 100", "no blank beside the ="),
        ("blue= 100", "no blank beside the ="),
        ("blue", '"blue" is not of the form name=percent'),
        ("=5", '"=5" is not of the form name=percent'),
        ("blue=ten", '"ten" is not a whole percentage for blue'),
        ("blue=-1", '"-1" is not a whole percentage'),
        ("blue=1.5", '"1.5" is not a whole percentage'),
        ("blue=²", "is not a whole percentage"),
        ("blue=", "is not a whole percentage"),
        ("blue=50 Blue=50", "blue is given twice"),
        ("", "--traffic is empty"),
        ("blue=" + "9" * 5000, "is more than 100"),
    ],
)
def test_slips_are_named_with_an_example(text: str, reason: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_percentages(text)
    assert reason in caught.value.message
    assert "blue=90 green=10" in caught.value.hint
    assert caught.value.exit_code == 1


def test_the_option_at_fault_is_named() -> None:
    with pytest.raises(InvalidInput, match="--mirror-traffic"):
        parse_percentages("x", "--mirror-traffic")


def test_a_misspelt_deployment_is_refused_with_the_one_meant() -> None:
    with pytest.raises(InvalidInput) as caught:
        check_traffic({"blue": 90, "gren": 10}, BOTH, endpoint="fraud-endpoint")
    expected = "there is no deployment gren at fraud-endpoint (blue, green). Did you mean green=10?"
    assert caught.value.message == expected


def test_traffic_of_an_endpoint_without_deployments_is_refused() -> None:
    with pytest.raises(InvalidInput, match="there is no deployment blue at e, it has none yet"):
        check_traffic({"blue": 100}, (), endpoint="e")


@pytest.mark.parametrize("traffic", [{}, {"blue": 100}, {"blue": 90, "green": 10}, {"blue": 0}])
def test_shares_that_add_up_to_100_or_0_pass(traffic: dict[str, int]) -> None:
    check_traffic(traffic, BOTH, endpoint="e")
    assert find_traffic_fault(traffic) is None


def test_a_wrong_sum_is_refused_with_the_missing_share() -> None:
    with pytest.raises(InvalidInput, match="blue 90 makes 90, it must be 100") as caught:
        check_traffic({"blue": 90}, BOTH, endpoint="e")
    assert caught.value.hint == "did you mean blue=90 green=10?"


def test_negative_shares_do_not_slip_through_a_right_sum() -> None:
    assert find_traffic_fault({"blue": 110, "green": -10}) == "blue gets 110 %, which is not between 0 and 100"


def test_a_shadow_gets_up_to_half_of_the_requests() -> None:
    check_traffic({"blue": 100}, ("blue", "shadow"), {"shadow": 50}, endpoint="e")
    assert "at most 50 %" in str(find_mirror_fault({"shadow": 51}, {}))


def test_traffic_is_mirrored_to_one_deployment_only() -> None:
    assert "one deployment at most" in str(find_mirror_fault({"a": 10, "b": 10}, {}))


def test_a_live_deployment_is_no_mirror() -> None:
    with pytest.raises(InvalidInput, match="green has 10 % of the live traffic"):
        check_traffic({"blue": 90, "green": 10}, BOTH, {"green": 10}, endpoint="e")


@pytest.mark.parametrize(
    ("traffic", "mirror", "hint"),
    [
        ({"blue": 100}, {"blue": 10}, '--traffic "blue=100" --mirror-traffic "blue=0"'),
        ({"blue": 100}, {"green": 70}, '--traffic "blue=100" --mirror-traffic "green=50"'),
        ({"blue": 100}, {"blue": 10, "green": 10}, '--traffic "blue=100" --mirror-traffic "green=10"'),
        ({}, {"green": 51}, '--mirror-traffic "green=50"'),
    ],
)
def test_the_hint_on_a_mirror_is_a_command_that_mends_it(
    traffic: dict[str, int], mirror: dict[str, int], hint: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_traffic(traffic, ["blue", "green"], mirror, endpoint="e")
    assert caught.value.hint == f"mlctl endpoint update -n e {hint}"
    live, _, shadow = hint.removeprefix("--traffic ").rpartition("--mirror-traffic ")
    check_traffic(
        parse_percentages(live.strip(' "')) if live else {},
        ["blue", "green"],
        parse_percentages(shadow.strip('"')),
        endpoint="e",
    )


def test_a_mirror_of_zero_is_no_mirror() -> None:
    assert find_mirror_fault({"green": 0, "blue": 10}, {"green": 100}) is None


@given(st.text(alphabet="ab=0123 ,%²", max_size=30) | st.text())
def test_any_text_is_percentages_or_refused(text: str) -> None:
    try:
        shares = parse_percentages(text)
    except InvalidInput:
        return
    assert all(percent > 0 for percent in shares.values())
