"""Other ways in than keys: tokens, endpoints made with --local, private endpoints; and the record of who came."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mlctl import unix_http
from mlctl.planning.routes import Access
from tests.acceptance.gateway.servers import PRIMARY, Front, Replica, make_backend, make_routes, sign
from tests.waiting import wait_until

pytestmark = pytest.mark.envoy


@pytest.fixture
def tokens(front: Front, blue: Replica) -> Replica:
    front.gateway.publish(make_routes(make_backend("blue", [blue.path]), access=Access.TOKEN))
    return blue


def test_a_token_of_this_endpoint_opens_and_the_replica_does_not_see_it(front: Front, tokens: Replica):
    assert front.send(key=sign("fraud")).status == 200
    assert "authorization" not in tokens.received[-1].headers
    assert tokens.received[-1].headers["x-mlctl-credential"] == "token"


def test_a_genuine_token_of_another_endpoint_is_forbidden(front: Front, tokens: Replica):
    answer = front.send(key=sign("other"))
    assert answer.status == 403
    assert json.loads(answer.body)["error"]["code"] == "Forbidden"
    assert not tokens.received


@pytest.mark.parametrize(
    "token",
    [
        sign("fraud", lifetime_s=-60),
        sign("fraud", key=ec.generate_private_key(ec.SECP256R1())),
        PRIMARY,
        "not.a.token",
        "",
    ],
    ids=["expired", "signed by somebody else", "a key", "nonsense", "empty"],
)
def test_what_is_no_valid_token_is_refused_like_everything_else(front: Front, tokens: Replica, token: str):
    answer = front.send(key=token)
    stranger = front.send("/endpoints/unknown/score", key=token)
    assert (answer.status, answer.body) == (401, stranger.body)
    assert not tokens.received


def test_a_token_does_not_open_an_endpoint_with_keys(front: Front, blue: Replica):
    assert front.send(key=sign("fraud")).status == 401


def test_an_open_endpoint_needs_nothing_and_hands_nothing_on(front: Front, blue: Replica):
    front.gateway.publish(make_routes(make_backend("blue", [blue.path]), access=Access.OPEN))
    assert front.send(key=None).status == 200
    assert front.send(key="whatever").status == 200
    assert "authorization" not in blue.received[-1].headers


def test_a_private_endpoint_is_reached_by_the_socket_only(front: Front, blue: Replica):
    front.gateway.publish(make_routes(make_backend("blue", [blue.path]), is_private=True))
    stranger = front.send("/endpoints/unknown/score")
    assert (front.send().status, front.send().body) == (401, stranger.body)
    path = front.folder / "run" / "gateway.sock"
    assert path.stat().st_mode & 0o777 == 0o600

    def ask(key: str) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        url = "/endpoints/fraud/score"
        return unix_http.request(str(path), "POST", url, body=b"{}", headers=headers, timeout_s=10).status

    assert (ask(PRIMARY), ask("wrong")) == (200, 401)


def test_a_public_endpoint_is_not_on_the_socket(front: Front, blue: Replica):
    path = str(front.folder / "run" / "gateway.sock")
    headers = {"Authorization": f"Bearer {PRIMARY}"}
    answer = unix_http.request(path, "POST", "/endpoints/fraud/score", body=b"{}", headers=headers, timeout_s=10)
    assert answer.status == 401


def read_access_log(front: Front, request_id: str) -> dict[str, object]:
    def find() -> list[str]:
        text = (front.folder / "access.log").read_text()
        return [line for line in text.splitlines() if request_id in line]

    wait_until(find, timeout_s=30, what="the access log")
    return json.loads(find()[0])


def test_the_access_log_names_the_credential_and_holds_no_key_body_or_query(front: Front, blue: Replica):
    headers = {"x-ms-client-request-id": "client-id-of-this-test"}
    front.send("/endpoints/fraud/score?card=4111", body=b'{"secret": "of the body"}', headers=headers)
    line = read_access_log(front, "client-id-of-this-test")
    assert line["credential"] == "primary"
    assert (line["status"], line["endpoint"], line["deployment"], line["path"]) == (200, "fraud", "blue", "/score")
    text = (front.folder / "access.log").read_text()
    assert PRIMARY not in text
    assert "of the body" not in text
    assert "4111" not in text
    assert (front.folder / "access.log").stat().st_mode & 0o077 == 0


def test_refused_requests_are_in_the_access_log_without_their_credential(front: Front, blue: Replica):
    front.send(key="wrong-key-of-a-stranger", headers={"x-ms-client-request-id": "refused-one"})
    line = read_access_log(front, "refused-one")
    assert (line["status"], line["credential"]) == (401, None)
    assert "wrong-key-of-a-stranger" not in (front.folder / "access.log").read_text()


def test_prometheus_reads_metrics_and_nothing_else(front: Front, blue: Replica):
    front.send()
    with urllib.request.urlopen(f"http://127.0.0.1:{front.metrics_port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    assert 'envoy_cluster_name="fraud/blue"' in text
    assert PRIMARY not in text
    for path in ("/config_dump", "/stats", "/quitquitquit", "/metrics/../config_dump"):
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(f"http://127.0.0.1:{front.metrics_port}{path}", timeout=10)
        assert caught.value.code == 404
        caught.value.close()
