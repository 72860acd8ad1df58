from __future__ import annotations

import datetime
import json
import math
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlctl.scoring.wire import encode_result, encode_result_exactly, query_to_text

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@settings(deadline=None)  # other work on the machine is no fault
@given(JSON)
def test_text_that_is_json_of_a_container_is_sent_as_it_is(value: Any) -> None:
    text = json.dumps([value])
    assert encode_result(text) == (200, text.encode())


@settings(deadline=None)  # other work on the machine is no fault
@given(JSON.filter(lambda value: not isinstance(value, str) and value is not None))
def test_values_are_encoded_as_json_does(value: Any) -> None:
    status, body = encode_result(value)
    assert (status, json.loads(body)) == (200, value)


@settings(deadline=None)  # other work on the machine is no fault
@given(st.text().filter(lambda text: text[:1] not in ("{", "[")))
def test_other_text_becomes_a_json_string(text: str) -> None:
    assert json.loads(encode_result(text)[1]) == text


@pytest.mark.parametrize("text", ["{", "[", "{]", "[}", "{} ", " {}", "[1, 2"])
def test_text_whose_ends_do_not_match_is_a_json_string(text: str) -> None:
    assert encode_result(text) == (200, json.dumps(text).encode())


def test_text_is_sent_in_utf8() -> None:
    assert encode_result('{"ä": 1}') == (200, '{"ä": 1}'.encode())


@pytest.mark.parametrize("status", [200, 201, 400, 404, 503, 599])
def test_pair_sets_the_status(status: int) -> None:
    assert encode_result(('{"error": "x"}', status)) == (status, b'{"error": "x"}')


@pytest.mark.parametrize("second", [199, 100, 600, -1, True, "400", 400.0, None])
def test_pair_without_a_status_is_an_array(second: Any) -> None:
    assert encode_result(("x", second)) == (200, json.dumps(["x", second]).encode())


@pytest.mark.parametrize("result", [(), (1,), (1, 400, 3), [{}, 400]])
def test_other_sequences_are_arrays(result: Any) -> None:
    assert encode_result(result) == (200, json.dumps(result).encode())


@pytest.mark.parametrize("status", [204, 304])
def test_status_without_content_drops_the_body(status: int) -> None:
    assert encode_result(({"a": 1}, status)) == (status, b"")


@pytest.mark.parametrize(
    ("result", "body"),
    [
        (np.int64(3), b"3"),
        (np.float32(0.5), b"0.5"),
        (np.float64(0.5), b"0.5"),
        (np.bool_(True), b"true"),
        (np.str_("x"), b'"x"'),
        (np.str_("{}"), b"{}"),
        (np.longdouble(0.5), b"0.5"),
        (np.array(7), b"7"),
        (np.array([[1, 2], [3, 4]]), b"[[1, 2], [3, 4]]"),
        (np.array([1, "x", None, np.int8(2)], dtype=object), b'[1, "x", null, 2]'),
        ([np.array([math.nan])], b"[[NaN]]"),
        ({np.int64(1): np.array([1]), "a": {np.int8(2): (np.int8(3),)}}, b'{"1": [1], "a": {"2": [3]}}'),
        (OrderedDict(a=np.int16(1)), b'{"a": 1}'),
    ],
)
def test_numpy_is_json_anywhere(result: Any, body: bytes) -> None:
    assert encode_result(result) == (200, body)


@pytest.mark.parametrize(
    "result",
    [{1, 2}, b"x", datetime.datetime(2025, 1, 1), object(), {(1, 2): 3}, np.array([b"x"]), np.complex64(1j), {b"a": 1}],
)
def test_what_has_no_json_form_raises_type_error(result: Any) -> None:
    with pytest.raises(TypeError):
        encode_result(result)


def test_circle_raises() -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises((ValueError, RecursionError)):
        encode_result(circle)


def test_lone_surrogate_in_json_text_raises() -> None:
    with pytest.raises(UnicodeEncodeError):
        encode_result('{"a": "\ud800"}')


@pytest.mark.parametrize(
    ("result", "body"),
    [('{"a": 1}', b'"{\\"a\\": 1}"'), (("x", 400), b'["x", 400]'), (None, b"{}"), ("ä", b'"\\u00e4"')],
)
def test_exact_mode_is_json_dumps(result: Any, body: bytes) -> None:
    assert encode_result_exactly(result) == (200, body)


@pytest.mark.parametrize("result", [np.array([1]), np.int64(1)])
def test_exact_mode_knows_no_numpy(result: Any) -> None:
    with pytest.raises(TypeError):
        encode_result_exactly(result)


@pytest.mark.parametrize(
    ("query", "values"),
    [
        (b"", {}),
        (b"a=1&b=true&c=x", {"a": 1, "b": True, "c": "x"}),
        (b"a=1&a=x", {"a": [1, "x"]}),
        (b"a=%5B1%2C2%5D", {"a": [1, 2]}),
        (b"a=%C3%A4+b", {"a": "ä b"}),
        (b"a=", {"a": ""}),
        (b"a&=1", {"a": "", "": 1}),
        (b"a=%FF%C3%A4%e9", {"a": "%FFä%E9"}),
        ("a=ä".encode(), {"a": "ä"}),
        (b"a=NaN5&b=" + b"[" * 100_000, {"a": "NaN5", "b": "[" * 100_000}),
    ],
)
def test_query_becomes_json_text(query: bytes, values: dict[str, Any]) -> None:
    assert json.loads(query_to_text(query)) == values
