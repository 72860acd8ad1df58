"""The disk is full, read-only or damaged, the clock jumps: endpoints serve on, commands tell, nothing is half done."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlctl.registry import deployments
from mlctl.registry.deployments import DeploymentRow
from mlctl.registry.store import Store
from mlctl.runtimes.processes import read_start_ticks
from tests.acceptance.conftest import Machine, Ran, boot
from tests.acceptance.interpreters import Clock
from tests.acceptance.small_disks import (
    boot_on_small_disk,
    fill_disk,
    free_disk,
    is_full,
    list_leftovers,
    make_read_only,
    make_writable,
)
from tests.load import Load
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

NAME = ("-n", "fraud-endpoint")
DAY_S = 86_400.0
# A command that hangs instead of telling what is wrong must not hold up the tests.
IN_TIME = ("--timeout", "20")

# As long as a file named `broken` lies beside the code's original, nothing comes up.
FRAGILE = """
import os

def init():
    if os.path.exists({marker!r}):
        raise RuntimeError("not today")

def run(raw_data):
    print("asked")
    return {{"pid": os.getpid()}}
"""


def outlast(load: Load, seconds: float) -> None:
    """Let the load go on for a while, measured by its own requests."""
    until = time.monotonic() + seconds
    wait_until(lambda: load.outcomes and load.outcomes[-1].ended > until, timeout_s=seconds + 20)


def prepare(machine: Machine) -> None:
    machine.create_endpoint()
    machine.write_script(FRAGILE.format(marker=str(machine.work / "broken")))
    machine.deploy("blue", "--all-traffic")
    machine.deploy("green")


def traffic(machine: Machine) -> dict[str, int]:
    return machine.ok("endpoint", "show", *NAME, "--query", "traffic").json


def names(machine: Machine) -> list[str]:
    return [row["name"] for row in machine.ok("deployment", "list", "-e", "fraud-endpoint").json]


def pids(machine: Machine) -> dict[str, int | None]:
    return {row.id: row.pid for row in machine.replicas()}


def write_model(machine: Machine, size: int) -> str:
    path = machine.work / "model.bin"
    path.write_bytes(os.urandom(size))
    return str(path)


def refuses(ran: Ran, *words: str) -> None:
    """Check that a command was refused in the user's terms."""
    assert ran.code == 6, ran.err
    assert any(word in ran.err for word in words), ran.err
    assert "Traceback" not in ran.err
    assert "bug of mlctl" not in ran.err
    assert ran.out == ""


def says_disk(ran: Ran) -> None:
    refuses(ran, "disk is full", "No space left")


# The disk is full


def make_room_in_registry(machine: Machine) -> None:
    """Let SQLite have room in its own files: what it writes ahead begins at the file's start again."""
    with contextlib.closing(sqlite3.connect(machine.home / "registry.db", timeout=30, isolation_level=None)) as found:
        found.execute("CREATE TABLE filler AS SELECT randomblob(200000)")
        found.execute("DROP TABLE filler")
        wait_until(lambda: found.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0] == 0)


@pytest.fixture(scope="module")
def _small() -> Iterator[Machine]:
    with boot_on_small_disk() as machine:
        prepare(machine)
        yield machine


@pytest.fixture
def small(_small: Machine) -> Iterator[Machine]:
    """blue with all traffic, green with none, and a disk of 32 MB with room on it; each test leaves it so."""
    _small.ok("endpoint", "update", *NAME, "--traffic", "blue=100", "--mirror-traffic", "green=0")
    try:
        yield _small
    finally:
        make_writable(_small)
        free_disk(_small)


def test_serving_goes_on_while_the_disk_is_full(small: Machine):
    before, daemon, key = pids(small), small.pid("daemon"), small.key()
    with Load(small.uri, lambda: key, threads=2) as load:
        outlast(load, 0.3)
        fill_disk(small)
        assert is_full(small)
        outlast(load, 2.0)
        for words in (("endpoint", "list"), ("endpoint", "show", *NAME), ("daemon", "status")):
            small.ok(*words)
        free_disk(small)
        outlast(load, 0.3)
    assert load.bad == []
    assert pids(small) == before
    assert small.pid("daemon") == daemon


