import pytest

from mlctl.errors import Conflict, NotFound
from mlctl.registry import deployments, endpoints, events
from mlctl.registry.store import Store
from tests.factories import PLAN, make_deployment, make_endpoint


def test_names_are_looked_up_without_regard_to_case(store: Store):
    make_endpoint(store)
    assert endpoints.get_endpoint(store, "FRAUD-Endpoint").name == "fraud-endpoint"


def test_a_taken_name_is_refused_whatever_its_case(store: Store):
    make_endpoint(store)
    with pytest.raises(Conflict, match="exists already"):
        make_endpoint(store, "Fraud-Endpoint")


def test_a_missing_endpoint_names_the_near_ones(store: Store):
    make_endpoint(store)
    with pytest.raises(NotFound) as caught:
        endpoints.get_endpoint(store, "fraud-endpont")
    assert caught.value.hint == "did you mean fraud-endpoint?"


def test_each_change_is_a_new_generation(store: Store):
    row = make_endpoint(store)
    generation = endpoints.write_spec(store, row.name, spec={**row.spec, "traffic": {"blue": 100}}, event="t")
    assert generation == 2
    assert endpoints.get_endpoint(store, row.name).state == "Updating"


def test_acceptance_is_recorded_unless_a_newer_generation_is_asked_for(store: Store):
    row = make_endpoint(store)
    endpoints.write_spec(store, row.name, spec=row.spec, event="t")
    endpoints.accept(store, row.name, 1)
    assert endpoints.get_endpoint(store, row.name).observed_generation == 0
    endpoints.accept(store, row.name, 2)
    assert endpoints.get_endpoint(store, row.name).state == "Succeeded"


def test_a_rejected_change_is_rolled_back_with_keys_and_all(store: Store):
    row = make_endpoint(store)
    endpoints.accept(store, row.name, 1)
    endpoints.write_spec(store, row.name, spec={**row.spec, "traffic": {"x": 100}}, credentials=b"new", event="t")
    endpoints.reject(store, row.name, 2, code="GatewayRejected", message="no")
    found = endpoints.get_endpoint(store, row.name)
    assert (found.spec, found.credentials, found.state) == (row.spec, b"ciphertext", "Succeeded")
    assert found.error == {"generation": 2, "code": "GatewayRejected", "message": "no"}
    assert found.observed_generation == found.generation == 3


def test_an_endpoint_that_was_never_accepted_turns_failed(store: Store):
    make_endpoint(store)
    endpoints.reject(store, "fraud-endpoint", 1, code="GatewayRejected", message="no")
    assert endpoints.get_endpoint(store, "fraud-endpoint").state == "Failed"


def test_rejection_of_an_old_generation_changes_nothing(store: Store):
    row = make_endpoint(store)
    endpoints.write_spec(store, row.name, spec=row.spec, event="t")
    endpoints.reject(store, row.name, 1, code="GatewayRejected", message="no")
    assert endpoints.get_endpoint(store, row.name).state == "Updating"


def test_deleting_an_endpoint_takes_its_deployments_along(store: Store):
    make_endpoint(store)
    make_deployment(store)
    endpoints.remove_endpoint(store, "fraud-endpoint")
    assert deployments.find_deployment(store, "fraud-endpoint", "blue") is None


def test_a_deployment_needs_its_endpoint(store: Store):
    with pytest.raises(NotFound):
        make_deployment(store)


def test_a_deployment_that_exists_is_not_created_again(store: Store):
    make_endpoint(store)
    make_deployment(store)
    with pytest.raises(Conflict) as caught:
        make_deployment(store, "Blue")
    assert "deployment update" in caught.value.hint


def test_serving_a_generation_forgets_the_older_ones(store: Store):
    make_endpoint(store)
    row = make_deployment(store)
    deployments.mark_serving(store, row)
    deployments.write_generation(store, endpoint=row.endpoint, name="blue", spec=row.spec, plan=PLAN, state="Updating")
    assert set(deployments.list_generations(store, row.endpoint, "blue")) == {1, 2}
    deployments.mark_serving(store, deployments.get_deployment(store, row.endpoint, "blue"))
    assert set(deployments.list_generations(store, row.endpoint, "blue")) == {2}


def test_a_failure_does_not_touch_the_generation_that_serves(store: Store):
    make_endpoint(store)
    row = make_deployment(store)
    deployments.mark_serving(store, row)
    deployments.write_generation(store, endpoint=row.endpoint, name="blue", spec=row.spec, plan=PLAN, state="Updating")
    newer = deployments.get_deployment(store, row.endpoint, "blue")
    deployments.mark_failed(store, newer, {"message": "failed 3 times in init()"})
    found = deployments.get_deployment(store, row.endpoint, "blue")
    assert (found.state, found.serving_generation, found.observed_generation) == ("Failed", 1, 2)


def test_an_outcome_of_an_older_generation_is_not_recorded(store: Store):
    make_endpoint(store)
    old = make_deployment(store)
    deployments.write_generation(store, endpoint=old.endpoint, name="blue", spec=old.spec, plan=PLAN, state="Updating")
    deployments.mark_serving(store, old)
    assert deployments.get_deployment(store, old.endpoint, "blue").serving_generation is None


def test_old_events_are_forgotten(store: Store):
    for number in range(5):
        events.record(store, "test", str(number), endpoint="e")
    events.prune(store, keep=2)
    assert [event.message for event in events.list_events(store, endpoint="e")] == ["3", "4"]


def test_what_happened_is_kept_in_order_with_the_user(store: Store):
    make_endpoint(store)
    make_deployment(store)
    found = events.list_events(store, endpoint="fraud-endpoint")
    assert [event.kind for event in found] == ["endpoint.create", "deployment.create"]
    assert found[0].os_user == events.os_user()
    assert events.list_events(store, endpoint="fraud-endpoint", after=found[0].id) == found[1:]
