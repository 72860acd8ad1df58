from __future__ import annotations

from typing import Any

import pytest
import yaml

from mlctl.entities import kinds
from mlctl.entities.deployment import KubernetesOnlineDeployment, ManagedOnlineDeployment
from mlctl.entities.endpoint import KubernetesOnlineEndpoint, ManagedOnlineEndpoint
from mlctl.entities.kinds import (
    KINDS,
    Kind,
    deployment_class,
    endpoint_class,
    find_kind,
    is_complete,
    merge_top_level,
)
from mlctl.entities.names import SCHEMA_NAMES
from tests.unit.entities.texts import F1, F2, F3, F4, F5


def test_compute_makes_an_endpoint_kubernetes() -> None:
    assert endpoint_class({"compute": "azureml:c"}) is KubernetesOnlineEndpoint
    assert endpoint_class({"name": "x"}) is ManagedOnlineEndpoint


@pytest.mark.parametrize(
    ("data", "model"),
    [
        ({"type": "kubernetes"}, KubernetesOnlineDeployment),
        ({"type": "Kubernetes"}, KubernetesOnlineDeployment),
        ({"type": "managed"}, ManagedOnlineDeployment),
        ({"type": 3}, ManagedOnlineDeployment),
        ({}, ManagedOnlineDeployment),
    ],
)
def test_the_type_chooses_the_deployment(data: dict[str, Any], model: type) -> None:
    assert deployment_class(data) is model


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (F1, kinds.MANAGED_DEPLOYMENT),
        (F2, kinds.MANAGED_DEPLOYMENT),
        (F3, kinds.MANAGED_DEPLOYMENT),
        (F4, kinds.MANAGED_ENDPOINT),
        (F5, kinds.MANAGED_DEPLOYMENT),
        ("{name: e, auth_mode: key}", kinds.MANAGED_ENDPOINT),
        ("{name: e, compute: azureml:c}", kinds.KUBERNETES_ENDPOINT),
        ("{name: d, endpoint_name: e, type: kubernetes}", kinds.KUBERNETES_DEPLOYMENT),
        ("{name: m, path: ./model}", kinds.MODEL),
        ("{name: e, image: i, conda_file: c}", kinds.ENVIRONMENT),
        ("{name: e, build: {path: .}}", kinds.ENVIRONMENT),
        ("{$schema: 'http://x/Model.schema.json', name: m}", kinds.MODEL),
        ("{$schema: 'http://x/commandJob.schema.json', command: ls}", kinds.COMMAND_JOB),
        ("{$schema: 'http://x/pipelineJob.schema.json', type: pipeline, jobs: {a: {command: ls}}}", kinds.PIPELINE_JOB),
        ("{type: command, command: ls, code: ./src}", kinds.COMMAND_COMPONENT),
        ("{type: command, command: ls, compute: azureml:cpu}", kinds.COMMAND_JOB),
        ("{command: ls, inputs: {data: {type: uri_file, path: ./a.csv}}}", kinds.COMMAND_JOB),
        ("{command: ls, inputs: {rows: 5}}", kinds.COMMAND_JOB),
        ("{command: ls, inputs: {rows: {type: integer, default: 5}}, name: count}", kinds.COMMAND_COMPONENT),
        ("{type: pipeline, experiment_name: e, jobs: {a: {command: ls}}}", kinds.PIPELINE_JOB),
        ("{type: pipeline, inputs: {data: {type: uri_file}}, jobs: {a: {command: ls}}}", kinds.PIPELINE_COMPONENT),
        ("{name: x}", None),
        ("{}", None),
        ("{$schema: 3}", None),
        ("{path: p, image: i}", None),
    ],
)
def test_the_kind_of_a_document_is_found(text: str, kind: Kind | None) -> None:
    assert find_kind(yaml.safe_load(text)) is kind


def test_every_kind_has_a_schema_of_azures_name() -> None:
    assert tuple(kind.name for kind in KINDS) == SCHEMA_NAMES
    assert kinds.MANAGED_ENDPOINT.schema_file == "managedOnlineEndpoint.schema.json"
    assert kinds.MODEL.schema_url.endswith("/latest/model.schema.json")


@pytest.mark.parametrize(("text", "complete"), [(F1, True), (F2, True), (F3, False), (F5, False)])
def test_a_deployment_that_says_what_to_run_is_complete(text: str, complete: bool) -> None:
    data = yaml.safe_load(text)
    assert is_complete(data, kinds.MANAGED_DEPLOYMENT) is complete
    assert is_complete({**data, "type": "kubernetes"}, kinds.KUBERNETES_DEPLOYMENT) is complete


def test_an_endpoint_with_a_name_is_complete() -> None:
    assert is_complete(yaml.safe_load(F4), kinds.MANAGED_ENDPOINT)
    assert not is_complete({"traffic": {}}, kinds.MANAGED_ENDPOINT)
    assert not is_complete({"name": "e"}, kinds.KUBERNETES_ENDPOINT)


def test_a_partial_document_replaces_whole_fields_and_keeps_the_rest() -> None:
    base = {"name": "blue", "request_settings": {"max_queue_wait_ms": 1}, "instance_count": 2}
    merged = merge_top_level(base, {"$schema": "x", **yaml.safe_load(F5)})
    assert list(merged) == ["name", "request_settings", "instance_count"]
    assert merged["request_settings"] == {"max_concurrent_requests_per_instance": 20, "request_timeout_ms": 5000}
    assert merged["instance_count"] == 2