def test_a_model_larger_than_what_is_free_is_refused_whole(small: Machine):
    path = write_model(small, 6 << 20)
    create = ("model", "create", "-n", "large", "-v", "1", "-p", path)
    before = sorted(path.name for path in (small.home / "artifacts").iterdir())
    fill_disk(small, leave_bytes=2 << 20)
    says_disk(small.run(*create))
    assert sorted(path.name for path in (small.home / "artifacts").iterdir()) == before
    assert list_leftovers(small.home) == []
    assert small.run("model", "show", "-n", "large", "-v", "1").code == 3
    fill_disk(small)
    says_disk(small.run(*create))
    assert list_leftovers(small.home) == []
    free_disk(small)
    small.ok(*create)


@pytest.mark.parametrize("has_room", [False, True], ids=["full", "full but for the registry itself"])
def test_traffic_is_not_changed_on_a_full_disk(small: Machine, has_room: bool):
    daemon, key = small.pid("daemon"), small.key()
    if has_room:
        make_room_in_registry(small)
    update = ("endpoint", "update", *NAME, "--traffic", "blue=50 green=50", *IN_TIME)
    with Load(small.uri, lambda: key, threads=2) as load:
        fill_disk(small)
        says_disk(small.run(*update))
        assert traffic(small) == {"blue": 100, "green": 0}
        outlast(load, 0.5)
        free_disk(small)
        # Nothing of what was refused comes true later.
        outlast(load, 1.0)
        assert {found.deployment for found in load.outcomes} == {"blue"}
        small.ok(*update)
    assert load.bad == []
    assert traffic(small) == {"blue": 50, "green": 50}
    assert list_leftovers(small.home) == []
    assert small.pid("daemon") == daemon


def test_no_deployment_is_half_made_on_a_full_disk(small: Machine):
    daemon = small.pid("daemon")
    small.write_script("def init(): pass\ndef run(raw_data): return 'new'\n", folder="other")
    document = small.write_deployment("red", code_configuration={"code": "./other", "scoring_script": "score.py"})
    create = ("deployment", "create", "-f", document, *IN_TIME)
    fill_disk(small)
    says_disk(small.run(*create))
    assert names(small) == ["blue", "green"]
    assert list_leftovers(small.home) == []
    assert small.score().status_code == 200
    free_disk(small)
    small.ok(*create)
    assert names(small) == ["blue", "green", "red"]
    assert small.pid("daemon") == daemon
    small.ok("deployment", "delete", "-n", "red", "-e", "fraud-endpoint", "--yes")


@pytest.mark.parametrize("has_room", [False, True], ids=["full", "full but for the registry itself"])
def test_whatever_the_daemon_would_have_to_carry_out_is_refused_on_a_full_disk(small: Machine, has_room: bool):
    before, key, shown = pids(small), small.key(), small.ok("endpoint", "show", *NAME).out
    deployment = ("-n", "green", "-e", "fraud-endpoint")
    if has_room:
        make_room_in_registry(small)
    fill_disk(small)
    for words in (
        ("endpoint", "create", "-n", "second"),
        ("endpoint", "regenerate-keys", *NAME, "--key-type", "primary"),
        ("endpoint", "delete", *NAME, "--yes"),
        ("deployment", "update", *deployment, "--set", "instance_count=2"),
        ("deployment", "delete", *deployment, "--yes"),
    ):
        says_disk(small.run(*words))
    free_disk(small)
    # Nothing of what was refused comes true later.
    with Load(small.uri, lambda: key, threads=1) as load:
        outlast(load, 1.0)
    assert load.bad == []
    assert (pids(small), small.key(), small.ok("endpoint", "show", *NAME).out) == (before, key, shown)
    assert names(small) == ["blue", "green"]
    assert list_leftovers(small.home) == []


