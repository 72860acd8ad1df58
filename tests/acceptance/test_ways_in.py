"""Ways into an endpoint other than its keys, from the command line to the replica."""

import base64
import os
from pathlib import Path

import pytest
import requests

from tests.acceptance.conftest import Machine

NAME = ("-n", "fraud-endpoint")


def write_request(machine: Machine) -> str:
    path = machine.work / "request.json"
    path.write_text("{}")
    return str(path)


def test_an_endpoint_made_with_local_needs_no_key_and_no_traffic(machine: Machine):
    machine.ok("online-endpoint", "create", "--local", *NAME)
    machine.write_script()
    machine.ok("online-deployment", "create", "--local", "-f", machine.write_deployment())
    assert requests.post(machine.uri, data="{}", timeout=10).status_code == 200
    machine.ok("online-endpoint", "invoke", "--local", *NAME, "--request-file", write_request(machine))
    machine.ok("online-deployment", "get-logs", "--local", "-n", "blue", "-e", "fraud-endpoint")
    machine.ok("online-deployment", "delete", "--local", "-n", "blue", "-e", "fraud-endpoint", "--yes")
    machine.ok("online-endpoint", "delete", "--local", *NAME, "--yes")
    assert machine.run("online-endpoint", "show", "--local", *NAME).code == 1


def test_a_local_deployment_makes_its_endpoint_on_the_fly(machine: Machine):
    machine.write_script()
    machine.ok("deployment", "create", "--local", "-f", machine.write_deployment())
    assert requests.post(machine.uri, data="{}", timeout=10).status_code == 200


def test_a_refused_local_deployment_leaves_no_endpoint(machine: Machine):
    machine.write_script("def init(:\n")
    ran = machine.run("deployment", "create", "--local", "-f", machine.write_deployment())
    assert (ran.code, "scoring_script is not Python" in ran.err) == (1, True)
    assert machine.ok("endpoint", "list").json == []


def test_local_and_no_wait_exclude_each_other(machine: Machine):
    assert machine.run("endpoint", "create", "--local", "--no-wait", *NAME).code == 1


@pytest.mark.parametrize("mode", ["aml_token", "aad_token"])
def test_tokens_open_an_endpoint_of_that_mode(machine: Machine, mode: str):
    machine.ok("endpoint", "create", *NAME, "--auth-mode", mode)
    machine.deploy("blue", "--all-traffic")
    found = machine.ok("endpoint", "get-credentials", *NAME).json
    times = {"expiryTimeUtc", "refreshAfterTimeUtc", "tokenType"} if mode == "aml_token" else {"expiryTimeUtc"}
    assert set(found) == {"accessToken", *times}
    assert machine.score(key=found["accessToken"]).status_code == 200
    assert machine.score(key="wrong").status_code == 401
    machine.ok("endpoint", "invoke", *NAME, "-r", write_request(machine))
    assert machine.run("endpoint", "regenerate-keys", *NAME).code == 1
    machine.ok("endpoint", "create", "-n", "other-endpoint", "--auth-mode", mode)
    other = machine.ok("endpoint", "get-credentials", "-n", "other-endpoint").json["accessToken"]
    assert machine.score(key=other).status_code == 403


def test_tokens_survive_a_restart_of_everything(machine: Machine):
    machine.ok("endpoint", "create", *NAME, "--auth-mode", "aml_token")
    machine.deploy("blue", "--all-traffic")
    token = machine.ok("endpoint", "get-credentials", *NAME).json["accessToken"]
    machine.ok("daemon", "stop")
    machine.ok("endpoint", "invoke", *NAME, "-r", write_request(machine))
    assert machine.score(key=token).status_code == 200


def test_the_auth_mode_can_be_changed(machine: Machine):
    machine.create_endpoint()
    machine.deploy("blue", "--all-traffic")
    key = machine.key()
    machine.ok("endpoint", "update", *NAME, "--set", "auth_mode=aml_token")
    assert machine.score(key=key).status_code == 401
    token = machine.ok("endpoint", "get-credentials", *NAME).json["accessToken"]
    assert machine.score(key=token).status_code == 200


def test_a_private_endpoint_is_reached_by_invoke_and_not_over_tcp(machine: Machine):
    private = ("public_network_access=disabled", "--set", "egress_public_network_access=disabled")
    machine.ok("endpoint", "create", *NAME, "--set", *private)
    machine.write_script()
    document = machine.write_deployment(egress_public_network_access="enabled")
    machine.ok("deployment", "create", "-f", document, "--all-traffic")
    uri = machine.ok("endpoint", "show", *NAME, "--query", "scoring_uri", "-o", "tsv").out
    assert uri.startswith("http+unix://%2F")
    assert uri.endswith("/endpoints/fraud-endpoint/score\n")
    assert machine.score().status_code == 401
    machine.ok("endpoint", "invoke", *NAME, "-r", write_request(machine))


def test_secrets_move_under_the_users_own_key_and_everything_goes_on(machine: Machine):
    machine.create_endpoint()
    machine.deploy("blue", "--all-traffic")
    before = machine.ok("endpoint", "get-credentials", *NAME).json
    key_file = machine.work / "own.key"
    key_file.write_bytes(base64.b64encode(os.urandom(48)))
    key_file.chmod(0o600)
    update = ("workspace", "update", "--name", "w", "--resource-group", "g", "--encryption-key-identifier")
    machine.ok(*update, f"file:{key_file}")
    assert machine.ok("endpoint", "get-credentials", *NAME).json == before
    assert not (machine.home / "secret.key").exists()
    machine.ok("endpoint", "regenerate-keys", *NAME)
    assert machine.score(key=machine.key()).status_code == 200
    machine.ok("daemon", "restart")
    assert machine.score(key=before["secondaryKey"]).status_code == 200
    away = key_file.rename(machine.work / "away.key")
    refused = machine.run("endpoint", "get-credentials", *NAME)
    assert (refused.code, "own.key" in refused.err) == (6, True)
    assert not key_file.exists()
    away.rename(key_file)


@pytest.mark.parametrize(("content", "mode"), [(b"short", 0o600), (b"x" * 64, 0o644), (None, 0)])
def test_a_bad_key_file_is_refused_and_changes_nothing(machine: Machine, content: bytes | None, mode: int):
    machine.create_endpoint()
    before = machine.ok("endpoint", "get-credentials", *NAME).json
    path = Path(machine.work / "own.key")
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    assert machine.run("workspace", "update", "--encryption-key-identifier", f"file:{path}").code == 1
    assert machine.run("workspace", "update", "--encryption-key-identifier", "https://vault/keys/k").code == 1
    assert machine.ok("endpoint", "get-credentials", *NAME).json == before
