from __future__ import annotations

import contextlib
import string
import subprocess
import sys

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mlctl.entities.document import Mark, make_document, render_path
from mlctl.entities.yaml_file import load_document
from mlctl.errors import InvalidInput, Problem
from tests.unit.entities.texts import BAD, F1, F2, F3, F4, F5


def refused(text: str | bytes) -> Problem:
    """Load what must be refused, return the one problem."""
    with pytest.raises(InvalidInput) as caught:
        load_document(text, file="blue.yml")
    assert caught.value.message == "blue.yml: 1 problem, nothing was changed"
    return caught.value.problems[0]


@pytest.mark.parametrize("text", [F1, F2, F3, F4, F5, BAD])
def test_a_document_holds_what_pyyaml_reads(text: str) -> None:
    assert load_document(text, file="x.yml_").data == yaml.safe_load(text)


def test_keys_and_values_have_places() -> None:
    document = load_document("name: blue\nidentity:\n  items:\n  - id: é x\n", file="x")
    assert document.marks[("name",)].key == Mark(1, 1, 4)
    assert document.marks[("name",)].value == Mark(1, 7, 4)
    assert document.marks[("identity", "items", 0)].value.line == 4
    assert document.marks[("identity", "items", 0, "id")].value == Mark(4, 9, 3)


@pytest.mark.parametrize("separator", ["\r\n", "\n", "\r", "\x85", "\u2028"])
def test_lines_are_counted_as_yaml_counts_them(separator: str) -> None:
    document = load_document(f"a: 1{separator}b: 2", file="x")
    assert document.lines[document.marks[("b",)].value.line - 1] == "b: 2"


def test_a_byte_order_mark_does_not_shift_columns() -> None:
    assert load_document(b"\xef\xbb\xbfname: x", file="x").marks[("name",)].value.column == 7


def test_a_file_over_one_mebibyte_is_refused_unread() -> None:
    assert "1,048,576 are allowed" in refused("a: " + "x" * (2 << 20)).message


@pytest.mark.parametrize("text", ["[" * 100_000, "a: " + "{" * 100_000, "- " * 100_000, "? " * 100_000])
def test_bottomless_nesting_is_refused(text: str) -> None:
    assert refused(text).message == "maps and lists are nested more than 100 deep"


def test_a_hundred_thousand_brackets_do_not_kill_the_process() -> None:
    code = "from mlctl.entities.yaml_file import load_document; load_document('[' * 100_000, file='x')"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "InvalidInput" in ended.stderr


def test_a_hundred_levels_are_read() -> None:
    assert load_document("a: " + "[" * 99 + "]" * 99, file="x").data["a"]


def test_a_billion_laughs_are_refused() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for above, here in zip(string.ascii_lowercase, string.ascii_lowercase[1:10], strict=False):
        lines.append(f"{here}: &{here} [{', '.join([f'*{above}'] * 9)}]")
    assert refused("\n".join(lines)).message == "the aliases of this file expand without end"