@pytest.mark.parametrize("has_room", [False, True], ids=["full", "full but for the registry itself"])
def test_a_deployment_of_known_code_is_refused_on_a_full_disk(small: Machine, has_room: bool):
    """Its code needs no room: it was copied before."""
    if has_room:
        make_room_in_registry(small)
    create = ("deployment", "create", "-f", small.write_deployment("red"), *IN_TIME)
    fill_disk(small)
    says_disk(small.run(*create))
    assert names(small) == ["blue", "green"]
    free_disk(small)
    small.ok(*create)
    small.ok("deployment", "delete", "-n", "red", "-e", "fraud-endpoint", "--yes")


def test_what_is_killed_on_a_full_disk_is_back_when_there_is_room(small: Machine):
    """Envoy is back at once: nothing of it waits for the disk."""
    daemon, envoy = small.pid("daemon"), small.pid("envoy")
    key = small.key()
    fill_disk(small)
    small.kill("envoy")
    os.kill(next(row.pid or 0 for row in small.replicas("ready") if row.deployment == "green"), signal.SIGKILL)
    wait_until(lambda: _answers(small, key), what="Envoy is not back")
    free_disk(small)
    wait_until(lambda: len(small.replicas("ready")) == 2)
    wait_until(lambda: small.pid("envoy") != envoy, what="the new Envoy was never written down")
    assert read_start_ticks(small.pid("envoy")) is not None
    assert small.score(azureml_model_deployment="green").status_code == 200
    assert small.pid("daemon") == daemon


def _answers(machine: Machine, key: str) -> bool:
    with contextlib.suppress(OSError):
        return machine.score(key=key).status_code == 200
    return False


def test_a_daemon_killed_on_a_full_disk_is_back_when_there_is_room(small: Machine):
    before, key = pids(small), small.key()
    with Load(small.uri, lambda: key, threads=2) as load:
        fill_disk(small)
        killed = small.kill("daemon")
        wait_until(lambda: read_start_ticks(killed) is None)
        ran = small.run("daemon", "start")
        # With room left in files that are there already, it may as well come up.
        if ran.code != 0:
            says_disk(ran)
        free_disk(small)
        small.ok("daemon", "start")
        outlast(load, 0.5)
    assert load.bad == []
    assert pids(small) == before


# The registry is read-only


def test_a_read_only_registry_is_read_and_never_written(small: Machine):
    before, daemon, key = pids(small), small.pid("daemon"), small.key()
    update = ("endpoint", "update", *NAME, "--traffic", "blue=50 green=50", *IN_TIME)
    writes = (
        update,
        ("endpoint", "create", "-n", "second", *IN_TIME),
        ("model", "create", "-n", "small", "-v", "1", "-p", write_model(small, 1000)),
        ("deployment", "create", "-f", small.write_deployment("red"), *IN_TIME),
        ("deployment", "delete", "-n", "green", "-e", "fraud-endpoint", "--yes", *IN_TIME),
        ("endpoint", "regenerate-keys", *NAME, "--key-type", "primary"),
        ("endpoint", "delete", *NAME, "--yes", *IN_TIME),
    )
    reads = (("endpoint", "show", *NAME), ("endpoint", "list"), ("deployment", "list", "-e", "fraud-endpoint"))
    with Load(small.uri, lambda: key, threads=2) as load:
        make_read_only(small)
        for words in reads:
            ran = small.run(*words)
            if ran.code != 0:
                refuses(ran, "read-only")
        for words in writes:
            refuses(small.run(*words), "read-only", "Read-only")
        outlast(load, 1.0)
        make_writable(small)
        assert (traffic(small), names(small), small.key()) == ({"blue": 100, "green": 0}, ["blue", "green"], key)
        small.ok(*update)
    assert load.bad == []
    assert pids(small) == before
    assert small.pid("daemon") == daemon


