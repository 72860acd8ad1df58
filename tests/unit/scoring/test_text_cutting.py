"""Joined results that are cut as text: what comes out is what each call of run() would have written, or nothing."""

from __future__ import annotations

import json
from itertools import accumulate, pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.scoring.cutting import Form, Unlike, find_form, learn_plan
from mlctl.scoring.text_cutting import TextPlan, plan_text

NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False), st.booleans(), st.none())
ROWS = st.one_of(NUMBERS, st.lists(NUMBERS, min_size=1, max_size=4))
LABELS = st.text(max_size=5)


def learn(write: Any, joined: Any, singles: list[Any], counts: list[int]) -> TextPlan | None:
    form = find_form([write(joined), *map(write, singles)])
    return plan_text(learn_plan(joined, singles, counts), form)


def cut_into(counts: list[int]) -> list[slice]:
    return [slice(*ends) for ends in pairwise(accumulate(counts, initial=0))]


def write_compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@given(
    st.lists(st.lists(st.tuples(ROWS, ROWS), min_size=1, max_size=3), min_size=2, max_size=5),
    st.lists(LABELS, max_size=3),
    st.sampled_from([json.dumps, write_compact]),
)
def test_parts_are_what_single_calls_write(
    requests: list[list[tuple[Any, Any]]], classes: list[str], write: Any
) -> None:
    def answer(rows: list[tuple[Any, Any]]) -> dict[str, Any]:
        return {"a": [row[0] for row in rows], "classes": classes, "b": [row[1] for row in rows]}

    counts = [len(rows) for rows in requests]
    joined, singles = answer([row for rows in requests for row in rows]), [answer(rows) for rows in requests]
    try:
        plan = learn(write, joined, singles, counts)
    except Unlike:  # such requests are not joined
        return
    assert plan is not None
    parts = plan.cut(write(joined), cut_into(counts), sum(counts))
    assert parts is None or parts == [write(single) for single in singles]


def plan_for(example: dict[str, Any], singles: list[dict[str, Any]]) -> TextPlan:
    plan = learn(json.dumps, example, singles, [1] * len(singles))
    assert plan is not None
    return plan


TWO = plan_for({"p": [1, 2], "k": "v"}, [{"p": [1], "k": "v"}, {"p": [2], "k": "v"}])


def test_the_usual_result_is_cut() -> None:
    text = '{"p": [[0.25, 0.75], [1e-05, 0.5], [1, 0]], "k": "v"}'
    assert TWO.cut(text, cut_into([2, 1]), 3) == [
        '{"p": [[0.25, 0.75], [1e-05, 0.5]], "k": "v"}',
        '{"p": [[1, 0]], "k": "v"}',
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"p": [1, 2], "k": "w"}',
        '{"p": [1, 2, 3], "k": "v"}',
        '{"p": [1], "k": "v"}',
        '{"p": [1,2], "k": "v"}',
        '{"p": ["a, b"], "k": "v"}',
        '{"p": [{"a": 1, "b": 2}], "k": "v"}',
        '{"p": [[1], 2], "k": "v"}',
        '{"p": [[[1], [2]]], "k": "v"}',
        '{"p": [[[1]], [[2]]], "k": "v"}',
        '{"p": [1, 2], "k": "v"} ',
        '{"p": [1, 2], "k": "v", "more": 1}',
        '{"q": [1, 2], "k": "v"}',
        '{"p": [1, 2',
        "[1, 2]",
        "",
    ],
)
def test_what_is_not_sure_is_left_to_the_decoder(text: str) -> None:
    assert TWO.cut(text, cut_into([1, 1]), 2) is None


def test_lists_of_objects_are_cut_by_nobody_here() -> None:
    form = Form(json.dumps, is_ascii=True)
    assert plan_text(learn_plan([1, 2], [[1], [2]], [1, 1]), form) is None
