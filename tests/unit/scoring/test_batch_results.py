"""What becomes of the results of run() in an output: as they are, whatever the format."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlctl.scoring.batch.calling import Loaded
from mlctl.scoring.batch.results import ResultRefused, choose_render


def render_lines(result: Any, given: pd.DataFrame | None = None) -> list[str]:
    loaded = Loaded(None, len(result), given)
    return choose_render("jsonl", given is not None)(result, loaded).data.decode().splitlines()


def test_json_lines_keep_every_digit() -> None:
    probability = [1.520890147155285e-08, 0.9195746147665275, 1e-300, 1 / 3]
    given = pd.DataFrame({"amount": [12.857020276912345, 2.0, 3.0, 4.0]})
    lines = [json.loads(line) for line in render_lines(pd.DataFrame({"p": probability}), given)]
    assert [line["p"] for line in lines] == probability
    assert lines[0]["amount"] == 12.857020276912345
    pairs = [json.loads(line)["pair"] for line in render_lines(pd.DataFrame({"pair": [[1 / 3, 1e-20]]}))]
    assert pairs == [[1 / 3, 1e-20]]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2], [1, 2]),
        ([True, False], [True, False]),
        ([1.5, float("nan")], [1.5, None]),
        ([float("inf"), None], [None, None]),
        (["größer", None], ["größer", None]),
        ([np.array([1.0, np.nan]), np.float32(0.5)], [[1.0, None], 0.5]),
        ([{"a": np.int64(3)}, []], [{"a": 3}, []]),
        ([datetime(2026, 11, 25, 6, tzinfo=UTC), None], ["2026-11-25T06:00:00+00:00", None]),
    ],
)
def test_json_lines_are_json_for_all_that_a_column_may_hold(values: list[Any], expected: list[Any]) -> None:
    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    lines = render_lines(pd.DataFrame({"value": values}))
    assert [json.loads(line, parse_constant=refuse)["value"] for line in lines] == expected


def test_two_columns_of_one_name_are_refused_where_each_needs_its_own() -> None:
    with pytest.raises(ResultRefused, match="two columns named a"):
        render_lines(pd.DataFrame([[1, 2]], columns=["a", "a"]))
