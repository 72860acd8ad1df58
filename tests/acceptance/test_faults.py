"""Processes are killed at random moments under load: only what the rules allow is lost, and nothing stays behind."""

import os
import random
import select
import signal
import time
from collections.abc import Iterator

import pytest

from mlctl.runtimes.processes import read_start_ticks
from tests.acceptance.conftest import ECHO, Machine, boot
from tests.load import Load, Outcome
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

NAME = ("-n", "fraud-endpoint")
MOMENTS = 20
ENVOY_GAP_S = 0.5


@pytest.fixture(scope="module")
def _busy() -> Iterator[Machine]:
    with boot() as booted:
        booted.create_endpoint()
        booted.write_script(ECHO)
        booted.deploy("blue", "--all-traffic", instances=2)
        booted.deploy("green")
        booted.ok("endpoint", "update", *NAME, "--traffic", "blue=90 green=10", "--mirror-traffic", "blue=0")
        yield booted


@pytest.fixture
def busy(_busy: Machine) -> Machine:
    """Two replicas of blue with 90 %, one of green with 10 %."""
    wait_until(lambda: len(_busy.replicas("ready")) == 3)
    return _busy


def outlast(load: Load, seconds: float) -> None:
    """Let the load go on for a while, measured by its own requests."""
    until = time.monotonic() + seconds
    wait_until(lambda: load.outcomes and load.outcomes[-1].ended > until, timeout_s=seconds + 20)


def kill(pid: int) -> tuple[float, float]:
    """Kill a process; return when that was asked for and when the kernel had closed its connections."""
    descriptor = os.pidfd_open(pid)
    asked_at = time.monotonic()
    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    select.select([descriptor], [], [], 10)
    os.close(descriptor)
    return asked_at, time.monotonic()


def show(machine: Machine) -> str:
    return machine.ok("endpoint", "show", *NAME, "-o", "json").out


def explain(outcomes: list[Outcome], killed_at: float) -> str:
    return "; ".join(
        f"{found.status} {found.error} from {found.started - killed_at:+.3f} to {found.ended - killed_at:+.3f} s"
        for found in outcomes[:5]
    )


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_killed_daemon_loses_no_request(busy: Machine, moment: int):
    before, key = show(busy), busy.key()
    with Load(busy.uri, lambda: key) as load:
        outlast(load, random.uniform(0.05, 0.8))
        killed_at = time.monotonic()
        daemon = busy.kill("daemon")
        outlast(load, 0.5)
        busy.ok("daemon", "start")
        outlast(load, 0.5)
    assert not load.bad, explain(load.bad, killed_at)
    assert show(busy) == before
    assert read_start_ticks(daemon) is None


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_killed_daemon_amid_a_change_is_taken_over_by_the_waiting_command(busy: Machine, moment: int):
    key = busy.key()
    with Load(busy.uri, lambda: key) as load:
        outlast(load, random.uniform(0.02, 0.2))
        pid = busy.pid("daemon")
        path = busy.write_deployment("green", environment_variables={"MOMENT": moment})
        busy.ok("deployment", "update", "-f", path, "--no-wait")
        outlast(load, random.uniform(0.0, 0.6))
        os.kill(pid, signal.SIGKILL)
        killed_at = time.monotonic()
        busy.ok("endpoint", "update", *NAME, "--traffic", "blue=90 green=10")
        state = ("deployment", "show", "-n", "green", "-e", "fraud-endpoint", "--query", "provisioning_state")
        wait_until(lambda: busy.ok(*state, "-o", "tsv").out == "Succeeded\n")
    assert not load.bad, explain(load.bad, killed_at)
    wait_until(lambda: len(busy.replicas()) == 3)


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_a_killed_envoy_is_back_within_half_a_second(busy: Machine, moment: int):
    before, key = show(busy), busy.key()
    with Load(busy.uri, lambda: key) as load:
        outlast(load, random.uniform(0.05, 0.8))
        killed_at = time.monotonic()
        envoy = busy.kill("envoy")
        outlast(load, 1.5)
    late = [found for found in load.bad if found.started > killed_at + ENVOY_GAP_S]
    early = [found for found in load.bad if found.ended < killed_at]
    assert not late, explain(late, killed_at)
    assert not early, explain(early, killed_at)
    assert busy.pid("envoy") != envoy
    assert show(busy) == before


@pytest.mark.parametrize("moment", range(MOMENTS))
@pytest.mark.parametrize("name", ["blue", "green"])
def test_a_killed_replica_loses_its_requests_in_flight_only(busy: Machine, name: str, moment: int):
    """blue has a second replica to turn to; green has none: its requests wait for the replacement."""
    before, key = show(busy), busy.key()
    with Load(busy.uri, lambda: key, body=b'{"sleep_s": 0.002}') as load:
        outlast(load, random.uniform(0.05, 0.8))
        victim = next(row for row in busy.replicas("ready") if row.deployment == name)
        killed_at, dead_at = kill(victim.pid or 0)
        outlast(load, 1.0)
        wait_until(lambda: len(busy.replicas("ready")) == 3)
        outlast(load, 0.3)
    lost = [found for found in load.bad if found.ended < killed_at or found.started > dead_at]
    assert not lost, explain(lost, killed_at)
    assert len(load.bad) <= 4
    assert show(busy) == before


def test_after_all_that_nothing_is_left_behind(busy: Machine):
    busy.ok("daemon", "stop")
    assert busy.processes() == []
    assert [path.name for path in busy.home.rglob("*") if path.name.startswith(".new-")] == []
    busy.ok("daemon", "start")
    wait_until(lambda: len(busy.replicas("ready")) == 3)
    assert busy.score().status_code == 200