def test_on_a_machine_at_rest_a_read_only_registry_is_said_to_be_that(small: Machine):
    small.ok("daemon", "stop")
    make_read_only(small)
    for words in (("endpoint", "list"), ("endpoint", "show", *NAME)):
        ran = small.run(*words)
        if ran.code != 0:
            refuses(ran, "read-only")
    refuses(small.run("daemon", "start"), "read-only", "Read-only")
    refuses(small.run("endpoint", "create", "-n", "second"), "read-only", "Read-only")
    assert small.processes() == []
    make_writable(small)
    small.ok("daemon", "start")
    wait_until(lambda: len(small.replicas("ready")) == 2)
    wait_until(lambda: small.score().status_code == 200)


# The registry is of a newer version, or damaged


@pytest.fixture(scope="module")
def _plain() -> Iterator[Machine]:
    with boot() as machine:
        prepare(machine)
        yield machine


@pytest.fixture
def plain(_plain: Machine) -> Machine:
    _plain.ok("endpoint", "update", *NAME, "--traffic", "blue=100", "--mirror-traffic", "green=0")
    wait_until(lambda: len(_plain.replicas("ready")) == 2)
    return _plain


def set_version(machine: Machine, version: int) -> None:
    with contextlib.closing(sqlite3.connect(machine.home / "registry.db", timeout=30)) as connection:
        connection.execute(f"PRAGMA user_version = {version}")


def get_version(machine: Machine) -> int:
    with contextlib.closing(sqlite3.connect(machine.home / "registry.db", timeout=30)) as connection:
        return connection.execute("PRAGMA user_version").fetchone()[0]


COMMANDS = (
    ("endpoint", "list"),
    ("endpoint", "show", *NAME),
    ("endpoint", "update", *NAME, "--traffic", "blue=50 green=50", *IN_TIME),
    ("deployment", "list", "-e", "fraud-endpoint"),
    ("endpoint", "get-credentials", *NAME),
    ("model", "list"),
    ("daemon", "status"),
    ("daemon", "start"),
)


def test_a_registry_made_newer_under_a_running_daemon_is_refused_and_served(plain: Machine):
    before, daemon, key, version = pids(plain), plain.pid("daemon"), plain.key(), get_version(plain)
    envoy = plain.pid("envoy")
    try:
        with Load(plain.uri, lambda: key, threads=2) as load:
            set_version(plain, 99)
            for words in COMMANDS:
                ran = plain.run(*words)
                refuses(ran, "newer mlctl")
                assert "pip install --upgrade mlctl" in ran.err
            outlast(load, 1.0)
        # What keeps the endpoints up does not depend on the registry.
        os.kill(envoy, signal.SIGKILL)
        wait_until(lambda: _answers(plain, key), what="Envoy is not back")
    finally:
        set_version(plain, version)
    assert load.bad == []
    assert pids(plain) == before
    assert plain.pid("daemon") == daemon
    wait_until(lambda: plain.pid("envoy") != envoy)
    plain.ok("endpoint", "update", *NAME, "--traffic", "blue=50 green=50")


@pytest.mark.parametrize("where", ["middle", "head"])
def test_a_damaged_registry_is_said_to_be_that_and_served(plain: Machine, where: str):
    key, path, envoy = plain.key(), plain.home / "registry.db", plain.pid("envoy")
    gather(path)
    sound = path.read_bytes()
    try:
        with Load(plain.uri, lambda: key, threads=2) as load:
            overwrite(path, *((4096, len(sound) - 4096) if where == "middle" else (0, 4096)))
            for words in COMMANDS:
                ran = plain.run(*words)
                refuses(ran, "damaged", "not a registry")
                assert "put back a copy" in ran.err, ran.err
            outlast(load, 1.0)
        os.kill(envoy, signal.SIGKILL)
        wait_until(lambda: _answers(plain, key), what="Envoy is not back")
    finally:
        # The way out: a copy is put back.
        path.write_bytes(sound)
    plain.ok("daemon", "start")
    assert load.bad == []
    wait_until(lambda: len(plain.replicas("ready")) == 2)
    assert plain.key() == key
    plain.ok("endpoint", "update", *NAME, "--traffic", "blue=50 green=50")


