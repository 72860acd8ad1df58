"""Changes: taken whole or not at all, without losing a request, by whichever daemon and whichever Envoy."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Iterator

import pytest

from mlctl.errors import BackendUnavailable, GatewayRejected
from mlctl.planning.routes import Credential, EndpointRoutes
from tests.acceptance.gateway.conftest import run_replica
from tests.acceptance.gateway.servers import KEYS, PRIMARY, SECONDARY, Front, Replica, make_backend, make_routes
from tests.load import Load
from tests.waiting import wait_until

pytestmark = pytest.mark.envoy

TWINS = (Credential("primary", "twin-" + "t" * 24), Credential("secondary", "twin-" + "t" * 24))
EMPTY = (Credential("primary", "lone-" + "l" * 24), Credential("secondary", ""))


@pytest.fixture
def served(fresh: Front) -> Iterator[Replica]:
    """A replica behind an Envoy of the test's own."""
    with run_replica(fresh, "blue") as replica:
        fresh.gateway.publish(make_routes(make_backend("blue", [replica.path])))
        yield replica


def read_files(front: Front) -> dict[str, str]:
    root = front.folder / "xds"
    return {str(path.relative_to(root)): path.read_text() for path in root.rglob("*.json")}


def uri(front: Front) -> str:
    return f"http://127.0.0.1:{front.port}/endpoints/fraud/score"


# Refusals


@pytest.mark.parametrize(
    ("credentials", "reason"),
    [(TWINS, "Duplicated credential key: '***'"), (EMPTY, "value length must be at least 1 characters")],
)
@pytest.mark.parametrize("is_restarted", [False, True])
def test_refused_keys_change_nothing_and_are_quoted_nowhere(
    fresh: Front, served: Replica, credentials: tuple[Credential, ...], reason: str, is_restarted: bool
):
    before = read_files(fresh)
    gateway = fresh.new_gateway() if is_restarted else fresh.gateway
    gateway.prepare()
    with pytest.raises(GatewayRejected) as raised:
        gateway.publish(make_routes(make_backend("blue", [served.path]), credentials=credentials))
    assert reason in raised.value.message
    assert "\n" not in raised.value.message
    assert fresh.send().status == 200
    assert fresh.send(key=credentials[0].value).status == 401
    assert read_files(fresh) == before
    assert "rejected" in fresh.log
    for secret in (credentials[0].value, PRIMARY, SECONDARY):
        assert secret not in fresh.log + raised.value.message


def test_a_refused_socket_is_told_at_once_and_changes_nothing(fresh: Front, served: Replica):
    before, started = read_files(fresh), time.monotonic()
    with pytest.raises(GatewayRejected, match="exceeds maximum UNIX domain socket path"):
        fresh.gateway.publish(make_routes(make_backend("blue", ["/tmp/" + "x" * 120])))
    assert time.monotonic() - started < 2
    assert read_files(fresh) == before
    assert fresh.send().status == 200


def test_a_refused_deployment_leaves_nothing_behind(fresh: Front, served: Replica):
    before = read_files(fresh)
    backends = make_backend("blue", [served.path]), make_backend("green", [served.path], cap=-1)
    with pytest.raises(GatewayRejected):
        fresh.gateway.publish(make_routes(*backends))
    assert read_files(fresh) == before
    assert fresh.send().status == 200


def test_after_a_refusal_the_next_change_is_taken(fresh: Front, served: Replica):
    for _ in range(5):
        with pytest.raises(GatewayRejected):
            fresh.gateway.publish(make_routes(make_backend("blue", [served.path]), credentials=TWINS))
        fresh.gateway.publish(make_routes(make_backend("blue", [served.path]), credentials=KEYS[1:]))
        assert (fresh.send(key=PRIMARY).status, fresh.send(key=SECONDARY).status) == (401, 200)
        fresh.gateway.publish(make_routes(make_backend("blue", [served.path])))
        assert fresh.send().status == 200


def test_refusals_under_load_lose_nothing(fresh: Front, served: Replica):
    with Load(uri(fresh), lambda: PRIMARY, threads=2) as load:
        for _ in range(20):
            with pytest.raises(GatewayRejected):
                fresh.gateway.publish(make_routes(make_backend("blue", [served.path]), credentials=TWINS))
        wait_until(lambda: len(load.outcomes) > 100)
    assert load.bad == []


# What a change touches


def touched(front: Front, routes: dict[str, EndpointRoutes]) -> set[str]:
    """Publish and return the folders of the files that were replaced."""
    root = front.folder / "xds"
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*.json")}
    front.gateway.publish(routes)
    return {path.parent.name[:3] for path in root.rglob("*.json") if before.get(path) != path.stat().st_mtime_ns}


