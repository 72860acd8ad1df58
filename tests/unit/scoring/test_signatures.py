"""What a signature's columns refuse, beside what pandas converts; MLflow itself is in the acceptance tests."""

from typing import Any

import pytest

from mlctl.scoring.json_schema.compiling import compile_schema, find_faults
from mlctl.scoring.no_code.signatures import Column, describe_table

COLUMNS = [
    Column("amount", "double", "float64", is_required=True),
    Column("age", "long", "int64", is_required=True),
    Column("city", "string", None, is_required=False),
]
RULE = compile_schema(describe_table(COLUMNS))


def table(*rows: list[Any], columns: Any = ("amount", "age", "city")) -> dict[str, Any]:
    return {"columns": [*columns], "index": list(range(len(rows))), "data": [*rows]}


@pytest.mark.parametrize(
    "good",
    [
        table([1.5, 2, "x"], [1, True, None]),
        table(["1.5", " 7 ", 3]),
        table(["nan", "1", ["what", "ever"]]),
        table([1.5, 2], columns=("amount", "age")),
        table([2, "x", 1.5, {}], columns=("age", "city", "amount", "more")),
        {"columns": ["amount", "age"], "data": []},
    ],
)
def test_what_may_be_converted_is_let_through(good: Any) -> None:
    assert RULE.fits(good), [*find_faults(RULE, good)]


@pytest.mark.parametrize(
    ("bad", "path", "message"),
    [
        ([[1, 2]], "$", "must be an object, it is a list"),
        ({"data": []}, "$.columns", "is missing"),
        (table([1], columns=("age",)), "$.columns", 'lacks "amount"'),
        (table(["abc", 2, "x"]), "$.data[0][0]", "must be a number, the column's type is double"),
        (table([1, [2], "x"]), "$.data[0][1]", "must be a number, the column's type is long"),
        (table([1, 2, "x", 4]), "$.data[0]", "must have at most 3 items, it has 4"),
        ({**table(), "data": {"amount": [1]}}, "$.data", "must be a list, it is an object"),
    ],
)
def test_what_no_conversion_takes_is_told_with_its_place(bad: Any, path: str, message: str) -> None:
    assert (path, message) in [*find_faults(RULE, bad)]
