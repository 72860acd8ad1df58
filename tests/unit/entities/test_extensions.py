"""Properties under `mlctl.`, and the routes of containers."""

from typing import Any

import pytest

from mlctl.entities.deployment import ManagedOnlineDeployment
from mlctl.entities.document import make_document
from mlctl.entities.environment import Environment
from mlctl.entities.parsing import check_document

WHOLE: dict[str, Any] = {"name": "blue", "endpoint_name": "fraud", "instance_type": "S"}


@pytest.mark.parametrize("value", ["off", "./request.schema.json"])
def test_a_request_schema_is_a_path_or_off(value: str) -> None:
    document = make_document({**WHOLE, "properties": {"mlctl.request_schema": value}})
    assert check_document(document, ManagedOnlineDeployment) == ()


@pytest.mark.parametrize(
    ("value", "hint"), [(False, 'in quotation marks, "off"'), (3, "for example"), ("", "for example")]
)
def test_other_request_schemas_are_refused(value: Any, hint: str) -> None:
    document = make_document({**WHOLE, "properties": {"mlctl.request_schema": value}})
    (problem,) = check_document(document, ManagedOnlineDeployment)
    assert 'neither the path of a JSON Schema nor "off"' in problem.message
    assert hint in problem.hint


@pytest.mark.parametrize(
    "name", ["mlctl.request_schem", "mlctl.requests_schema", "mlctl.run_thread", "mlctl.azure-exact"]
)
def test_a_property_that_is_nearly_one_of_ours_is_refused(name: str) -> None:
    (problem,) = check_document(make_document({**WHOLE, "properties": {name: "x"}}), ManagedOnlineDeployment)
    assert problem.message == f"properties.{name}: unknown property"
    assert problem.hint.startswith("did you mean mlctl.")


@pytest.mark.parametrize("name", ["mlctl.python", "mlctl.drift", "mlctl.error", "mlctl.schedule", "request_schema"])
def test_other_properties_are_left_alone(name: str) -> None:
    document = make_document({**WHOLE, "properties": {name: "x"}})
    assert check_document(document, ManagedOnlineDeployment) == ()


@pytest.mark.parametrize("path", ["/", "/v1/models/fraud:predict", "/score/"])
def test_a_route_has_a_path(path: str) -> None:
    assert _check_route(path) == ()


@pytest.mark.parametrize(
    ("path", "hint"),
    [("score", "/score"), ("http://localhost:8080/score", "/score"), ("/score?x=1", "/score"), ("/a b", "/ab")],
)
def test_other_paths_of_routes_are_refused(path: str, hint: str) -> None:
    (problem,) = _check_route(path)
    assert problem.message.endswith("is not the path of a URL")
    assert problem.hint == f"did you mean {hint}?"


def _check_route(path: str) -> Any:
    good = {"path": "/", "port": 80}
    routes = {"liveness_route": good, "readiness_route": good, "scoring_route": {"path": path, "port": 80}}
    return check_document(make_document({"name": "e", "image": "i", "inference_config": routes}), Environment)
