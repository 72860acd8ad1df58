from __future__ import annotations

import pytest

from mlctl.planning.traffic import plan_backend
from mlctl.planning.workers import count_at_a_time, list_sockets, name_socket


def test_one_worker_has_the_socket_alone() -> None:
    assert name_socket("a-1", 1) == "a-1.sock"
    assert list_sockets("/run/a-1.sock") == ("/run/a-1.sock",)


def test_the_name_of_the_first_socket_tells_the_others() -> None:
    assert list_sockets(f"/run/{name_socket('a-1', 3)}") == (
        "/run/a-1.w3.sock",
        "/run/a-1.w3.sock.2",
        "/run/a-1.w3.sock.3",
    )


def test_a_deployments_own_name_is_not_taken_for_a_number() -> None:
    assert list_sockets("/run/blue.w2-1.sock") == ("/run/blue.w2-1.sock",)


@pytest.mark.parametrize(("concurrency", "workers", "most"), [(1, 1, 2), (4, 4, 8), (4, 2, 8), (1, 3, 6)])
def test_the_cap_is_azures_and_leaves_no_worker_idle(concurrency: int, workers: int, most: int) -> None:
    spec = {
        "request_settings": {"max_concurrent_requests_per_instance": concurrency},
        "environment_variables": {"WORKER_COUNT": workers},
    }
    assert plan_backend("blue", spec, []).max_requests == most
    assert count_at_a_time(spec) == most // 2
