"""Keys: who is let in, when, and where a key must never be found."""

import stat
from pathlib import Path

import pytest

from mlctl.registry import credentials
from mlctl.registry.store import Store
from tests.acceptance.conftest import Machine

NAME = ("-n", "fraud-endpoint")


def test_the_old_key_is_refused_at_once_and_the_other_is_untouched(served: Machine):
    old, other = served.key("primary"), served.key("secondary")
    assert served.ok("endpoint", "regenerate-keys", *NAME, "--key-type", "primary").out == ""
    assert served.score(key=old).status_code == 401
    assert served.score(key=other).status_code == 200
    assert served.score(key=served.key("primary")).status_code == 200
    assert served.key("secondary") == other


def test_the_key_type_is_read_in_any_case(served: Machine):
    old = served.key("secondary")
    served.ok("endpoint", "regenerate-keys", *NAME, "--key-type", "Secondary")
    assert served.key("secondary") != old


def received(machine: Machine, key: str, **headers: str) -> dict[str, str]:
    """Return the headers that a replica was given, names in lower case."""
    answer = machine.score(key=key, **headers)
    return {name.lower(): value for name, value in answer.json()["headers"].items()}


def test_what_the_replica_receives_holds_no_key_but_the_name_of_one(served: Machine):
    for which in ("primary", "secondary"):
        key = served.key(which)
        headers = received(served, key, x_mlctl_credential="forged")
        assert headers["x-mlctl-credential"] == which
        assert "authorization" not in headers
        assert key not in str(headers)


def test_a_forced_deployment_receives_no_key_either(served: Machine):
    key = served.key()
    headers = received(served, key, azureml_model_deployment="green")
    assert "x-mlctl-credential" in headers
    assert key not in str(headers)


def test_no_envoy_header_reaches_the_replica(served: Machine):
    headers = received(served, served.key(), x_envoy_upstream_rq_timeout_ms="1", x_envoy_retry_on="5xx")
    assert "x-request-id" in headers
    assert not [name for name in headers if name.startswith("x-envoy")]


def test_only_the_bearer_scheme_opens(served: Machine):
    key = served.key()
    for value in (f"bearer {key}", key, f"Basic {key}", f"Bearer  {key}", f"Bearer {key}x", "Bearer ", ""):
        assert served.score(Authorization=value).status_code == 401, value


def test_all_refusals_look_alike(served: Machine):
    def refuse(path: str, key: str) -> tuple[int, str, set[str]]:
        import requests

        headers = {"Authorization": f"Bearer {key}"} if key else {}
        url = f"http://127.0.0.1:{served.port}{path}"
        answer = requests.post(url, data="{}", headers=headers, timeout=10)
        return answer.status_code, answer.text, set(answer.headers)

    seen = [
        refuse("/endpoints/fraud-endpoint/score", ""),
        refuse("/endpoints/fraud-endpoint/score", "wrong"),
        refuse("/endpoints/no-such-endpoint/score", served.key()),
        refuse("/endpoints/no-such-endpoint/score", ""),
        refuse("/", served.key()),
    ]
    assert seen[0][0] == 401
    assert all(one == seen[0] for one in seen)


def test_a_key_of_another_endpoint_is_refused(served: Machine):
    served.ok("endpoint", "create", "-n", "other-endpoint")
    key = served.ok("endpoint", "get-credentials", "-n", "other-endpoint", "--query", "primaryKey", "-o", "tsv").out
    assert served.score(key=key.strip()).status_code == 401
    served.ok("endpoint", "delete", "-n", "other-endpoint", "--yes")


def test_a_change_that_envoy_refuses_is_rolled_back_with_its_reason(served: Machine, monkeypatch: pytest.MonkeyPatch):
    # Two equal keys are what Envoy refuses; nothing but chance can make them.
    before = served.ok("endpoint", "get-credentials", *NAME).json
    monkeypatch.setattr(credentials, "new_key", lambda: before["secondaryKey"])
    ran = served.run("endpoint", "regenerate-keys", *NAME, "--key-type", "primary")
    assert ran.code == 6
    assert "the gateway refused the change, fraud-endpoint stays as it was: Duplicated credential key" in ran.err
    assert before["secondaryKey"] not in ran.err
    assert served.ok("endpoint", "get-credentials", *NAME).json == before
    assert served.ok("endpoint", "show", *NAME, "--query", "provisioning_state", "-o", "tsv").out == "Succeeded\n"
    assert served.score(key=before["primaryKey"]).status_code == 200


def find_leaks(machine: Machine, secrets: list[str]) -> list[str]:
    """Look for secrets in everything that is kept, and in every argument and variable of a process."""
    found: list[str] = []
    for path in machine.home.rglob("*"):
        if path.is_file() and any(secret.encode() in path.read_bytes() for secret in secrets):
            found.append(str(path.relative_to(machine.home)))
    for pid in machine.processes():
        for name in ("cmdline", "environ"):
            content = Path(f"/proc/{pid}/{name}").read_bytes()
            found += [f"{name} of {pid}" for secret in secrets if secret.encode() in content]
    return found


def test_no_key_lies_anywhere_but_in_xds_files_of_the_owner(served: Machine):
    keys = list(served.ok("endpoint", "get-credentials", *NAME).json.values())
    for key in keys:
        served.score(key=key)
        served.score({"raise": True}, key=key)
    served.ok("endpoint", "regenerate-keys", *NAME)
    keys += served.ok("endpoint", "get-credentials", *NAME).json.values()
    assert find_leaks(served, keys) == ["gateway/rds/resources.json"]
    events = served.ok("deployment", "events", "-n", "blue", "-e", "fraud-endpoint").out
    assert not [key for key in keys if key in events]


def test_nothing_of_the_registry_can_be_read_by_others(served: Machine):
    with Store(served.home / "registry.db") as store:
        run_dir = Path(store.get_meta("run_dir") or "")
    for root in (served.home, run_dir):
        assert stat.S_IMODE(root.stat().st_mode) == 0o700
    open_to_others = [
        str(path)
        for root in (served.home, run_dir)
        for path in root.rglob("*")
        if not path.is_symlink() and stat.S_IMODE(path.stat().st_mode) & 0o077
    ]
    # Folders inside may be listed by nobody who cannot enter the root; files must be closed by themselves.
    assert [path for path in open_to_others if not Path(path).is_dir()] == []
