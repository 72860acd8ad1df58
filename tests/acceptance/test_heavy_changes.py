"""Many changes under load, and many commands at once: nothing fails, nothing is torn."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from mlctl.registry.store import Store
from tests.acceptance.conftest import ECHO, Machine
from tests.acceptance.test_changes_under_load import Keys
from tests.load import Load
from tests.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

NAME = ("-n", "fraud-endpoint")
CHANGES, ROLLOUTS, COMMANDS = 300, 20, 50


def roll(machine: Machine, number: int) -> None:
    """Scale green or give it new code, by turns; blue is scaled too."""
    if number % 2:
        deployment = ("blue", "green")[number // 2 % 2]
        count = number % 3 + 1
        words = ("-n", deployment, "-e", "fraud-endpoint", "--set", f"instance_count={count}")
        machine.ok("deployment", "update", *words)
        return
    machine.write_script(ECHO.replace("VERSION = 1", f"VERSION = {number + 2}"), folder="rolled")
    code = {"code": "./rolled", "scoring_script": "score.py"}
    machine.ok("deployment", "update", "-f", machine.write_deployment("green", code_configuration=code))


def change(machine: Machine, keys: Keys, randomness: random.Random) -> int:
    """Make one to three changes; return how many."""
    if randomness.random() < 0.1:
        keys.rotate()
        return 2
    share = randomness.choice([0, 10, 50, 90, 100])
    words = [f"--traffic=blue={share} green={100 - share}", "--mirror-traffic=green=0"]
    if share == 100:
        words = ["--traffic=blue=100", f"--mirror-traffic=green={randomness.randint(1, 50)}"]
    machine.ok("endpoint", "update", *NAME, *words)
    return 1


def test_300_changes_and_20_rollouts_fail_no_request(served: Machine):
    keys, randomness = Keys(served), random.Random(11)
    done = rolled = 0
    with Load(served.uri, lambda: keys.current, threads=4, limit_s=380) as load:
        while done < CHANGES or rolled < ROLLOUTS:
            if done < CHANGES:
                done += change(served, keys, randomness)
            if rolled < ROLLOUTS and done >= rolled * CHANGES // ROLLOUTS:
                roll(served, rolled)
                rolled += 1
    # A request that was sent with the old key a moment before it was replaced may be refused: a client's race.
    refused = [found for found in load.bad if found.status == 401]
    assert [found for found in load.bad if found.status != 401] == []
    assert len(refused) <= 4 * CHANGES // 10
    assert load.rate >= 500, f"the load was too light to show anything: {load.rate:.0f} requests/s"


def test_fifty_updates_at_once_are_serialised(served: Machine):
    before = served.ok("endpoint", "show", *NAME).json
    words = [sys.executable, "-m", "mlctl.cli.main", "endpoint", "update", *NAME, "-o", "none", "--set"]
    running = [
        subprocess.Popen([*words, f"tags.t{number}={number}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for number in range(COMMANDS)
    ]
    ended = [(process.communicate(timeout=300), process.returncode) for process in running]
    assert [(code, output[1]) for output, code in ended if code != 0] == []
    after = served.ok("endpoint", "show", *NAME).json
    assert after["tags"] == {f"t{number}": number for number in range(COMMANDS)}
    assert after["traffic"] == before["traffic"]
    with Store(served.home / "registry.db") as store:
        row = store.row("SELECT generation, observed_generation FROM endpoints WHERE name = 'fraud-endpoint'")
    assert row is not None
    assert row["generation"] == row["observed_generation"]
    assert served.score().status_code == 200
    wait_until(lambda: len(served.processes()) == 2 + len(served.replicas()))
