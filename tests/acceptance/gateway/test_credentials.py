"""What opens an endpoint, what others learn from a refusal, and what a replica sees of a key."""

from typing import Any

import pytest

from mlctl.planning.routes import Credential
from tests.acceptance.gateway.servers import KEYS, PRIMARY, SECONDARY, Front, Replica, make_backend, make_routes
from tests.waiting import wait_until

pytestmark = pytest.mark.envoy

FORGED = {"x-mlctl-credential": "forged", "X-Mlctl-Credential-2": "forged"}


@pytest.mark.parametrize(("key", "name"), [(PRIMARY, "primary"), (SECONDARY, "secondary")])
def test_a_key_opens_and_the_replica_is_told_its_name_only(front: Front, blue: Replica, key: str, name: str):
    assert front.send(key=key, headers=FORGED).status == 200
    headers = blue.received[0].headers
    assert {found: headers[found] for found in headers if "credential" in found} == {"x-mlctl-credential": name}
    assert "authorization" not in headers
    assert key not in str(headers)


@pytest.mark.parametrize("forced", ["blue", "green"])
def test_a_forced_deployment_sees_no_key(front: Front, blue: Replica, green: Replica, forced: str):
    assert front.send(headers={"azureml-model-deployment": forced, **FORGED}).status == 200
    (request,) = blue.received + green.received
    assert request.headers["x-mlctl-credential"] == "primary"
    assert PRIMARY not in str(request.headers)


def test_a_mirrored_request_holds_no_key(front: Front, blue: Replica, green: Replica):
    one, two = make_backend("blue", [blue.path]), make_backend("green", [green.path])
    front.gateway.publish(make_routes(one, two, mirror=("green", 100)))
    front.send(headers=FORGED)
    wait_until(lambda: green.received)
    assert green.received[0].headers["x-mlctl-credential"] == "primary"
    assert "authorization" not in green.received[0].headers
    assert PRIMARY not in str(green.received[0].headers)


@pytest.mark.parametrize(
    "value",
    [
        *(
            PRIMARY,
            f"bearer {PRIMARY}",
            f"BEARER {PRIMARY}",
            f"Basic {PRIMARY}",
            f"Bearer{PRIMARY}",
            "Bearer",
            "Bearer ",
        ),
        *(f"Bearer  {PRIMARY}", f"Bearer {PRIMARY}x", f"Bearer {PRIMARY[:-1]}", f"Bearer {PRIMARY.upper()}", ""),
        *(f"Bearer {PRIMARY}, Bearer {PRIMARY}", f"Bearer {PRIMARY} {PRIMARY}"),
    ],
)
def test_only_a_key_behind_bearer_opens(front: Front, blue: Replica, value: str):
    assert front.send(key=None, headers={"Authorization": value}).status == 401
    assert blue.received == []


def test_a_key_elsewhere_does_not_open(front: Front, blue: Replica):
    assert front.send(f"/endpoints/fraud/score?authorization=Bearer%20{PRIMARY}", key=None).status == 401
    assert front.send(key=None, headers={"Cookie": f"authorization={PRIMARY}", "x-api-key": PRIMARY}).status == 401
    assert blue.received == []


def test_every_refusal_is_the_same_to_the_byte(front: Front, blue: Replica):
    refused = [
        front.send(key=None),
        front.send(key="wrong"),
        front.send(key=None, headers={"Authorization": f"bearer {PRIMARY}"}),
        front.send("/endpoints/no-such-endpoint/score"),
        front.send("/endpoints/no-such-endpoint/score", key=None),
        front.send("/", key=None),
        front.send("/score", host="fraud.localhost", key="wrong"),
        front.send("/score", host="no-such-endpoint.localhost"),
        *(front.send(key="wrong", headers={"azureml-model-deployment": name}) for name in ("blue", "green", "red")),
    ]
    assert refused[0].status == 401
    assert refused[0].json["error"]["code"] == "Unauthorized"
    assert {name for name, _ in refused[0].headers} == {
        *("connection", "content-length", "content-type", "www-authenticate"),
    }
    assert [answer for answer in refused if answer != refused[0]] == []
    assert blue.received == []


@pytest.mark.parametrize("shape", [{"method": "GET", "body": None}, {"headers": {"Content-Length": str(200 << 20)}}])
def test_refusals_do_not_tell_whether_an_endpoint_exists(front: Front, blue: Replica, shape: dict[str, Any]):
    known, unknown = front.send(key="wrong", **shape), front.send("/endpoints/no-such/score", key="wrong", **shape)
    assert known.status == 401
    assert known == unknown


def test_a_key_opens_its_own_endpoint_only(front: Front, blue: Replica, green: Replica):
    others = (Credential("primary", "other-" + "o" * 24),)
    first = make_routes(make_backend("blue", [blue.path]))
    second = make_routes(make_backend("green", [green.path]), endpoint="other", credentials=others)
    front.gateway.publish(first | second)
    assert front.send("/endpoints/other/score", key=others[0].value).status == 200
    assert front.send("/endpoints/other/score", key=PRIMARY).status == 401
    assert front.send("/endpoints/fraud/score", key=others[0].value).status == 401
    assert front.send("/endpoints/fraud/../other/score", key=PRIMARY).status == 401
    assert front.send("/score", host="other.localhost", key=PRIMARY).status == 401


def test_a_replaced_key_is_refused_as_soon_as_publish_returned(front: Front, blue: Replica):
    backend = make_backend("blue", [blue.path])
    for turn in range(20):
        key = Credential("primary", f"turn-{turn}-" + "t" * 24)
        front.gateway.publish(make_routes(backend, credentials=(key, KEYS[1])))
        assert front.send(key=key.value).status == 200
        assert front.send(key=f"turn-{turn - 1}-" + "t" * 24).status == 401
        assert front.send(key=SECONDARY).status == 200


def test_an_endpoint_without_keys_opens_to_nobody(front: Front, blue: Replica):
    front.gateway.publish(make_routes(make_backend("blue", [blue.path]), credentials=()))
    for key in (PRIMARY, "", None):
        assert front.send(key=key).status == 401
    assert blue.received == []
