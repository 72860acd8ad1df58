"""From nothing to a served model, and what each command prints on the way."""

import json
import signal
import subprocess
import sys

import pytest
import requests

from tests.acceptance.conftest import Machine


def test_the_first_minute(machine: Machine):
    created = machine.ok("endpoint", "create", "-n", "fraud-endpoint").json
    assert created["provisioning_state"] == "Succeeded"
    machine.deploy("blue", "--all-traffic")
    assert machine.ok("endpoint", "show", "-n", "fraud-endpoint").json["traffic"] == {"blue": 100}
    answer = machine.score({"x": 1})
    assert answer.status_code == 200
    assert answer.json()["version"] == 1
    assert machine.score(key="wrong").status_code == 401
    assert requests.post(machine.uri, data="{}", timeout=10).status_code == 401


def test_invoke_prints_the_body_as_a_json_string(served: Machine):
    request = served.work / "request.json"
    request.write_text("{}")
    ran = served.ok("endpoint", "invoke", "-n", "fraud-endpoint", "--request-file", str(request))
    assert json.loads(ran.json)["version"] == 1
    raw = served.ok("endpoint", "invoke", "-n", "fraud-endpoint", "-r", str(request), "-o", "tsv")
    assert json.loads(raw.out)["version"] == 1


def test_invoke_reaches_a_deployment_by_name(served: Machine):
    request = served.work / "request.json"
    request.write_text("{}")
    ran = served.ok("endpoint", "invoke", "-n", "fraud-endpoint", "-r", str(request), "-d", "green")
    pids = {row.pid for row in served.replicas() if row.deployment == "green"}
    assert json.loads(ran.json)["pid"] in pids
    refused = served.run("endpoint", "invoke", "-n", "fraud-endpoint", "-r", str(request), "-d", "gren")
    assert refused.code == 1
    assert "there is no deployment gren" in refused.err


def test_invoke_of_a_failing_script_is_an_error_with_its_status(served: Machine):
    request = served.work / "request.json"
    request.write_text('{"raise": true}')
    ran = served.run("endpoint", "invoke", "-n", "fraud-endpoint", "-r", str(request))
    assert ran.code == 1
    assert ran.out == ""
    assert "answered 424" in ran.err


def test_a_bare_value_goes_to_stdout_alone(served: Machine):
    ran = served.ok("endpoint", "show", "-n", "fraud-endpoint", "--query", "scoring_uri", "-o", "tsv")
    assert (ran.out, ran.err) == (f"{served.uri}\n", "")


def test_show_lists_deployments_without_traffic_at_zero(served: Machine):
    assert served.ok("endpoint", "show", "-n", "fraud-endpoint").json["traffic"] == {"blue": 100, "green": 0}


def test_list_has_reduced_rows(served: Machine):
    rows = served.ok("online-endpoint", "list").json
    assert [sorted(row) for row in rows] == [
        ["kind", "location", "mirror_traffic", "name", "provisioning_state", "tags", "traffic"]
    ]
    rows = served.ok("online-deployment", "list", "-e", "fraud-endpoint").json
    assert {key for row in rows for key in row} == {
        *("name", "endpoint_name", "provisioning_state", "instance_type", "model", "type")
    }


