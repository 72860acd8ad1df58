"""Where requests go."""

from collections import Counter
from pathlib import Path

import pytest

from mlctl.gateway.admin import Admin
from mlctl.registry.store import Store
from tests.acceptance.conftest import Machine
from tests.load import Load
from tests.waiting import wait_until

NAME = ("-n", "fraud-endpoint")


def count(machine: Machine, requests: int) -> Counter[str]:
    key = machine.key()
    with Load(machine.uri, lambda: key, threads=4) as load:
        wait_until(lambda: len(load.outcomes) >= requests, timeout_s=60)
    assert not load.bad, load.bad[:3]
    return Counter(outcome.deployment for outcome in load.outcomes)


def test_ten_thousand_requests_split_90_to_10_within_a_point(served: Machine):
    served.ok("endpoint", "update", *NAME, "--traffic", "blue=90 green=10")
    answered = count(served, 10_000)
    assert set(answered) == {"blue", "green"}
    assert abs(answered["green"] / answered.total() - 0.10) < 0.01


def test_a_deployment_set_to_0_gets_nothing_after_the_command_returned(served: Machine):
    served.ok("endpoint", "update", *NAME, "--traffic", "blue=50 green=50")
    for _ in range(10):
        served.ok("endpoint", "update", *NAME, "--traffic", "blue=0 green=100")
        assert set(count(served, 100)) == {"green"}
        served.ok("endpoint", "update", *NAME, "--traffic", "blue=100 green=0")
        assert set(count(served, 100)) == {"blue"}


def test_the_header_reaches_a_deployment_without_traffic(served: Machine):
    answer = served.score(azureml_model_deployment="green")
    assert (answer.status_code, answer.headers["azureml-model-deployment"]) == (200, "green")


def test_an_unknown_deployment_in_the_header_is_404_and_only_with_a_key(served: Machine):
    assert served.score(azureml_model_deployment="red").status_code == 404
    assert served.score(azureml_model_deployment="red", key="wrong").status_code == 401


def test_without_traffic_the_answer_is_404_and_only_with_a_key(served: Machine):
    served.ok("endpoint", "update", *NAME, "--traffic", "blue=0")
    assert served.score().status_code == 404
    assert served.score(key="wrong").status_code == 401


def test_half_of_the_requests_are_mirrored_and_nobody_sees_the_answers(served: Machine):
    served.ok("endpoint", "update", *NAME, "--mirror-traffic", "green=50")
    with Store(served.home / "registry.db") as store:
        run_dir = store.get_meta("run_dir")
    admin = Admin(Path(f"{run_dir}/envoy.sock"))
    before = admin.count_requests("fraud-endpoint/green")
    answered = count(served, 2000)
    assert set(answered) == {"blue"}
    copies = admin.count_requests("fraud-endpoint/green") - before
    assert abs(copies / answered.total() - 0.5) < 0.05


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--traffic", "blue=90 gren=10", "there is no deployment gren at fraud-endpoint (blue, green)"),
        ("--traffic", "blue=90", "90"),
        ("--traffic", "blue=90,green=10", "blank"),
        ("--traffic", "blue=101", "101"),
        ("--mirror-traffic", "green=60", "50"),
        ("--mirror-traffic", "blue=10", "blue"),
    ],
)
def test_a_bad_split_is_refused_and_changes_nothing(served: Machine, option: str, value: str, message: str):
    before = served.ok("endpoint", "show", *NAME).out
    ran = served.run("endpoint", "update", *NAME, option, value)
    assert ran.code == 1
    assert message in ran.err
    assert served.ok("endpoint", "show", *NAME).out == before


def test_a_file_that_says_nothing_about_traffic_leaves_it_as_it_is(served: Machine):
    served.ok("endpoint", "update", *NAME, "--mirror-traffic", "green=10")
    path = served.work / "endpoint.yml"
    path.write_text("name: fraud-endpoint\ndescription: told anew\n")
    updated = served.ok("endpoint", "update", "-f", str(path)).json
    assert (updated["description"], updated["traffic"], updated["mirror_traffic"]) == (
        *("told anew", {"blue": 100}),
        {"green": 10},
    )


def test_a_deployment_with_traffic_is_not_deleted(served: Machine):
    ran = served.run("deployment", "delete", "-n", "blue", "-e", "fraud-endpoint", "--yes")
    assert ran.code == 1
    assert "blue serves 100 % of fraud-endpoint's traffic" in ran.err
    assert 'mlctl endpoint update -n fraud-endpoint --traffic "green=100"' in ran.err


def test_a_mirrored_deployment_is_not_deleted(served: Machine):
    served.ok("endpoint", "update", *NAME, "--mirror-traffic", "green=10")
    assert served.run("deployment", "delete", "-n", "green", "-e", "fraud-endpoint", "--yes").code == 1


def test_the_safe_rollout_of_azures_example(machine: Machine):
    machine.create_endpoint()
    machine.deploy("blue", "--all-traffic")
    machine.deploy("green")
    machine.ok("endpoint", "update", *NAME, "--mirror-traffic", "green=10")
    machine.ok("endpoint", "update", *NAME, "--mirror-traffic", "green=0")
    machine.ok("endpoint", "update", *NAME, "--traffic", "blue=90 green=10")
    machine.ok("endpoint", "update", *NAME, "--traffic", "blue=0 green=100")
    assert machine.ok("endpoint", "show", *NAME).json["traffic"] == {"green": 100, "blue": 0}
    machine.ok("deployment", "delete", "-n", "blue", "-e", "fraud-endpoint", "--yes", "--no-wait")
    machine.ok("endpoint", "delete", *NAME, "--yes", "--no-wait")
    wait_until(lambda: machine.run("endpoint", "show", *NAME).code == 3)
    wait_until(lambda: not machine.replicas())
    assert machine.score(key="any").status_code == 401
