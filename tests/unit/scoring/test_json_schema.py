"""Compiled schemas judge as jsonschema does, tell every fault with its place, and refuse what they cannot follow."""

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jsonschema import Draft4Validator, Draft7Validator, Draft202012Validator

from mlctl.scoring.json_schema.compiling import compile_schema, find_faults
from mlctl.scoring.json_schema.rules import SchemaRefused

_names = st.sampled_from(["a", "b", "ab", "x y"])
_numbers = st.integers(-5, 5) | st.sampled_from([0.5, 1.0, -2.5, 3.0, 1e300])
_scalars = st.none() | st.booleans() | _numbers | st.text("abx1", max_size=3)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_names, inner, max_size=3), max_leaves=8
)
_types = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
_counts = st.integers(0, 3)


def _schemas() -> st.SearchStrategy[Any]:
    leaves = st.booleans() | st.fixed_dictionaries(
        {},
        optional={
            "type": _types | st.lists(_types, min_size=1, max_size=3, unique=True),
            "enum": st.lists(_values, min_size=1, max_size=3),
            "const": _values,
            "minimum": _numbers,
            "exclusiveMaximum": _numbers,
            "multipleOf": st.sampled_from([1, 2, 0.5, 0.1]),
            "minLength": _counts,
            "maxLength": _counts,
            "pattern": st.sampled_from(["a", "^b", "1$"]),
            "minItems": _counts,
            "maxItems": _counts,
            "uniqueItems": st.booleans(),
            "minProperties": _counts,
            "maxProperties": _counts,
            "required": st.lists(_names, max_size=2, unique=True),
            "dependentRequired": st.dictionaries(_names, st.lists(_names, max_size=2, unique=True), max_size=2),
        },
    )

    def extend(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
        several = st.lists(inner, min_size=1, max_size=3)
        named = st.dictionaries(_names, inner, max_size=2)
        return st.fixed_dictionaries(
            {},
            optional={
                "type": _types,
                "items": inner,
                "prefixItems": several,
                "contains": inner,
                "minContains": _counts,
                "maxContains": _counts,
                "properties": named,
                "patternProperties": st.dictionaries(st.sampled_from(["^a", "b$", " "]), inner, max_size=2),
                "additionalProperties": inner,
                "propertyNames": inner,
                "dependentSchemas": named,
                "required": st.lists(_names, max_size=2, unique=True),
                "allOf": several,
                "anyOf": several,
                "oneOf": several,
                "not": inner,
                "if": inner,
                "then": inner,
                "else": inner,
            },
        )

    return st.recursive(leaves, extend, max_leaves=6)


@settings(max_examples=300, deadline=None)
@given(_schemas(), st.lists(_values, min_size=1, max_size=6))
@example({"enum": [True, [1], None]}, [1, True, [True], [1.0], None, False])
@example({"uniqueItems": True}, [[1, True], [1, 1.0], [{"a": 1}, {"a": 1.0}], [[], {}], ["list", ["list"]]])
def test_values_fit_exactly_where_jsonschema_says_so(schema: Any, values: list[Any]) -> None:
    rule, judge = compile_schema(schema), Draft202012Validator(schema)
    for value in values:
        assert rule.fits(value) == judge.is_valid(value), (schema, value)
        assert bool(list(find_faults(rule, value))) == (not rule.fits(value)), (schema, value)


@pytest.mark.parametrize(
    ("judge", "schema"),
    [
        (Draft4Validator, {"minimum": 1, "exclusiveMinimum": True, "maximum": 3, "exclusiveMaximum": True}),
        (Draft4Validator, {"minimum": 1, "exclusiveMinimum": False}),
        (Draft7Validator, {"items": [{"type": "integer"}], "additionalItems": {"type": "string"}}),
        (Draft7Validator, {"dependencies": {"a": ["b"], "b": {"required": ["c"]}}}),
        (
            Draft7Validator,
            {"definitions": {"n": {"minimum": 2}}, "properties": {"a": {"$ref": "#/definitions/n", "maximum": 2}}},
        ),
    ],
)
def test_older_drafts_are_followed(judge: Any, schema: dict[str, Any]) -> None:
    rule = compile_schema({"$schema": judge.META_SCHEMA["$schema"], **schema})
    values: list[Any] = [0, 1, 2, 3, 4, [1], ["a"], [1, "a"], [1, 2], {"a": 1}, {"a": 3, "b": 1}, {"b": 1, "c": 2}]
    assert [rule.fits(value) for value in values] == [judge(schema).is_valid(value) for value in values]


def test_a_schema_may_refer_to_itself() -> None:
    tree = {
        "$defs": {
            "node": {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}, "v": {"type": "integer"}}}
        },
        "$ref": "#/$defs/node",
    }
    rule = compile_schema(tree)
    assert rule.fits({"v": 1, "next": {"v": 2}})
    assert [*find_faults(rule, {"next": {"next": {"v": "x"}}})] == [
        ("$.next.next.v", "must be a whole number, it is a string")
    ]