def gather(path: Path) -> None:
    """Bring all of a registry into the one file."""
    with contextlib.closing(sqlite3.connect(path, timeout=30)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def overwrite(path: Path, offset: int, size: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(bytes([0x5A]) * size)


def test_no_damage_looks_like_a_bug_of_ours(machine: Machine):
    """A few bytes are changed somewhere, as letters and as anything: commands do not notice, or say so."""
    machine.create_endpoint()
    machine.deploy("blue", "--all-traffic")
    machine.ok("daemon", "stop")
    path = machine.home / "registry.db"
    # Whoever copies the file of a machine at rest has all of it.
    assert [found.name for found in machine.home.glob("registry.db*")] == ["registry.db"]
    sound, chance = path.read_bytes(), random.Random(5)
    reads = (
        *(("endpoint", "list"), ("endpoint", "show", *NAME), ("deployment", "list", "-e", "fraud-endpoint")),
        *(("model", "list"), ("deployment", "events", "-n", "blue", "-e", "fraud-endpoint"), ("daemon", "status")),
    )
    codes: set[int] = set()
    for turn in range(60):
        size = chance.choice([1, 8, 64, 4096])
        offset = chance.randrange(0, len(sound) - size)
        damage = bytes(chance.choice(b'az{"1,') for _ in range(size)) if turn % 2 else chance.randbytes(size)
        path.write_bytes(sound[:offset] + damage + sound[offset + size :])
        for words in reads:
            ran = machine.run(*words)
            codes.add(ran.code)
            assert ran.code in (0, 3, 6), f"{size} bytes at {offset}, {words}: {ran.err}"
            assert "Traceback" not in ran.err
    path.write_bytes(sound)
    assert 6 in codes


# The clock jumps


class Timed:
    """A machine all of whose processes, commands included, have the test's clock."""

    def __init__(self, machine: Machine, clock: Clock) -> None:
        self.machine = machine
        self.clock = clock

    def run(self, *words: str) -> Ran:
        ran = subprocess.run(
            [str(self.clock.python), "-m", "mlctl.cli.main", *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return Ran(ran.returncode, ran.stdout, ran.stderr)

    def ok(self, *words: str) -> Ran:
        ran = self.run(*words)
        assert ran.code == 0, ran.err
        return ran

    def row(self, name: str) -> DeploymentRow:
        with Store(self.machine.home / "registry.db") as store:
            return deployments.get_deployment(store, "fraud-endpoint", name)


@pytest.fixture(scope="module")
def _timed() -> Iterator[Timed]:
    with boot() as machine, pytest.MonkeyPatch.context() as patch:
        clock = Clock(machine.work / "clock")
        patch.setattr(sys, "executable", str(clock.python))
        timed = Timed(machine, clock)
        timed.ok("endpoint", "create", *NAME)
        machine.write_script(FRAGILE.format(marker=str(machine.work / "broken")))
        timed.ok("deployment", "create", "-f", machine.write_deployment("blue", instances=2), "--all-traffic")
        yield timed


@pytest.fixture
def timed(_timed: Timed) -> Iterator[Timed]:
    """Two replicas of blue, and the clock as it is."""
    _timed.clock.jump_to(0)
    wait_until(lambda: len(_timed.machine.replicas("ready")) == 2)
    yield _timed
    (_timed.machine.work / "broken").unlink(missing_ok=True)


def test_processes_have_the_clock_that_the_test_sets(timed: Timed):
    """Otherwise the tests below would show nothing."""
    timed.clock.jump_to(DAY_S)
    timed.ok("daemon", "restart")
    started_at = timed.ok("daemon", "status").json["started_at"]
    events = timed.ok("endpoint", "update", *NAME, "--traffic", "blue=100")
    assert DAY_S - 60 < started_at - time.time() < DAY_S + 60
    assert events.code == 0


@pytest.mark.parametrize("offset_s", [DAY_S, -DAY_S])
def test_a_jump_of_the_clock_restarts_and_loses_nothing(timed: Timed, offset_s: float):
    machine = timed.machine
    before, daemon, envoy, key = pids(machine), machine.pid("daemon"), machine.pid("envoy"), machine.key()
    with Load(machine.uri, lambda: key, threads=2) as load:
        outlast(load, 0.2)
        for jump_s in (offset_s, 0.0, offset_s):
            timed.clock.jump_to(jump_s)
            outlast(load, 0.8)
            timed.ok("endpoint", "update", *NAME, "--traffic", "blue=100")
    assert load.bad == []
    assert pids(machine) == before
    assert (machine.pid("daemon"), machine.pid("envoy")) == (daemon, envoy)
    assert timed.row("blue").state == "Succeeded"


@pytest.mark.parametrize("offset_s", [DAY_S, -DAY_S])
def test_a_jump_amid_an_update_does_not_stall_it(timed: Timed, offset_s: float):
    machine, key = timed.machine, timed.machine.key()
    path = machine.write_deployment("blue", instances=2, environment_variables={"OFFSET": offset_s})
    generation = timed.row("blue").generation
    with Load(machine.uri, lambda: key, threads=2) as load:
        timed.ok("deployment", "update", "-f", path, "--no-wait")
        timed.clock.jump_to(offset_s)
        wait_until(lambda: timed.row("blue").serving_generation == generation + 1)
        outlast(load, 0.2)
    assert load.bad == []
    assert timed.row("blue").state == "Succeeded"
    wait_until(lambda: len(machine.replicas()) == 2)


def test_a_jump_backwards_does_not_stall_the_replacement_of_a_replica(timed: Timed):
    """Killed again and again, until its starts are spaced out: that was reckoned by the clock before the jump."""
    machine = timed.machine
    timed.clock.jump_to(DAY_S)
    timed.ok("daemon", "restart")
    wait_until(lambda: kill_one(machine, "ready") and timed.row("blue").failures >= 5, timeout_s=30)
    timed.clock.jump_to(0)
    wait_until(lambda: len(machine.replicas("ready")) == 2, what="replicas are not replaced after a jump backwards")
    # What comes later is no crash loop either.
    for _ in range(3):
        kill_one(machine, "ready")
        wait_until(lambda: len(machine.replicas("ready")) == 2)
    wait_until(lambda: timed.row("blue").state == "Succeeded")
    assert machine.score().status_code == 200


def kill_one(machine: Machine, state: str) -> bool:
    """Kill the newest replica in this state, if there is one, and wait until the daemon has seen that."""
    found = machine.replicas(state)
    if not found:
        return False
    newest = found[-1]
    with contextlib.suppress(ProcessLookupError):
        os.kill(newest.pid or 0, signal.SIGKILL)
    wait_until(lambda: newest.id not in pids(machine))
    return True


@pytest.mark.parametrize(("before_s", "after_s"), [(DAY_S, 0.0), (0.0, DAY_S)])
def test_a_jump_amid_a_crash_loop_neither_stalls_nor_hides_the_failure(timed: Timed, before_s: float, after_s: float):
    machine = timed.machine
    timed.clock.jump_to(before_s)
    (machine.work / "broken").touch()
    timed.ok("deployment", "create", "-f", machine.write_deployment("red"), "--no-wait")
    wait_until(lambda: timed.row("red").failures == 2 or timed.row("red").state == "Failed")
    timed.clock.jump_to(after_s)
    wait_until(lambda: timed.row("red").state == "Failed", what="it never gives up after a jump")
    error = timed.row("red").error or {}
    assert "not today" in json.dumps(error)
    assert error["attempts"] == 3
    timed.ok("deployment", "delete", "-n", "red", "-e", "fraud-endpoint", "--yes")
    assert timed.row("blue").state == "Succeeded"
