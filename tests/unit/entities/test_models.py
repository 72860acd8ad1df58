from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from mlctl.entities.deployment import KubernetesOnlineDeployment, ManagedOnlineDeployment
from mlctl.entities.deployment_settings import DefaultScaleSettings, TargetUtilizationScaleSettings
from mlctl.entities.endpoint import AuthMode, IdentityType, ManagedOnlineEndpoint
from mlctl.entities.environment import Environment, InlineEnvironment
from mlctl.entities.kinds import KINDS, Kind
from mlctl.entities.model import InlineModel, Model
from mlctl.entities.parsing import parse_document
from mlctl.entities.parts import Entity
from mlctl.entities.yaml_file import load_document
from tests.unit.entities.strategies import documents
from tests.unit.entities.texts import F1, F2, F3, F4


def parse(text: str) -> ManagedOnlineDeployment:
    return parse_document(load_document(text, file="x"), ManagedOnlineDeployment)


def test_the_smallest_deployment_gets_azures_defaults() -> None:
    deployment = parse(F1)
    assert deployment.request_settings.request_timeout_ms == 5000
    assert deployment.request_settings.max_concurrent_requests_per_instance == 1
    assert deployment.liveness_probe.failure_threshold == 30
    assert deployment.readiness_probe.timeout == 2
    assert isinstance(deployment.scale_settings, DefaultScaleSettings)


def test_the_smallest_deployment_is_rendered_as_az_shapes_it() -> None:
    probe = {"initial_delay": 10, "period": 10, "timeout": 2, "success_threshold": 1, "failure_threshold": 30}
    expected = {
        "name": "blue",
        "endpoint_name": "fraud-endpoint",
        "tags": {},
        "properties": {},
        "model": "azureml:fraud-model:3",
        "code_configuration": {"code": "./src", "scoring_script": "score.py"},
        "environment": "azureml:fraud-infer:2",
        "environment_variables": {},
        "app_insights_enabled": False,
        "scale_settings": {"type": "default"},
        "request_settings": {
            "request_timeout_ms": 5000,
            "max_concurrent_requests_per_instance": 1,
            "max_queue_wait_ms": 500,
        },
        "liveness_probe": probe,
        "readiness_probe": probe,
        "instance_count": 1,
        "instance_type": "Standard_DS2_v2",
        "type": "managed",
        "egress_public_network_access": "enabled",
    }
    assert json.dumps(parse(F1).to_document()) == json.dumps(expected)


def test_the_full_deployment_collects_data_by_yaml_booleans() -> None:
    collector = parse(F2).data_collector
    assert collector is not None
    assert collector.collections["request"].enabled
    assert collector.model_dump(mode="json")["collections"]["response"]["enabled"] == "true"


def test_a_managed_deployment_may_scale_by_utilization() -> None:
    text = F1 + F3[F3.index("scale_settings") :]
    settings_ = parse(text).scale_settings
    assert isinstance(settings_, TargetUtilizationScaleSettings)
    assert (settings_.min_instances, settings_.max_instances, settings_.cooldown_period) == (2, 10, 120)


def test_the_endpoint_of_the_scenarios_is_read() -> None:
    endpoint = parse_document(load_document(F4, file="x"), ManagedOnlineEndpoint)
    assert (endpoint.auth_mode, endpoint.identity.type) == (AuthMode.KEY, IdentityType.SYSTEM_ASSIGNED)
    assert endpoint.to_document() == {
        "name": "fraud-endpoint",
        "tags": {},
        "properties": {},
        "auth_mode": "key",
        "identity": {"type": "system_assigned"},
        "traffic": {},
        "mirror_traffic": {},
        "public_network_access": "enabled",
    }