def test_every_fault_is_told_with_its_path() -> None:
    rule = compile_schema(
        {
            "type": "object",
            "required": ["rows", "kind"],
            "additionalProperties": False,
            "properties": {
                "rows": {"type": "array", "items": {"type": "array", "maxItems": 2, "items": {"type": "number"}}},
                "odd name": {"minimum": 3},
            },
        }
    )
    faults = [*find_faults(rule, {"rows": [[1, 2], [1, "x", None], 7], "odd name": 1, "more": 0})]
    assert faults == [
        ("$.kind", "is missing"),
        ("$.rows[1]", "must have at most 2 items, it has 3"),
        ("$.rows[1][1]", "must be a number, it is a string"),
        ("$.rows[1][2]", "must be a number, it is null"),
        ("$.rows[2]", "must be a list, it is a number"),
        ('$["odd name"]', "must be at least 3, it is 1"),
        ("$.more", "is not a known field; known here: odd name, rows"),
    ]


def test_of_several_forms_the_nearest_is_explained() -> None:
    table = {"type": "object", "required": ["data"], "properties": {"data": {"items": {"type": "number"}}}}
    rule = compile_schema({"anyOf": [{"type": "string"}, table]})
    faults = [*find_faults(rule, {"data": [1, "x"]})]
    assert faults[0].message.startswith("fits none of the 2 forms")
    assert faults[1:] == [("$.data[1]", "must be a number, it is a string")]


def test_one_of_several_keys_is_asked_for_in_plain_words() -> None:
    rule = compile_schema({"anyOf": [{"required": ["features"]}, {"required": ["data"]}]})
    assert [*find_faults(rule, {})] == [("$", "must have one of the keys features, data")]


@pytest.mark.parametrize(
    ("schema", "path", "words"),
    [
        ({"properties": {"a": {"$ref": "other.json#/a"}}}, ("properties", "a", "$ref"), "leads out of this document"),
        ({"$ref": "#/$defs/none"}, ("$ref",), "is not there"),
        ({"items": {"unevaluatedProperties": False}}, ("items", "unevaluatedProperties"), "not supported"),
        ({"properties": {"a": {"pattern": "("}}}, ("properties", "a", "pattern"), "no regular expression"),
        ({"$ref": "#"}, (), "refers to itself without end"),
        ({"allOf": [{"$ref": "#"}]}, (), "refers to itself without end"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_its_place(schema: Any, path: Any, words: str) -> None:
    with pytest.raises(SchemaRefused, match=words) as caught:
        compile_schema(schema)
    assert caught.value.path == path


def test_a_body_that_is_nested_too_deeply_has_a_fault() -> None:
    rule = compile_schema({"items": {"$ref": "#"}})
    deep = json.loads("[" * 900 + "]" * 900)
    assert [fault.message for fault in find_faults(rule, deep)] == ["is nested too deeply"]


def test_a_schema_may_say_in_its_own_words_what_is_wrong() -> None:
    rule = compile_schema({"items": {"type": "string", "pattern": "^[A-Z]{2}$", "errorMessage": "must be a country"}})
    assert [*find_faults(rule, ["DE", "x", 3])] == [("$[1]", "must be a country"), ("$[2]", "must be a country")]


def test_not_a_number_is_within_all_bounds_as_elsewhere() -> None:
    schema = {"minimum": 0, "maximum": 1}
    assert compile_schema(schema).fits(float("nan")) == Draft202012Validator(schema).is_valid(float("nan"))


@pytest.mark.parametrize("bound", ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"])
@given(st.lists(st.integers(-3, 3) | st.sampled_from([0.5, 2.0, float("nan")]) | st.just("x"), max_size=5))
def test_lists_are_judged_at_once_as_their_values_are_one_by_one(bound: str, values: list[Any]) -> None:
    one = compile_schema({"type": "number", bound: 1})
    assert compile_schema({"items": {"type": "number", bound: 1}}).fits(values) == all(map(one.fits, values))


def test_long_values_are_clipped_in_messages() -> None:
    fault, *_ = find_faults(compile_schema({"const": "x"}), "y" * 1000)
    assert len(fault.message) < 100
