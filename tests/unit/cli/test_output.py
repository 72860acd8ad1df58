import pytest

from mlctl.cli.output import apply_query, compile_query, format_result
from mlctl.errors import InvalidInput, UsageError


def test_json_is_sorted_and_keeps_non_ascii():
    assert format_result({"b": "ü", "a": 1}, "json") == '{\n  "a": 1,\n  "b": "ü"\n}\n'


def test_a_text_result_is_quoted_in_json_and_raw_in_tsv():
    assert format_result('{"x": 1}', "json") == '"{\\"x\\": 1}"\n'
    assert format_result('{"x": 1}', "tsv") == '{"x": 1}\n'


def test_no_result_prints_nothing_in_any_format():
    assert [format_result(None, output) for output in ("json", "tsv", "table", "yaml", "none")] == [""] * 5


def test_tsv_orders_values_by_key_and_flattens_what_is_nested():
    row = {"b": True, "a": "x\ty\nz", "c": [1, 2], "d": {"e": 1}, "f": None}
    assert format_result(row, "tsv") == "x    y z\tTrue\t2\t\tNone\n"


def test_tsv_prints_a_bare_boolean_in_lower_case():
    assert format_result(True, "tsv") == "true\n"


def test_tsv_prints_a_list_of_texts_one_per_line():
    assert format_result(["a", "b"], "tsv") == "a\nb\n"


def test_table_skips_ids_and_nested_values():
    rows = [{"id": "/x", "name": "blue", "tags": {}, "location": "local"}]
    assert format_result(rows, "table") == "Name  Location\n----  --------\nblue  local\n"


def test_table_prints_a_scalar_under_result():
    assert format_result("x", "table") == "Result\n------\nx\n"


def test_a_broken_query_is_a_usage_error():
    with pytest.raises(UsageError):
        compile_query("[?name==")


def test_a_query_that_does_not_fit_is_refused():
    with pytest.raises(InvalidInput):
        apply_query(compile_query("length(@)"), 5)


def test_a_query_that_matches_nothing_yields_nothing():
    assert apply_query(compile_query("nothing"), {"a": 1}) is None
