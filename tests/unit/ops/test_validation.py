from pathlib import Path
from typing import Any

import pytest
import yaml

from mlctl.errors import InvalidInput
from mlctl.ops.validation import FileReport, validate

WHOLE: dict[str, Any] = {
    "name": "blue",
    "endpoint_name": "fraud-endpoint",
    "model": "azureml:m:1",
    "instance_type": "Standard_DS3_v2",
}


def check(tmp_path: Path, document: dict[str, Any], *, azure: bool = True, kind: str | None = None) -> FileReport:
    path = tmp_path / "document.yml"
    path.write_text(yaml.safe_dump(document, sort_keys=False))
    return validate([path], kind=kind, for_azure=azure)[0]


def test_the_kind_comes_from_the_schema_before_the_fields(tmp_path: Path):
    schema = "https://azuremlschemas.azureedge.net/latest/model.schema.json"
    assert check(tmp_path, {"$schema": schema, "name": "m", "path": "p"}).kind == "model"
    assert check(tmp_path, {"name": "m", "auth_mode": "key"}).kind == "managedOnlineEndpoint"


def test_the_option_tells_what_the_fields_do_not(tmp_path: Path):
    unknown = check(tmp_path, {"name": "thing"})
    assert unknown.kind is None
    assert "--kind" in unknown.problems[0].hint
    assert check(tmp_path, {"name": "thing"}, kind="endpoint").is_valid
    with pytest.raises(InvalidInput, match="there is no kind"):
        check(tmp_path, {"name": "thing"}, kind="spaceship")


@pytest.mark.parametrize(
    ("change", "line", "said"),
    [
        ({"data_collector": {"collections": {"request": {"enabled": True}}}}, 8, "enabled: true is not text"),
        ({"scale_settings": {"type": "target_utilization"}}, 6, "target_utilization is for Kubernetes only"),
        ({"scale_settings": {"type": "TargetUtilization", "cooldown_period": 3}}, 7, "unknown field"),
    ],
)
def test_what_only_azure_refuses_is_listed_on_request(tmp_path: Path, change: dict[str, Any], line: int, said: str):
    assert check(tmp_path, WHOLE | change, azure=False).is_valid
    problems = check(tmp_path, WHOLE | change).problems
    assert any(problem.line == line and said in problem.message for problem in problems)
    assert all(problem.message.startswith("Azure refuses: ") for problem in problems)


def test_text_is_what_azure_wants_of_collections(tmp_path: Path):
    assert check(tmp_path, WHOLE | {"data_collector": {"collections": {"request": {"enabled": "true"}}}}).is_valid


def test_a_part_of_a_deployment_is_fine_here_and_refused_by_azure(tmp_path: Path):
    here = check(tmp_path, {"instance_count": 2}, azure=False)
    assert (here.is_valid, here.is_partial) == (True, True)
    assert "no whole deployment" in check(tmp_path, {"instance_count": 2}).problems[0].message


def test_kubernetes_deployments_may_scale_by_load_in_azure(tmp_path: Path):
    document = WHOLE | {"type": "kubernetes", "scale_settings": {"type": "target_utilization"}}
    assert check(tmp_path, document).problems == ()


def test_numbers_where_text_is_wanted_are_refused_by_both(tmp_path: Path):
    resources = {"type": "kubernetes", "resources": {"requests": {"cpu": 1}}}
    problems = check(tmp_path, WHOLE | resources, azure=False).problems
    assert ["1 is not text" in problem.message for problem in problems] == [True]


def test_an_endpoints_egress_is_unknown_to_azure(tmp_path: Path):
    document = {"name": "fraud", "auth_mode": "key", "egress_public_network_access": "disabled"}
    assert check(tmp_path, document, azure=False).is_valid
    assert not check(tmp_path, document).is_valid


def test_azure_serves_only_some_models_without_a_script(tmp_path: Path):
    model = {"path": "./model.pkl"}
    (problem,) = check(tmp_path, {**WHOLE, "model": model}).problems
    assert problem.message == "Azure refuses: model: a custom_model cannot be served without a scoring script"
    code = {"code": "./src", "scoring_script": "score.py"}
    assert check(tmp_path, {**WHOLE, "model": model, "code_configuration": code}).is_valid
    assert check(tmp_path, {**WHOLE, "model": {**model, "type": "mlflow_model"}}).is_valid
    assert check(tmp_path, {**WHOLE, "model": model}, azure=False).is_valid