def test_merge_keys_do_not_double_without_end() -> None:
    lines = ["k0: &a0 {x: 1}", *(f"k{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 90))]
    assert "expand without end" in refused("\n".join(lines)).message


def test_many_merges_of_a_large_map_are_bounded() -> None:
    large = ", ".join(f"k{i}: 1" for i in range(20_000))
    assert "expand without end" in refused(f"a: &a {{{large}}}\nb: {{<<: [{', '.join(['*a'] * 50_000)}]}}").message


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: *a}", "a: &a {<<: *a}"])
def test_an_alias_to_itself_is_refused(text: str) -> None:
    assert "expand without end" in refused(text).message


def test_aliases_and_merge_keys_work_as_in_pyyaml() -> None:
    text = "a: &a {x: 1, y: 2}\nb: &b {y: 3, z: 4}\nc: {<<: [*a, *b], z: 5}\nd: {<<: *b, <<: *a}\ne: *a\n"
    assert load_document(text, file="x").data == yaml.safe_load(text)


def test_too_many_values_are_refused() -> None:
    assert "100,000 values" in refused("a: [" + "1," * 100_001 + "]").message


def test_a_key_given_twice_is_refused_with_both_lines() -> None:
    problem = refused("name: a\nx: 1\nname: b\n")
    assert problem.message == "name is given twice, in lines 1 and 3"
    assert (problem.line, problem.column, problem.excerpt, problem.width) == (3, 1, "name: b", 4)


def test_a_key_given_twice_deep_inside_is_refused() -> None:
    assert "given twice" in refused("a: {b: [{c: 1, 'c': 2}]}").message


def test_all_double_keys_are_told_at_once() -> None:
    with pytest.raises(InvalidInput) as caught:
        load_document("a: 1\na: 2\nb: 1\nb: 2\n", file="x")
    assert [problem.line for problem in caught.value.problems] == [2, 4]


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_an_empty_file_is_refused(text: str) -> None:
    assert refused(text).message in ("the file is empty", "the file must hold a map (lines of the form name: value)")


@pytest.mark.parametrize("text", ["- a\n- b\n", "just text", "3"])
def test_the_root_must_be_a_map(text: str) -> None:
    assert refused(text).message == "the file must hold a map (lines of the form name: value)"


def test_broken_yaml_is_told_with_its_place() -> None:
    problem = refused("name: blue\nmodel: [a\n")
    assert problem.message.startswith("not valid YAML: ")
    assert problem.line >= 2


def test_a_tab_in_the_indentation_is_named() -> None:
    problem = refused("a:\n\tb: 1\n")
    assert (problem.message, problem.line, problem.column) == ("a tab is used to indent", 2, 1)


def test_bytes_that_are_not_utf8_are_told_with_their_line() -> None:
    problem = refused(b"name: blue\ndescription: caf\xe9\n")
    assert (problem.line, "is not UTF-8" in problem.message) == (2, True)


def test_nul_bytes_are_told_with_their_place() -> None:
    problem = refused("name: b\x00lue")
    assert (problem.message, problem.column) == ("the character U+0000 is not allowed in YAML", 8)


def test_a_second_document_is_refused() -> None:
    assert "more than one document" in refused("a: 1\n---\nb: 2\n").message


@pytest.mark.parametrize(
    "value", ["!!python/object:os.system {}", "!mine x", "!!binary aGk=", "!!set {a}", "!!int [1]"]
)
def test_tags_beyond_plain_data_are_refused(value: str) -> None:
    assert "is not supported here" in refused(f"a: {value}").message


@pytest.mark.parametrize("value", ["!!int x", "!!float x", "!!bool x", "!!int ''"])
def test_values_that_do_not_fit_their_tag_are_refused(value: str) -> None:
    assert "does not fit its tag" in refused(f"a: {value}").message


@pytest.mark.parametrize("key", ["[a]", "{a: 1}", "''"])
def test_keys_must_be_text(key: str) -> None:
    assert refused(f"? {key}\n: 1\n").message == "a key must be text"


def test_keys_that_look_like_numbers_or_flags_are_text() -> None:
    assert load_document("1: a\non: b\nNO: c\n", file="x").data == {"1": "a", "on": "b", "NO": "c"}


@pytest.mark.parametrize(
    "value", ["2024-01-01", ".nan", ".inf", "-.Inf", "9" * 30, "9" * 5000, "0x" + "f" * 100, "1e400"]
)
def test_what_json_cannot_hold_stays_text(value: str) -> None:
    assert load_document(f"a: {value}", file="x").data == {"a": value}


def test_a_problem_carries_place_excerpt_and_width() -> None:
    document = load_document("a:\n  b: [1, two]\n", file="blue.yml")
    expected = Problem("a.b[1]: no", "blue.yml", 2, 10, "mend it", "  b: [1, two]", 3)
    assert document.problem(("a", "b", 1), "no", "mend it") == expected
    assert document.problem(("a", "b"), "no", at_key=True).column == 3


def test_a_problem_of_something_missing_points_to_the_part_above() -> None:
    document = load_document("a:\n  b: 1\n", file="x")
    assert (document.problem(("a", "c"), "is missing").line, document.problem(("a", "c"), "").column) == (1, 1)
    assert document.problem(("c",), "is missing").line == 1


def test_a_problem_of_data_without_text_has_no_line() -> None:
    assert make_document({"a": 1}).problem(("a",), "no") == Problem("a: no")


def test_a_value_of_an_option_is_told_without_line() -> None:
    document = load_document("a: {b: 1}", file="x").replace_data({"a": {"b": 2}}, {("a",): "--set a=2"})
    assert document.problem(("a",), "no") == Problem("--set a=2: no")
    assert document.problem(("a", "b"), "no").message == "--set a=2: a.b: no"


def test_paths_are_rendered_as_users_write_them() -> None:
    assert render_path(("a", "list", 0, "b")) == "a.list[0].b"


def test_reading_imports_no_pydantic() -> None:
    code = (
        "import sys, mlctl.entities.yaml_file, mlctl.entities.traffic, mlctl.entities.names;"
        "sys.exit('pydantic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def loads_or_is_refused(text: str | bytes) -> None:
    with contextlib.suppress(InvalidInput):
        load_document(text, file="x")


@given(st.binary(max_size=200))
def test_any_bytes_are_a_document_or_refused(raw: bytes) -> None:
    loads_or_is_refused(raw)


@given(st.text(max_size=200))
def test_any_text_is_a_document_or_refused(text: str) -> None:
    loads_or_is_refused(text)


@given(
    st.lists(
        st.sampled_from(
            [*"[]{}:,-&*!?|>'\"%@`#<=. \n\t019aeox~_+", "a: ", "<<: ", "&a ", "*a ", "!!int ", "\n  ", "---\n"]
        )
    )
)
def test_any_row_of_yaml_signs_is_a_document_or_refused(signs: list[str]) -> None:
    loads_or_is_refused("a: 1\n" + "".join(signs))
    loads_or_is_refused("".join(signs))
