"""The documents that people already have, from file to served: F1 to F5, and the Kubernetes kinds."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import Machine
from tests.waiting import wait_until

F4 = "name: fraud-endpoint\nauth_mode: key\nidentity: {type: system_assigned}\n"
F1 = """$schema: https://azuremlschemas.azureedge.net/latest/managedOnlineDeployment.schema.json
name: blue
endpoint_name: fraud-endpoint
model: azureml:fraud-model:3
code_configuration: {code: ./src, scoring_script: score.py}
environment: azureml:fraud-infer:2
instance_type: Standard_DS2_v2
instance_count: 1
"""
F2 = (
    F1.replace("instance_count: 1", "instance_count: 2")
    + """request_settings:
  request_timeout_ms: 3000
  max_concurrent_requests_per_instance: 10
  max_queue_wait_ms: 500
liveness_probe: {initial_delay: 30, period: 10, timeout: 2, success_threshold: 1, failure_threshold: 30}
readiness_probe: {initial_delay: 30, period: 10, timeout: 2, success_threshold: 1, failure_threshold: 10}
data_collector:
  collections:
    request: {enabled: true}
    response: {enabled: true}
"""
)
F3 = """name: blue
endpoint_name: fraud-endpoint
scale_settings:
  type: target_utilization
  min_instances: 2
  max_instances: 10
  target_utilization_percentage: 70
  polling_interval: 30
  cooldown_period: 120
