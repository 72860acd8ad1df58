"""Batch endpoints, batch deployments, computes and schedules as the registry keeps them."""

from __future__ import annotations

import pytest

from mlctl.errors import NotFound
from mlctl.registry import batch_deployments, batch_endpoints, computes, schedules
from mlctl.registry.batch_deployments import BatchDeploymentRow
from mlctl.registry.batch_endpoints import BatchEndpointRow
from mlctl.registry.store import Store


def put_endpoint(store: Store, name: str = "fraud-batch", **spec: object) -> BatchEndpointRow:
    return batch_endpoints.put_endpoint(store, name=name, spec=spec, workspace="local", resource_group="local")


def put_deployment(store: Store, name: str = "Classic", **spec: object) -> BatchDeploymentRow:
    return batch_deployments.put_deployment(store, endpoint="fraud-batch", name=name, spec=spec, plan={"python": "p"})


def test_an_endpoint_is_found_in_any_case_and_overwritten(store: Store):
    first = put_endpoint(store, description="one")
    second = put_endpoint(store, description="two")
    assert batch_endpoints.get_endpoint(store, "FRAUD-batch") == second
    assert (second.created_at, second.spec) == (first.created_at, {"description": "two"})


def test_a_missing_endpoint_is_told_with_the_near_ones(store: Store):
    with pytest.raises(NotFound) as none:
        batch_endpoints.get_endpoint(store, "fraud-batch")
    assert none.value.hint == "create it: mlctl batch create -n fraud-batch"
    put_endpoint(store)
    with pytest.raises(NotFound) as near:
        batch_endpoints.get_endpoint(store, "fraud-bach")
    assert near.value.hint == "did you mean fraud-batch?"


def test_a_deployment_needs_its_endpoint(store: Store):
    with pytest.raises(NotFound, match="there is no batch endpoint fraud-batch"):
        put_deployment(store)


def test_a_deployment_keeps_the_name_it_was_created_with(store: Store):
    put_endpoint(store)
    first = put_deployment(store)
    again = put_deployment(store, "CLASSIC", mini_batch_size=5)
    assert (again.name, again.created_at, again.spec) == ("Classic", first.created_at, {"mini_batch_size": 5})
    assert batch_deployments.list_deployments(store, "Fraud-Batch") == [again]
    with pytest.raises(NotFound) as near:
        batch_deployments.get_deployment(store, "fraud-batch", "clasic")
    assert near.value.hint == "did you mean Classic?"


def test_an_endpoint_goes_with_its_deployments(store: Store):
    put_endpoint(store)
    put_deployment(store)
    assert batch_endpoints.remove_endpoint(store, "fraud-batch")
    assert not batch_endpoints.remove_endpoint(store, "fraud-batch")
    assert batch_deployments.list_deployments(store) == []


def test_the_default_deployment_is_set_and_taken_away(store: Store):
    put_endpoint(store, description="one")
    batch_endpoints.set_default(store, "fraud-batch", "Classic")
    assert batch_endpoints.get_endpoint(store, "fraud-batch").default_deployment == "Classic"
    batch_endpoints.set_default(store, "fraud-batch", None)
    row = batch_endpoints.get_endpoint(store, "fraud-batch")
    assert (row.default_deployment, row.spec["description"]) == (None, "one")


def test_computes_belong_to_a_workspace(store: Store):
    computes.put_compute(store, workspace="team", name="CPU", spec={"type": "amlcompute"})
    assert computes.find_compute(store, "Team", "cpu") is not None
    assert computes.find_compute(store, "local", "cpu") is None
    assert computes.remove_compute(store, "team", "cpu")
    assert computes.list_computes(store, "team") == []


def test_a_schedule_stays_disabled_when_it_is_written_anew(store: Store):
    schedules.put_schedule(store, workspace="local", name="nightly", spec={"a": 1}, folder="/w")
    schedules.set_enabled(store, "local", "Nightly", is_enabled=False)
    row = schedules.put_schedule(store, workspace="local", name="nightly", spec={"a": 2}, folder="/v")
    assert (row.is_enabled, row.spec, row.folder) == (False, {"a": 2}, "/v")
    assert schedules.remove_schedule(store, "local", "nightly")
    with pytest.raises(NotFound, match="there is no schedule nightly"):
        schedules.get_schedule(store, "local", "nightly")
