"""`mlctl deployment profile`, and the replicas' metrics for Prometheus: a real daemon, Envoy, replicas."""

from __future__ import annotations

import os
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlctl.registry import replicas
from mlctl.registry.store import Store
from mlctl.runtimes.metrics import Series, parse_metrics
from tests.acceptance.conftest import Machine, boot, free_port
from tests.load import Load
from tests.waiting import wait_until

NAMES = ("-n", "blue", "-e", "fraud-endpoint")
LABELS = (("endpoint", "fraud-endpoint"), ("deployment", "blue"))
TOTAL = Series("mlctl_deployment_requests_total", (*LABELS, ("status", "200")))


@pytest.fixture
def measured() -> Iterator[Machine]:
    """A machine with blue serving, and a port for Prometheus."""
    with boot() as booted:
        os.environ["MLCTL_METRICS_PORT"] = str(free_port())
        booted.create_endpoint()
        booted.deploy("blue", "--all-traffic", instances=2)
        yield booted


def scrape(machine: Machine) -> dict[Series, float]:
    with urllib.request.urlopen(machine.ok("daemon", "status").json["metrics"], timeout=10) as answer:
        return dict(parse_metrics(answer.read().decode()).values)


def up(values: dict[Series, float]) -> list[float]:
    return sorted(value for series, value in values.items() if series.name == "mlctl_scoring_up")


def test_a_profile_tells_where_the_time_goes_and_what_to_do(measured: Machine) -> None:
    ran = measured.ok("deployment", "profile", *NAMES)
    assert (ran.json["requests"], ran.json["dominant_step"], ran.json["replicas"]) == (0, None, 2)
    assert "mlctl endpoint invoke -n fraud-endpoint -d blue --request-file" in ran.err
    for _ in range(6):
        assert measured.score({"sleep_s": 0.03}).status_code == 200
    assert measured.score({"raise": True}).status_code == 424
    ran = measured.ok("deployment", "profile", *NAMES)
    assert ran.err == ""
    assert ran.json["requests_by_status"] == {"200": 6, "424": 1}
    steps = {step["step"]: step for step in ran.json["steps"]}
    assert list(steps) == ["queue", "decode", "run", "encode"]
    assert 25 <= steps["run"]["p50_ms"] <= steps["run"]["p95_ms"] <= steps["run"]["p99_ms"] < 1000
    assert sum(step["share"] for step in steps.values()) == pytest.approx(1, abs=0.001)
    assert (ran.json["dominant_step"], ran.json["remedies"][0]) == ("run", "run_threads")


def test_seconds_leave_out_what_was_before(measured: Machine) -> None:
    for _ in range(5):
        measured.score()
    ran = measured.ok("deployment", "profile", *NAMES, "--seconds", "0.2")
    assert ran.json["requests"] == 0
    assert "no requests in 0.2 s" in ran.err
    key = measured.key()
    with Load(measured.uri, lambda: key, threads=2) as load:
        wait_until(lambda: load.outcomes)
        found = measured.ok("deployment", "profile", *NAMES, "--seconds", "0.5").json
    assert 0 < found["requests"] <= len(load.outcomes)
    assert 0.5 <= found["seconds"] < 10


def test_unknown_names_end_with_3_and_the_near_one(measured: Machine) -> None:
    ran = measured.run("deployment", "profile", "-n", "blu", "-e", "fraud-endpoint")
    assert (ran.code, ran.out) == (3, "")
    assert "deployments of fraud-endpoint: blue" in ran.err
    ran = measured.run("deployment", "profile", "-n", "blue", "-e", "fraud-endpont")
    assert (ran.code, "did you mean fraud-endpoint?" in ran.err) == (3, True)
    assert measured.run("deployment", "profile", *NAMES, "--seconds", "0").code == 2


def test_a_deployment_without_replicas_has_no_profile(machine: Machine) -> None:
    machine.create_endpoint()
    machine.write_script("def init():\n    raise ValueError('no')\n\ndef run(raw_data):\n    return 1\n")
    assert machine.run("deployment", "create", "-f", machine.write_deployment()).code == 7
    wait_until(lambda: not machine.replicas())
    ran = machine.run("deployment", "profile", *NAMES)
    assert (ran.code, ran.out) == (6, "")
    assert "mlctl deployment show -n blue -e fraud-endpoint" in ran.err


def test_prometheus_sees_replicas_deployments_and_envoy_in_one_place(measured: Machine) -> None:
    for _ in range(4):
        measured.score()
    values = scrape(measured)
    assert values[TOTAL] == 4
    assert up(values) == [1, 1]
    assert any(series.name.startswith("envoy_") for series in values)
    assert measured.score().status_code == 200
    wait_until(lambda: scrape(measured)[TOTAL] == 5)


def test_no_client_reaches_a_replicas_metrics(measured: Machine) -> None:
    headers = {"Authorization": f"Bearer {measured.key()}"}
    for path in ("metrics", "%6Detrics", "%2Fmetrics", "/metrics", "metrics?a=b"):
        request = urllib.request.Request(f"{measured.uri.removesuffix('score')}{path}", headers=headers)
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(request, timeout=10)
        assert caught.value.code in (400, 404), path
        assert b"mlctl_scoring" not in caught.value.read()
        caught.value.close()


def test_a_hung_replica_delays_nobody_and_a_gone_one_takes_nothing_back(measured: Machine) -> None:
    for _ in range(6):
        measured.score()
    assert scrape(measured)[TOTAL] == 6
    hung, other = measured.replicas("ready")
    assert hung.pid is not None
    os.kill(hung.pid, signal.SIGSTOP)
    looks: list[tuple[float, dict[Series, float]]] = []

    def sees_the_hung_one() -> bool:
        started = time.monotonic()
        values = scrape(measured)
        looks.append((time.monotonic() - started, values))
        return up(values) == [0, 1]

    try:
        wait_until(sees_the_hung_one)
        ran = measured.ok("deployment", "profile", *NAMES)
    finally:
        os.kill(hung.pid, signal.SIGCONT)
    assert looks[-1][1][TOTAL] == 6
    assert max(took_s for took_s, _ in looks) < 5
    assert "1 of 2 replicas did not answer" in ran.err
    assert ran.json["silent_replicas"] == 1
    os.kill(hung.pid, signal.SIGKILL)
    wait_until(lambda: hung.id not in {row.id for row in measured.replicas()} and len(measured.replicas("ready")) == 2)
    values = scrape(measured)
    assert values[TOTAL] == 6
    assert not [series for series in values if series.label("replica") == hung.id]
    assert other.id in {series.label("replica") for series in values}


def test_without_a_daemon_envoys_metrics_are_still_there(measured: Machine) -> None:
    url = measured.ok("daemon", "status").json["metrics"]
    measured.score()
    measured.kill("daemon")
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    assert "envoy_cluster_upstream_rq_total" in text
    assert "mlctl_scoring" not in text
    assert measured.ok("deployment", "profile", *NAMES).json["requests"] == 1
    measured.ok("daemon", "start")
    # What the replicas had counted before is not counted once more.
    assert scrape(measured).get(TOTAL, 0) == 0
    measured.score()
    wait_until(lambda: scrape(measured)[TOTAL] == 1)
    with Store(Path(measured.home) / "registry.db") as store:
        assert len(replicas.list_replicas(store)) == 2