"""
F5 = "request_settings: {max_concurrent_requests_per_instance: 20, request_timeout_ms: 5000}\n"
BLUE = ("-n", "blue", "-e", "fraud-endpoint")
MODEL = "import os\ndef init():\n    assert os.listdir(os.environ['AZUREML_MODEL_DIR']) == ['model.pkl']\n"


@pytest.fixture
def prepared(machine: Machine) -> Machine:
    """An endpoint, a registered model and environment, and a script that looks for the model."""
    (machine.work / "model.pkl").write_bytes(b"weights")
    machine.ok("model", "create", "-n", "fraud-model", "-v", "3", "-p", str(machine.work / "model.pkl"))
    machine.ok("environment", "create", "-n", "fraud-infer", "-v", "2", "--image", "python:3.11")
    machine.write_script(MODEL + "def run(raw_data):\n    return raw_data\n")
    machine.ok("endpoint", "create", "-f", write(machine, "endpoint.yml", F4))
    return machine


def write(machine: Machine, name: str, text: str) -> str:
    path = Path(machine.work / name)
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("words", "document", "told"),
    [
        ("endpoint create -f", {"name": "blue", "instance_type": "x", "endpoint_name": "fraud"}, "deployment"),
        ("deployment create -f", {"name": "fraud", "auth_mode": "key"}, "endpoint"),
        ("deployment update -n blue -e fraud -f", {"name": "fraud", "auth_mode": "key"}, "endpoint"),
        ("model create -f", {"name": "blue", "instance_type": "x", "endpoint_name": "fraud"}, "deployment"),
        ("environment create -f", {"name": "fraud", "auth_mode": "key"}, "endpoint"),
    ],
)
def test_a_file_of_another_kind_is_named_in_one_line(machine: Machine, words: str, document: dict[str, Any], told: str):
    path = machine.work / "file.yml"
    path.write_text(json.dumps(document))
    if "update" in words:
        machine.create_endpoint()
        machine.deploy("blue")
        words = words.replace("fraud ", "fraud-endpoint ")
    ran = machine.run(*words.split(), str(path))
    assert ran.code == 1
    assert re.fullmatch(rf"ERROR: .*file.yml describes an? {told}, no \w+; nothing was changed\n  mlctl .*\n", ran.err)
    assert f"mlctl {told} create -f {path}" in ran.err


@pytest.mark.parametrize("noun", ["endpoint", "deployment", "model", "environment"])
def test_a_conda_file_is_told_from_the_file_that_names_it(machine: Machine, noun: str):
    path = write(machine, "conda.yml", "name: infer\nchannels: [conda-forge]\ndependencies: [python=3.11]\n")
    ran = machine.run(noun, "create", "-f", path)
    assert ran.code == 1
    assert ran.err.splitlines() == [
        f"ERROR: {path} is a conda file, no {noun}; nothing was changed",
        f"  mlctl environment create -n NAME --image python:3.11-slim -c {path}",
    ]
    report = machine.run("validate", path).json[0]
    assert (report["valid"], report["problems"][0]["message"]) == (False, "this is a conda file")


def test_an_update_with_a_file_of_another_kind_asks_for_no_name_first(machine: Machine):
    path = write(machine, "endpoint.yml", "name: fraud\nauth_mode: key\n")
    ran = machine.run("deployment", "update", "-f", path)
    assert (ran.code, "describes an endpoint, no deployment" in ran.err) == (1, True)


MISSING = """name: blue
endpoint_name: nowhere
model: {path: ./nope}
environment: {image: x, conda_file: nope.yml}
instance_type: x
code_configuration: {code: ./src, scoring_script: nope.py}
"""


def test_files_that_are_missing_are_told_all_at_once(machine: Machine):
    machine.write_script()
    path = write(machine, "green.yml", MISSING)
    places = ("3:15  model.path", "4:37  environment.conda_file", "6:51  code_configuration.scoring_script")
    ran = machine.run("deployment", "create", "-f", path)
    assert (ran.code, "4 problems" in ran.err) == (1, True)
    for place in ("2:16  endpoint_name: there is no endpoint nowhere", *places):
        assert f"green.yml:{place}" in ran.err
    # A trial needs no endpoint, and whoever does not want the script checked is not told of it.
    tried = machine.run("deployment", "validate", "-f", path)
    assert (tried.code, "3 problems" in tried.err) == (1, True)
    ran = machine.run("deployment", "create", "-f", path, "--skip-script-validation")
    assert "3 problems" in ran.err
    assert "nope.py" not in ran.err


def test_one_thing_that_is_missing_is_shown_in_its_place_and_ends_with_three(machine: Machine):
    machine.write_script()
    machine.create_endpoint()
    wants_model = machine.write_deployment(model="azureml:gone:3")
    line = Path(wants_model).read_text().index('"azureml:gone:3"') + 1
    ran = machine.run("deployment", "create", "-f", wants_model)
    assert (ran.code, f"blue.yml:1:{line}  model: there is no model azureml:gone:3" in ran.err) == (3, True), ran.err
    ran = machine.run("deployment", "create", "-f", machine.write_deployment(), "--set", "model=azureml:x:1")
    assert (ran.code, "--set model=azureml:x:1: there is no model azureml:x:1" in ran.err) == (3, True), ran.err
    assert machine.ok("deployment", "list", "-e", "fraud-endpoint").json == []


def test_a_path_longer_than_any_file_has_is_told_as_missing(machine: Machine):
    machine.create_endpoint()
    machine.write_script()
    long = "a" * 5000
    several: list[dict[str, Any]] = [
        {"model": {"path": long}},
        {"code_configuration": {"code": long, "scoring_script": "s"}},
    ]
    for changes in several:
        ran = machine.run("deployment", "create", "-f", machine.write_deployment(**changes))
        assert (ran.code, "does not exist" in ran.err) == (1, True), ran.err


def test_an_update_is_told_all_that_is_missing_and_nothing_was_merged(machine: Machine):
    machine.create_endpoint()
    machine.deploy("blue")
    path = write(machine, "change.yml", "model: azureml:nope:1\nenvironment: azureml:gone:2\ninstance_count: two\n")
    ran = machine.run("deployment", "update", "-n", "blue", "-e", "fraud-endpoint", "-f", path)
    assert (ran.code, "merged" in ran.err) == (1, False)
    for place in ("1:8  model", "2:14  environment", "3:17  instance_count"):
        assert f"change.yml:{place}" in ran.err


def test_all_that_is_missing_is_told_with_the_other_faults(machine: Machine):
    path = machine.work / "green.yml"
    path.write_text(
        "name: b!\nendpoint_name: fraud\nmodel: azureml:nope:1\nenvironment: azureml:gone:2\ninstance_type: x\n"
        "code_configuration: {code: ./nosrc, scoring_script: score.py}\n"
    )
    ran = machine.run("deployment", "create", "-f", str(path))
    assert ran.code == 1
    for place in ("1:7  name", "3:8  model", "4:14  environment", "6:28  code_configuration.code"):
        assert f"green.yml:{place}" in ran.err


def test_a_word_that_yaml_reads_as_a_boolean_is_explained(machine: Machine):
    path = machine.work / "endpoint.yml"
    path.write_text("name: fraud\nauth_mode: off\n")
    ran = machine.run("endpoint", "create", "-f", str(path))
    assert (ran.code, 'YAML reads off as false; in quotation marks it is text: "off"' in ran.err) == (1, True)


def test_flags_are_named_where_flags_are_missing(machine: Machine):
    (machine.work / "f5.yml").write_text("request_settings: {request_timeout_ms: 5000}\n")
    (machine.work / "empty").mkdir()
    for words, told in (
        (("endpoint", "create"), "--name"),
        (("environment", "create", "-n", "e1", "-c", "conda.yml"), "--image python:3.11-slim -c conda.yml"),
        (("environment", "create", "-n", "e1", "-i", "x", "-d", "Dockerfile.gpu"), "--build-context, which is missing"),
        (("environment", "create", "-n", "e1", "-i", "x", "-b", "src"), "--image or --build-context, not both"),
        (("environment", "create", "-n", "e1", "-c", "x", "-b", "src"), "--conda-file goes with --image"),
        (("deployment", "update", "-f", str(machine.work / "f5.yml")), "f5.yml does not name it"),
        (("model", "create", "-n", "m"), "mlctl model create -n m -p ./model"),
        (("model", "create", "-n", "m", "-p", "/nowhere/at/all"), "--path: /nowhere/at/all does not exist"),
        (("model", "create", "-n", "m", "-p", str(machine.work / "empty")), "there is no file in it"),
    ):
        ran = machine.run(*words)
        assert (ran.code, told in ran.err) == (1, True), ran.err


def test_f1_the_smallest_deployment(prepared: Machine):
    created = prepared.ok("deployment", "create", "-f", write(prepared, "blue.yml", F1), "--all-traffic").json
    assert created["model"].endswith("/models/fraud-model/versions/3")
    assert created["environment"].endswith("/environments/fraud-infer/versions/2")
    assert prepared.score({"a": 1}).json() == {"a": 1}


def test_f2_f3_f5_a_full_deployment_and_partial_documents_merged_into_it(prepared: Machine):
    prepared.ok("deployment", "create", "-f", write(prepared, "blue.yml_", F2), "--all-traffic")
    assert len(prepared.replicas("ready")) == 2
    shown = prepared.ok("deployment", "update", "-f", write(prepared, "scale.yml", F3)).json
    assert shown["scale_settings"]["max_instances"] == 10
    assert shown["request_settings"]["request_timeout_ms"] == 3000
    ran = prepared.ok("deployment", "update", *BLUE, "-f", write(prepared, "settings.yml", F5))
    assert ran.json["request_settings"]["max_concurrent_requests_per_instance"] == 20
    assert ran.json["scale_settings"]["max_instances"] == 10
    assert "merged into blue (request_settings)" in ran.err
    assert prepared.score({"a": 1}).json() == {"a": 1}


@pytest.mark.parametrize(
    "reference",
    [
        "azureml:AzureML-sklearn-1.0-ubuntu20.04-py38-cpu@latest",
        "azureml://registries/azureml/environments/sklearn-1.5/labels/latest",
    ],
)
def test_azures_own_environments_are_taken_with_a_note(prepared: Machine, reference: str):
    document = F1.replace("azureml:fraud-infer:2", reference)
    ran = prepared.ok("deployment", "create", "-f", write(prepared, "blue.yml", document))
    assert "one of Azure's own environments" in ran.err
    assert ran.json["environment"] == reference
    assert "Azure's own" in ran.json["properties"]["mlctl.drift"]


def test_the_kubernetes_kinds_run_here_and_say_so_once(prepared: Machine):
    endpoint = "name: k8s-endpoint\ncompute: azureml:cluster\n"
    created = prepared.ok("endpoint", "create", "-f", write(prepared, "k.yml", endpoint)).json
    assert created["kind"] == "K8S"
    document = F1.replace("fraud-endpoint", "k8s-endpoint").replace(
        "instance_type: Standard_DS2_v2", "type: kubernetes"
    )
    document += 'resources: {requests: {cpu: "0.1", memory: "0.1Gi"}}\n'
    ran = prepared.ok("deployment", "create", "-f", write(prepared, "kd.yml", document), "--all-traffic")
    assert ran.err.count("processes of this machine") == 1
    assert ran.json["type"] == "kubernetes"


def test_a_deployment_that_stops_coming_up_turns_failed_and_recovers(prepared: Machine):
    switch = prepared.work / "broken"
    prepared.write_script(
        f"import os\ndef init():\n    if os.path.exists({str(switch)!r}):\n        raise ValueError('switched off')\n"
        "def run(raw_data):\n    return raw_data\n"
    )
    prepared.ok("deployment", "create", "-f", write(prepared, "blue.yml", F1), "--all-traffic")
    state = ("deployment", "show", *BLUE, "--query", "provisioning_state", "-o", "tsv")
    switch.touch()
    (replica,) = prepared.replicas("ready")
    os.kill(replica.pid or 0, signal.SIGKILL)
    wait_until(lambda: prepared.ok(*state).out == "Failed\n")
    assert prepared.score().status_code == 503
    switch.unlink()
    wait_until(lambda: prepared.ok(*state).out == "Succeeded\n", timeout_s=40)
    assert prepared.score({"a": 1}).status_code == 200
