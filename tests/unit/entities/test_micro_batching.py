from __future__ import annotations

import pytest

from mlctl.entities.deployment import ManagedOnlineDeployment
from mlctl.entities.micro_batching import MicroBatching, find_doubt, read_micro_batching
from mlctl.entities.parsing import check_document
from mlctl.entities.yaml_file import load_document
from mlctl.errors import Problem
from tests.unit.entities.texts import F1

BEFORE = f"{F1.rstrip()}\nproperties:\n  team: risk\n"
LINE = BEFORE.count("\n") + 1


def problems_of(*lines: str) -> tuple[Problem, ...]:
    text = BEFORE + "".join(f"  mlctl.micro_batching.{line}\n" for line in lines)
    return check_document(load_document(text, file="blue.yml"), ManagedOnlineDeployment)


@pytest.mark.parametrize(
    "lines",
    [
        ('max_rows: "64"', 'max_wait_ms: "5"', "input_key: features"),
        ("max_rows: 64", "max_wait_ms: 0", "input_key: a b"),
        ("max_rows: 10000",),
    ],
)
def test_numbers_are_taken_as_text_and_as_numbers(lines: tuple[str, ...]) -> None:
    assert problems_of(*lines) == ()


@pytest.mark.parametrize(
    ("line", "column", "message"),
    [
        ('max_rows: "many"', 34, '"many" is not a whole number (2 to 10,000)'),
        ("max_rows: 1", 34, "1 is not a whole number (2 to 10,000)"),
        ("max_rows: 2.5", 34, "2.5 is not a whole number (2 to 10,000)"),
        ("max_rows: true", 34, "true is not a whole number (2 to 10,000)"),
        ("max_wait_ms: -1", 37, "-1 is not a whole number (0 to 1,000)"),
        ("max_wait_ms: 1001", 37, "1001 is not a whole number (0 to 1,000)"),
        ('input_key: ""', 35, '"" is not the name of a key in a body'),
        ("input_key: 7", 35, "7 is not the name of a key in a body"),
        ("max_row: 7", 33, "unknown property"),
    ],
)
def test_what_cannot_be_followed_is_told_with_its_place(line: str, column: int, message: str) -> None:
    first = () if line.startswith("max_rows:") else ("max_rows: 64",)
    (problem,) = problems_of(*first, line)
    name = line.partition(":")[0]
    assert problem.message == f"properties.mlctl.micro_batching.{name}: {message}"
    assert (problem.line, problem.column) == (LINE + len(first), column)


def test_settings_without_a_number_of_rows_join_nothing_and_are_refused() -> None:
    (problem,) = problems_of("input_key: data")
    assert "without mlctl.micro_batching.max_rows no requests are joined" in problem.message
    assert problem.hint == 'add mlctl.micro_batching.max_rows: "64"'


def test_what_is_left_out_has_its_default() -> None:
    assert read_micro_batching({}) is None
    assert read_micro_batching({"mlctl.micro_batching.max_rows": "64"}) == MicroBatching(64, 5, "features")


@pytest.mark.parametrize(("at_a_time", "is_doubted"), [(None, True), (1, True), (2, False)])
def test_joining_with_one_request_at_a_time_is_doubted(at_a_time: int | None, is_doubted: bool) -> None:
    settings = {"max_concurrent_requests_per_instance": at_a_time} if at_a_time else {}
    spec = {"properties": {"mlctl.micro_batching.max_rows": 64}, "request_settings": settings}
    assert bool(find_doubt(spec)) == is_doubted
    assert find_doubt({"request_settings": settings}) == ""
