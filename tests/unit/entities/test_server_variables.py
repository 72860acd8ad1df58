from __future__ import annotations

import pytest

from mlctl.entities.server_variables import count_workers, find_idle_workers


@pytest.mark.parametrize(
    ("value", "count"), [(4, 4), ("4", 4), (None, 1), ("", 1), ("two", 1), (0, 1), (True, 1), (65, 1)]
)
def test_what_is_no_number_of_workers_is_one(value: object, count: int) -> None:
    assert count_workers({"environment_variables": {"WORKER_COUNT": value}}) == count


def test_without_the_variable_there_is_one_worker() -> None:
    assert count_workers({}) == 1


def test_workers_that_azure_would_leave_idle_are_told_of() -> None:
    spec = {
        "environment_variables": {"WORKER_COUNT": "4"},
        "request_settings": {"max_concurrent_requests_per_instance": 2},
    }
    assert "set it to 4" in find_idle_workers(spec)
    assert find_idle_workers({**spec, "request_settings": {"max_concurrent_requests_per_instance": 4}}) == ""
    assert find_idle_workers({}) == ""
