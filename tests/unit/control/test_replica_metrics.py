"""What Prometheus is shown of replicas that come, hang and go: no counter ever falls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

import pytest

from mlctl.control import replica_metrics
from mlctl.control.replica_metrics import ReplicaMetrics
from mlctl.registry.replicas import ReplicaRow
from mlctl.runtimes.metrics import Reading, Series, parse_metrics

BEGAN_AT = 1000.0
NAMES = (("endpoint", "fraud"), ("deployment", "blue"))
TOTAL = Series("mlctl_deployment_requests_total", (*NAMES, ("status", "200")))
IN_FLIGHT = Series("mlctl_deployment_in_flight", NAMES)


def make_row(name: str = "blue-1", *, started_at: float = BEGAN_AT + 1, deployment: str = "blue") -> ReplicaRow:
    return ReplicaRow(name, "fraud", deployment, 1, f"/run/{name}.sock", 7, 8, "ready", started_at, started_at)


def tell(requests: int, in_flight: int = 0) -> Reading:
    return parse_metrics(
        "# HELP mlctl_scoring_requests_total Requests answered, by status.\n"
        "# TYPE mlctl_scoring_requests_total counter\n"
        f'mlctl_scoring_requests_total{{status="200"}} {requests}\n'
        "# TYPE mlctl_scoring_in_flight gauge\n"
        f"mlctl_scoring_in_flight {in_flight}\n"
    )


class Bench:
    """Replicas that tell what the test says."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(replica_metrics, "_SAME_READING_S", -1.0)
        self.told: dict[str, Reading] = {}
        self.rows: list[ReplicaRow] = []
        self.text = ""
        self.restart()

    def restart(self) -> None:
        self._metrics = ReplicaMetrics(BEGAN_AT, self._read)

    def _read(self, sockets: Sequence[str]) -> Mapping[str, Reading]:
        return {socket: self.told[socket] for socket in sockets if socket in self.told}

    def gather(self, *rows: ReplicaRow, **told: Reading) -> Mapping[Series, float]:
        self.told = {f"/run/{name.replace('_', '-')}.sock": reading for name, reading in told.items()}
        self.text = self._metrics.gather(rows)
        return parse_metrics(self.text).values


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def own(name: str, metric: str = "up", *labels: tuple[str, str]) -> Series:
    return Series(f"mlctl_scoring_{metric}", (*NAMES, ("replica", name), *labels))


def test_replicas_are_shown_apart_and_added_up(bench: Bench) -> None:
    rows = make_row("blue-1"), make_row("blue-2")
    values = bench.gather(*rows, blue_1=tell(3, 1), blue_2=tell(4, 2))
    assert values[own("blue-1", "requests_total", ("status", "200"))] == 3
    assert values[own("blue-2", "requests_total", ("status", "200"))] == 4
    assert (values[TOTAL], values[IN_FLIGHT]) == (7, 3)
    assert (values[own("blue-1")], values[own("blue-2")]) == (1, 1)


def test_a_replica_that_is_gone_leaves_its_counts_in_the_sum_only(bench: Bench) -> None:
    one, two = make_row("blue-1"), make_row("blue-2")
    bench.gather(one, two, blue_1=tell(30, 1), blue_2=tell(4, 1))
    values = bench.gather(two, blue_2=tell(5, 1))
    assert values[TOTAL] == 35
    assert values[IN_FLIGHT] == 1
    assert "blue-1" not in bench.text


def test_a_hung_replica_shows_what_it_told_before(bench: Bench) -> None:
    row = make_row()
    bench.gather(row, blue_1=tell(30, 2))
    values = bench.gather(row)
    assert values[own("blue-1")] == 0
    assert values[own("blue-1", "requests_total", ("status", "200"))] == 30
    assert values[TOTAL] == 30
    assert bench.gather(row, blue_1=tell(31))[TOTAL] == 31


def test_a_new_daemon_does_not_count_again_what_was_counted_before(bench: Bench) -> None:
    row = make_row(started_at=BEGAN_AT - 500)
    assert bench.gather(row, blue_1=tell(1000))[TOTAL] == 0
    assert bench.gather(row, blue_1=tell(1002))[TOTAL] == 2


def test_a_replaced_worker_counts_from_zero(bench: Bench) -> None:
    row = make_row()
    bench.gather(row, blue_1=tell(50))
    assert bench.gather(row, blue_1=tell(2))[TOTAL] == 52


def test_the_sums_of_a_deployment_that_is_gone_are_forgotten(bench: Bench) -> None:
    bench.gather(make_row(), blue_1=tell(50))
    assert TOTAL not in bench.gather()
    assert bench.gather(replace(make_row(), id="blue-9", socket="/run/blue-9.sock"), blue_9=tell(1))[TOTAL] == 1


def test_every_metric_is_described_once_and_stands_together(bench: Bench) -> None:
    rows = make_row("blue-1"), make_row("green-1", deployment="green")
    bench.gather(*rows, blue_1=tell(1), green_1=tell(2))
    lines = bench.text.splitlines()
    kinds = [line.split()[2] for line in lines if line.startswith("# TYPE")]
    assert len(kinds) == len(set(kinds)) == 5
    names = [line.partition("{")[0] for line in lines if not line.startswith("#")]
    assert sum(before != after for before, after in pairwise(names)) == len(set(names)) - 1


def test_without_replicas_there_is_nothing_to_show(bench: Bench) -> None:
    assert bench.gather() == {}