def test_the_last_replica_leaves_after_the_routes_and_no_request_is_lost(fresh: Front, served: Replica):
    with run_replica(fresh, "green") as green, Load(uri(fresh), lambda: PRIMARY, threads=3) as load:
        pairs = {"blue": served.path, "green": green.path}
        for turn in range(40):
            name, other = ("blue", "green") if turn % 2 else ("green", "blue")
            backends = make_backend(name, [pairs[name]]), make_backend(other, [])
            fresh.gateway.publish(make_routes(*backends))
            assert fresh.send(headers={"azureml-model-deployment": other}).status == 503
    assert load.bad == []
    assert {outcome.deployment for outcome in load.outcomes} == {"blue", "green"}


def test_a_change_touches_its_own_files_only(fresh: Front, served: Replica):
    blue, green = make_backend("blue", [served.path]), make_backend("green", [served.path])
    assert touched(fresh, make_routes(blue)) == set()
    assert touched(fresh, make_routes(blue, credentials=KEYS[:1])) == {"rds"}
    assert touched(fresh, make_routes(blue, green)) == {"rds", "cds", "eds"}
    assert touched(fresh, make_routes(blue, green, traffic=(("blue", 40), ("green", 60)))) == {"rds"}
    more = make_backend("green", [served.path, str(fresh.socket("other"))])
    assert touched(fresh, make_routes(blue, more, traffic=(("blue", 40), ("green", 60)))) == {"eds"}
    assert touched(fresh, make_routes(blue)) == {"rds", "cds"}
    assert len(list((fresh.folder / "xds").glob("eds-*"))) == 1


