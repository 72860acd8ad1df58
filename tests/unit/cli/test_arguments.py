import pytest

from mlctl.cli.arguments import normalize
from mlctl.errors import UsageError


def test_az_nouns_become_ours():
    assert normalize(["online-endpoint", "show", "-n", "x"]).words == ("endpoint", "show", "--name", "x")


def test_a_unique_prefix_stands_for_the_flag():
    assert normalize(["online-deployment", "show", "--endpoint", "e", "--name=d"]).words == (
        *("deployment", "show"),
        *("--endpoint-name", "e", "--name", "d"),
    )


def test_an_ambiguous_prefix_is_a_usage_error_that_names_the_candidates():
    with pytest.raises(UsageError, match="--local, --local-enable-gpu"):
        normalize(["deployment", "create", "--loc"])


def test_set_takes_several_tokens_and_repeats():
    invocation = normalize(["endpoint", "create", "-n", "x", "--set", "a=1", "b.c=2", "--set", "d=3", "--no-wait"])
    assert invocation.operations == (("set", ("a=1", "b.c=2")), ("set", ("d=3",)))
    assert invocation.words == ("endpoint", "create", "--name", "x", "--no-wait")


def test_update_operations_keep_their_order():
    invocation = normalize(
        ["endpoint", "update", "-n", "x", "--remove", "tags.a", "--set", "tags.b=1", "--add", "l", "2"]
    )
    assert [kind for kind, _ in invocation.operations] == ["remove", "set", "add"]


@pytest.mark.parametrize(
    ("given", "value"), [(["--local"], "true"), (["--local", "false"], "false"), (["--local", "true"], "true")]
)
def test_three_state_flags_are_bare_or_followed_by_a_value(given: list[str], value: str):
    assert normalize(["endpoint", "show", "-n", "x", *given]).words[-2:] == ("--local", value)


def test_global_arguments_may_stand_anywhere():
    invocation = normalize(["endpoint", "show", "-o", "tsv", "-n", "x", "--query", "scoring_uri", "--debug"])
    assert invocation.options == {"output": "tsv", "query": "scoring_uri", "debug": "true"}


def test_an_unknown_output_format_is_a_usage_error():
    with pytest.raises(UsageError, match="invalid choice: 'xml'"):
        normalize(["endpoint", "list", "-o", "xml"])


def test_a_flag_without_its_value_is_a_usage_error():
    with pytest.raises(UsageError, match="expected one argument"):
        normalize(["endpoint", "show", "-n"])


def test_a_value_may_begin_with_a_dash_and_a_digit():
    assert normalize(["endpoint", "update", "-n", "x", "--set", "a=-1"]).operations == (("set", ("a=-1",)),)


def test_unknown_flags_are_left_for_typer_to_refuse():
    assert normalize(["endpoint", "show", "--nmae", "x"]).words == ("endpoint", "show", "--nmae", "x")


def test_short_flags_may_carry_their_value():
    assert normalize(["endpoint", "list", "-otsv"]).options == {"output": "tsv"}