def test_a_deployment_is_shown_in_azs_shape(served: Machine):
    shown = served.ok("deployment", "show", "-n", "blue", "-e", "fraud-endpoint").json
    assert shown["provisioning_state"] == "Succeeded"
    assert shown["request_settings"]["max_concurrent_requests_per_instance"] == 50
    assert shown["code_configuration"]["scoring_script"] == "score.py"
    assert shown["creation_context"]["created_by_type"] == "User"
    assert shown["resourceGroup"] == "local"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("endpoint", "show", "-n", "nope"), 3),
        (("endpoint", "get-credentials", "-n", "nope"), 3),
        (("endpoint", "invoke", "-n", "nope", "-r", "x.json"), 3),
        (("endpoint", "delete", "-n", "nope", "--yes"), 1),
        (("deployment", "show", "-n", "nope", "-e", "fraud-endpoint"), 1),
        (("deployment", "delete", "-n", "nope", "-e", "fraud-endpoint", "--yes"), 0),
        (("model", "show", "-n", "nope", "-v", "1"), 3),
        (("endpoint", "create", "-n", "fraud-endpoint"), 1),
        (("endpoint", "create", "-n", "x"), 1),
        (("endpoint", "show"), 2),
        (("endpoint", "list", "-o", "xml"), 2),
        (("endpoint", "list", "--query", "[?"), 2),
        (("endpoint", "delete", "-n", "fraud-endpoint"), 1),
        (("endpoint", "regenerate-keys", "-n", "fraud-endpoint", "--key-type", "tertiary"), 1),
        (("nonsense",), 2),
    ],
)
def test_exit_codes_are_azs(served: Machine, words: tuple[str, ...], code: int):
    ran = served.run(*words)
    assert (ran.code, ran.out) == (code, "")
    assert "Traceback" not in ran.err


def test_names_are_found_in_any_case(served: Machine):
    assert served.ok("endpoint", "show", "-n", "Fraud-ENDPOINT").json["name"] == "fraud-endpoint"


def test_logs_are_raw_text_without_bodies(served: Machine):
    served.score({"secret_of_the_body": "7c6f1d"})
    text = served.ok("deployment", "get-logs", "-n", "blue", "-e", "fraud-endpoint", "-o", "tsv").out
    assert "ready for serving traffic" in text
    assert "7c6f1d" not in text


def test_get_logs_takes_lines_and_container(served: Machine):
    name = ("-n", "blue", "-e", "fraud-endpoint")
    assert len(served.ok("deployment", "get-logs", *name, "--lines", "1").out.splitlines()) == 1
    assert served.ok("deployment", "get-logs", *name, "-c", "storage-initializer").out
    assert served.run("deployment", "get-logs", *name, "-c", "other").code == 1


def test_followed_logs_go_on_until_the_interrupt(served: Machine):
    words = [sys.executable, "-m", "mlctl.cli.main", "deployment", "get-logs", "-n", "blue", "-e", "fraud-endpoint"]
    with subprocess.Popen([*words, "--follow"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as following:
        assert following.stdout is not None
        lines = iter(following.stdout.readline, "")
        assert any("ready for serving traffic" in line for line in lines)
        served.score({"x": 1})
        assert any("POST /score 200" in line for line in lines)
        following.send_signal(signal.SIGINT)
        _, errors = following.communicate(timeout=20)
    assert following.returncode == 130
    assert "Traceback" not in errors


def test_a_command_in_a_substitution_returns_although_it_starts_the_daemon(machine: Machine):
    words = [sys.executable, "-m", "mlctl.cli.main", "endpoint", "create", "-n", "fraud-endpoint", "-o", "none"]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=30, check=True)
    assert (ended.stdout, ended.stderr) == ("", "")
    assert len(machine.processes()) == 2


def test_bad_yaml_changes_nothing_and_shows_every_problem(served: Machine):
    path = served.work / "bad.yml"
    path.write_text(
        "name: red\nendpoint_name: fraud-endpoint\ninstance_type: x\ninstance_count: two\n"
        "code_configuration:\n  code: ./src\n  scoring_scrpt: score.py\n"
    )
    before = served.ok("deployment", "list", "-e", "fraud-endpoint").out
    ran = served.run("deployment", "create", "-f", str(path))
    assert ran.code == 1
    assert "2 problems, nothing was changed" in ran.err
    assert f"{path}:4:17" in ran.err
    assert "did you mean scoring_script?" in ran.err
    assert served.ok("deployment", "list", "-e", "fraud-endpoint").out == before


def test_a_script_that_is_no_python_is_refused_before_anything_changes(served: Machine):
    served.write_script("def run(:\n", folder="broken")
    document = {"code": "./broken", "scoring_script": "score.py"}
    ran = served.run("deployment", "create", "-f", served.write_deployment("red", code_configuration=document))
    assert ran.code == 1
    assert "score.py:1:9" in ran.err
    assert served.run("deployment", "show", "-n", "red", "-e", "fraud-endpoint").code == 1