@pytest.mark.parametrize(
    ("field", "written", "rendered"),
    [
        ("auth_mode", "Key", "key"),
        ("auth_mode", "AMLToken", "aml_token"),
        ("auth_mode", "amlToken", "aml_token"),
        ("auth_mode", "AADToken", "aad_token"),
        ("public_network_access", "Disabled", "disabled"),
        ("identity", {"type": "SystemAssigned"}, {"type": "system_assigned"}),
        ("traffic", {"Blue": 90, "GREEN": 10, "red": 0}, {"blue": 90, "green": 10}),
        ("mirror_traffic", {"Shadow": 50}, {"shadow": 50}),
        ("name", "Fraud-X", "fraud-x"),
        ("tags", {"a": 1, "b": None, "c": True}, {"a": 1, "b": None, "c": True}),
    ],
)
def test_tolerant_spellings_are_rendered_in_one_way(field: str, written: object, rendered: object) -> None:
    data: dict[str, Any] = {"name": "fraud", field: written}
    assert ManagedOnlineEndpoint.from_document(data).to_document()[field] == rendered


def test_a_dumped_endpoint_can_be_fed_back() -> None:
    dumped = {
        "id": "/x",
        "name": "fraud",
        "scoring_uri": "http://x/score",
        "openapi_uri": "http://x/swagger.json",
        "kind": "Managed",
        "provisioning_state": "Succeeded",
        "resourceGroup": "g",
        "identity": {"type": "system_assigned", "principal_id": "p", "tenant_id": "t"},
    }
    assert "scoring_uri" not in ManagedOnlineEndpoint.from_document(dumped).to_document()


def test_a_dumped_deployment_can_be_fed_back() -> None:
    deployment = parse(F2)
    dumped = {**deployment.to_document(), "id": "/x", "provisioning_state": "Failed", "creation_context": {"a": 1}}
    assert ManagedOnlineDeployment.from_document(dumped) == deployment


@pytest.mark.parametrize(("written", "kept"), [(1, "1"), (1.0, "1.0"), ("1", "1"), ("v-2", "v-2")])
def test_a_version_may_be_a_number(written: object, kept: str) -> None:
    assert Model.from_document({"name": "m", "path": "p", "version": written}).version == kept


def test_inline_models_and_environments_need_no_name() -> None:
    data = {"name": "blue", "endpoint_name": "fraud", "instance_type": "X", "model": {"path": "m.pkl"}}
    deployment = ManagedOnlineDeployment.from_document(
        {**data, "environment": {"image": "i", "conda_file": {"a": [1]}}}
    )
    assert isinstance(deployment.model, InlineModel)
    assert isinstance(deployment.environment, InlineEnvironment)
    assert deployment.environment.conda_file == {"a": [1]}


def test_environment_variables_keep_their_types_and_names() -> None:
    text = F1 + "environment_variables: {WORKER_COUNT: 4, DEBUG: true, mIxed: 0.5, EMPTY: }\n"
    assert parse(text).environment_variables == {"WORKER_COUNT": 4, "DEBUG": True, "mIxed": 0.5, "EMPTY": None}


def test_amounts_of_a_cluster_are_text() -> None:
    data = {"name": "blue", "endpoint_name": "fraud", "type": "kubernetes"}
    limits = {"cpu": "1", "nvidia.com/gpu": "1"}
    deployment = KubernetesOnlineDeployment.from_document({**data, "resources": {"limits": limits}})
    assert deployment.to_document()["resources"] == {"limits": limits}
    with pytest.raises(ValidationError):
        KubernetesOnlineDeployment.from_document({**data, "resources": {"limits": {"cpu": 1}}})


def test_traffic_can_be_replaced() -> None:
    endpoint = ManagedOnlineEndpoint.from_document({"name": "fraud"})
    changed = endpoint.replace_traffic({"blue": 100}).replace_mirror_traffic({"green": 5})
    assert (changed.traffic, changed.mirror_traffic, endpoint.traffic) == ({"blue": 100}, {"green": 5}, {})


def test_entities_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Environment.from_document({"name": "e", "image": "i"}).name = "f"  # pyright: ignore[reportAttributeAccessIssue]


def test_every_field_is_described() -> None:
    for kind in KINDS:
        for name, field in kind.model_class.model_fields.items():
            assert field.description, f"{kind.name}.{name}"


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(KINDS))
def test_what_is_rendered_is_read_as_the_same_entity(data: st.DataObject, kind: Kind) -> None:
    entity: Entity = kind.model_class.from_document(data.draw(documents(kind.model_class)))
    rendered = entity.to_document()
    again = kind.model_class.from_document(json.loads(json.dumps(rendered)))
    assert again == entity
    assert json.dumps(again.to_document()) == json.dumps(rendered)