def test_a_change_of_traffic_takes_a_few_milliseconds(fresh: Front, served: Replica):
    backends = make_backend("blue", [served.path]), make_backend("green", [served.path])
    took: list[float] = []
    for share in range(1, 40):
        started = time.monotonic()
        fresh.gateway.publish(make_routes(*backends, traffic=(("blue", share), ("green", 100 - share))))
        took.append(time.monotonic() - started)
    assert sorted(took)[len(took) // 2] < 0.03


# Changes under load


class Changes:
    """Makes every kind of change at random; the key that clients use stays valid for two changes more."""

    def __init__(self, front: Front, paths: list[str]) -> None:
        self._front, self._paths = front, paths
        self._randomness = random.Random(20)
        self._keys = [PRIMARY]
        self.key = PRIMARY

    def make_one(self, number: int) -> None:
        pick = self._randomness
        names = ["blue", "green", "red"][: pick.randint(1, 3)]
        paths = [pick.sample(self._paths, pick.randint(1, 2)) for _ in names]
        backends = [make_backend(*pair, cap=pick.choice([500, 1000])) for pair in zip(names, paths, strict=True)]
        share = pick.randint(1, 99)
        traffic = ((names[0], share), (names[1], 100 - share)) if len(names) > 1 else ((names[0], 100),)
        mirror = (names[2], 50) if len(names) == 3 else None
        self._keys = [*self._keys[-2:], f"key-{number}-" + "n" * 24]
        keys = tuple(Credential(f"key-{index}", value) for index, value in enumerate(self._keys))
        routes = make_routes(*backends, traffic=traffic, mirror=mirror, credentials=keys)
        self._front.gateway.publish(routes | make_routes(backends[0], endpoint=f"other-{number % 3}"))
        self.key = self._keys[-1]


@pytest.mark.parametrize("count", [60, pytest.param(250, marks=pytest.mark.slow)])
def test_changes_under_load_fail_no_request(fresh: Front, served: Replica, count: int):
    with run_replica(fresh, "second") as second:
        changes = Changes(fresh, [served.path, second.path])
        changes.make_one(0)
        with Load(uri(fresh), lambda: changes.key, threads=3) as load:
            for number in range(1, count):
                seen = len(load.outcomes)
                changes.make_one(number)
                wait_until(lambda seen=seen: len(load.outcomes) > seen + 6)
        assert load.bad == []
        assert len(load.outcomes) > 6 * count


# Others take over


def test_a_restarted_daemon_takes_over_without_losing_a_request(fresh: Front, served: Replica):
    routes = make_routes(make_backend("blue", [served.path]))
    with Load(uri(fresh), lambda: PRIMARY, threads=3) as load:
        for turn in range(10):
            gateway = fresh.new_gateway()
            gateway.prepare()
            gateway.publish(routes if turn % 2 else routes | make_routes(make_backend("red", []), endpoint="other"))
        wait_until(lambda: len(load.outcomes) > 200)
    assert load.bad == []
    assert json.loads((fresh.folder / "xds/cds/resources.json").read_text())["resources"][0]["name"] == "fraud/blue"


def test_a_killed_envoy_serves_the_same_when_it_is_started_again(fresh: Front, served: Replica):
    for _ in range(3):
        fresh.kill()
        fresh.start()
        wait_until(lambda: fresh.send().status == 200)
        assert fresh.send(key="wrong").status == 401
    fresh.gateway.publish(make_routes(make_backend("blue", [served.path]), credentials=KEYS[1:]))
    assert (fresh.send().status, fresh.send(key=SECONDARY).status) == (401, 200)


def test_what_is_published_while_envoy_is_down_serves_when_it_is_up(fresh: Front, served: Replica):
    fresh.kill()
    routes = make_routes(make_backend("blue", [served.path]), credentials=KEYS[1:])
    with pytest.raises(BackendUnavailable, match="the gateway does not take the new configuration"):
        fresh.gateway.publish(routes, timeout_s=0.1)
    fresh.start()
    wait_until(lambda: fresh.send(key=SECONDARY).status == 200)
    assert fresh.send().status == 401
    fresh.gateway.publish(routes)
    assert (fresh.send().status, fresh.send(key=SECONDARY).status) == (401, 200)


def test_an_envoy_that_is_killed_amid_changes_takes_them_all(fresh: Front, served: Replica):
    failed: list[Exception] = []
    done: list[int] = []

    def change() -> None:
        try:
            for share in [*range(1, 100), 100]:
                names = ["blue", f"turn-{share}"]
                backends = [make_backend(name, [served.path]) for name in names]
                fresh.gateway.publish(
                    make_routes(*backends, traffic=((names[0], 100 - share), (names[1], share))), timeout_s=20
                )
                done.append(share)
        except (GatewayRejected, BackendUnavailable) as error:
            failed.append(error)

    changing = threading.Thread(target=change)
    changing.start()
    for target in (10, 25, 40, 60, 80):
        wait_until(lambda target=target: len(done) >= target or failed)
        fresh.kill()
        fresh.start()
    changing.join(30)
    assert failed == []
    assert {fresh.send().header("azureml-model-deployment") for _ in range(10)} == {"turn-100"}


def test_refusals_are_told_even_when_envoy_is_restarted_before_it_read_them(fresh: Front, served: Replica):
    fresh.kill()
    raised: list[str] = []

    def change() -> None:
        try:
            fresh.gateway.publish(make_routes(make_backend("blue", [served.path]), credentials=TWINS), timeout_s=20)
        except GatewayRejected as error:
            raised.append(error.message)

    changing = threading.Thread(target=change)
    changing.start()
    fresh.start()
    changing.join(20)
    assert raised == ["Duplicated credential key: '***'"]
    assert TWINS[0].value not in fresh.log
    assert fresh.send().status == 200


def test_what_was_refused_after_a_silence_goes_back_to_what_was_last_taken(fresh: Front, served: Replica):
    twins = make_routes(make_backend("blue", [served.path]), credentials=TWINS)
    fresh.kill()
    with pytest.raises(BackendUnavailable):
        fresh.gateway.publish(twins, timeout_s=0.1)
    fresh.start()
    with pytest.raises(GatewayRejected):
        fresh.gateway.publish(twins, timeout_s=1)
    assert fresh.send().status == 200
    assert TWINS[0].value not in fresh.log


def test_a_restart_between_a_refusal_and_the_next_start_loads_the_good_files(fresh: Front, served: Replica):
    with pytest.raises(GatewayRejected):
        fresh.gateway.publish(make_routes(make_backend("blue", [served.path]), credentials=TWINS))
    fresh.kill()
    fresh.start()
    wait_until(lambda: fresh.send().status == 200)


def test_changes_from_several_threads_are_taken_one_after_the_other(fresh: Front, served: Replica):
    failed: list[Exception] = []

    def change(name: str) -> None:
        try:
            for share in range(1, 20):
                backends = make_backend(name, [served.path]), make_backend("blue", [served.path])
                fresh.gateway.publish(make_routes(*backends, traffic=((name, share), ("blue", 100 - share))))
        except (GatewayRejected, BackendUnavailable) as error:
            failed.append(error)

    threads = [threading.Thread(target=change, args=(f"thread-{index}",)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failed == []
    assert fresh.send().status == 200
