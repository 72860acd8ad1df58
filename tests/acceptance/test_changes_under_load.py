"""Traffic, mirror and keys change while requests come in: none with a valid key may fail."""

import random

from mlctl.registry import events
from mlctl.registry.store import Store
from tests.acceptance.conftest import Machine
from tests.load import Load

NAME = ("-n", "fraud-endpoint")
CHANGES = 100


class Keys:
    """The key that clients use: always the one that is not being replaced."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.current = machine.key("primary")

    def rotate(self) -> None:
        """Secondary first, then primary, as documented: clients move before their key goes."""
        self._machine.ok("endpoint", "regenerate-keys", *NAME, "--key-type", "secondary")
        self.current = self._machine.key("secondary")
        self._machine.ok("endpoint", "regenerate-keys", *NAME, "--key-type", "primary")
        self.current = self._machine.key("primary")


def test_a_hundred_changes_fail_no_request(served: Machine):
    keys = Keys(served)
    randomness = random.Random(7)
    done = 0
    with Load(served.uri, lambda: keys.current, threads=4) as load:
        while done < CHANGES:
            if randomness.random() < 0.2:
                # Requests with the old key may be on their way: they were sent before the key was replaced.
                keys.rotate()
                done += 2
                continue
            share = randomness.randint(0, 100)
            change = [f"--traffic=blue={share} green={100 - share}", "--mirror-traffic=green=0"]
            if share == 100:
                change = ["--traffic=blue=100", "--mirror-traffic=green=50"]
            served.ok("endpoint", "update", *NAME, *change)
            done += 1
    refused = [found for found in load.bad if found.status == 401]
    assert len(refused) <= 4 * done, refused[:3]
    assert [found for found in load.bad if found.status != 401] == []
    assert load.rate >= 500, f"the load was too light to show anything: {load.rate:.0f} requests/s"
    with Store(served.home / "registry.db") as store:
        assert not [event for event in events.list_events(store, endpoint="fraud-endpoint") if "rejected" in event.kind]
