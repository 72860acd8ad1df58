"""Which deployment answers: the split, the header, the mirror."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.acceptance.gateway.conftest import run_replica
from tests.acceptance.gateway.servers import PRIMARY, BreakingReplica, Front, Replica, make_backend, make_routes
from tests.load import Load
from tests.waiting import wait_until

pytestmark = pytest.mark.envoy

NAME = "azureml-model-deployment"


def count(front: Front, requests: int) -> Counter[str]:
    uri = f"http://127.0.0.1:{front.port}/endpoints/fraud/score"
    with Load(uri, lambda: PRIMARY, threads=4) as load:
        wait_until(lambda: len(load.outcomes) >= requests, timeout_s=60)
    assert load.bad == []
    return Counter(outcome.deployment for outcome in load.outcomes)


def test_ten_thousand_requests_split_90_to_10_within_a_point(front: Front, blue: Replica, green: Replica):
    backends = make_backend("blue", [blue.path]), make_backend("green", [green.path])
    front.gateway.publish(make_routes(*backends, traffic=(("blue", 90), ("green", 10))))
    answered = count(front, 10_000)
    assert abs(answered["green"] / answered.total() - 0.10) < 0.01
    assert abs(len(green.received) / (len(green.received) + len(blue.received)) - 0.10) < 0.01


def test_three_deployments_share_as_told(front: Front, blue: Replica, green: Replica):
    backends = make_backend("blue", [blue.path]), make_backend("green", [green.path]), make_backend("red", [blue.path])
    front.gateway.publish(make_routes(*backends, traffic=(("blue", 20), ("green", 30), ("red", 50))))
    answered = count(front, 2000)
    for name, share in (("blue", 0.2), ("green", 0.3), ("red", 0.5)):
        assert abs(answered[name] / answered.total() - share) < 0.05


def test_a_deployment_at_0_gets_nothing_once_publish_returned(front: Front, blue: Replica, green: Replica):
    backends = make_backend("blue", [blue.path]), make_backend("green", [green.path])
    for _ in range(20):
        for name, replica in (("blue", green), ("green", blue)):
            front.gateway.publish(make_routes(*backends, traffic=((name, 100),)))
            before = len(replica.received)
            assert {front.send().header(NAME) for _ in range(5)} == {name}
            assert len(replica.received) == before


def test_the_header_picks_a_deployment_whatever_the_traffic(front: Front, blue: Replica, green: Replica):
    backends = make_backend("blue", [blue.path]), make_backend("green", [green.path])
    front.gateway.publish(make_routes(*backends, mirror=("green", 100)))
    for sent, answered in (("green", "green"), ("GREEN", "green"), ("blue", "blue")):
        answer = front.send(headers={NAME: sent})
        assert (answer.status, answer.header(NAME), answer.json) == (200, answered, {"from": answered})
    assert (len(blue.received), len(green.received)) == (1, 2)


@pytest.mark.parametrize("status", [200, 400, 424, 500])
def test_an_answer_names_its_deployment(front: Front, blue: Replica, status: int):
    blue.status = status
    answer = front.send()
    assert (answer.status, answer.header(NAME), answer.header("x-replica")) == (status, "blue", "1")
    assert [name for name, _ in answer.headers].count(NAME) == 1


def test_what_the_gateway_refuses_names_no_deployment(front: Front, blue: Replica):
    for answer in (front.send(key="wrong"), front.send(headers={NAME: "red"})):
        assert answer.header(NAME) is None


def test_an_unknown_deployment_is_404_and_only_with_a_key(front: Front, blue: Replica):
    answer = front.send(headers={NAME: "red"})
    assert (answer.status, answer.header("content-type")) == (404, "application/json")
    assert answer.json == {"error": {"code": "NotFound", "message": "fraud has no deployment of this name"}}
    assert front.send(headers={NAME: "red"}, key="wrong").status == 401
    assert blue.received == []


@pytest.mark.parametrize("has_deployments", [True, False])
def test_without_traffic_the_answer_is_404_and_only_with_a_key(front: Front, blue: Replica, has_deployments: bool):
    backends = [make_backend("blue", [blue.path])] if has_deployments else []
    front.gateway.publish(make_routes(*backends, traffic=()))
    answer = front.send()
    assert answer.status == 404
    assert answer.json == {"error": {"code": "NotFound", "message": "no deployment of fraud has traffic"}}
    assert front.send(key="wrong").status == 401
    assert blue.received == []


def test_part_of_the_requests_is_mirrored_and_nobody_sees_the_answers(front: Front, blue: Replica, green: Replica):
    backends = make_backend("blue", [blue.path]), make_backend("green", [green.path])
    green.status = 500
    front.gateway.publish(make_routes(*backends, mirror=("green", 30)))
    answered = count(front, 2000)
    assert set(answered) == {"blue"}
    assert front.gateway.admin.count_requests("fraud/green") >= len(green.received)
    assert abs(len(green.received) / answered.total() - 0.3) < 0.05
    assert {request.path for request in green.received} == {"/score"}


def test_a_split_is_mirrored_for_every_deployment_in_it(front: Front, blue: Replica, green: Replica):
    with run_replica(front, "shadow") as shadow:
        paths = {"blue": blue.path, "green": green.path, "shadow": shadow.path}
        backends = [make_backend(name, [path]) for name, path in paths.items()]
        front.gateway.publish(make_routes(*backends, traffic=(("blue", 50), ("green", 50)), mirror=("shadow", 100)))
        answered = count(front, 300)
        wait_until(lambda: len(shadow.received) == answered.total())
        assert set(answered) == {"blue", "green"}


def test_a_mirror_that_hangs_breaks_or_is_gone_hurts_nobody(front: Front, blue: Replica, green: Replica):
    breaking = BreakingReplica(front.socket("breaking"))
    green.hold.set()
    for socket in (green.path, breaking.path, str(front.socket("nobody"))):
        backends = make_backend("blue", [blue.path]), make_backend("green", [socket], cap=3)
        front.gateway.publish(make_routes(*backends, mirror=("green", 100)))
        assert set(count(front, 200)) == {"blue"}
    breaking.stop()
