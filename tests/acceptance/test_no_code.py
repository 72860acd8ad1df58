"""Deployments without a scoring script, and request schemas, through the command line, the daemon and the gateway."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import joblib
import pytest
import yaml
from sklearn.linear_model import LogisticRegression

from mlctl.registry.store import Store
from tests.acceptance.conftest import Machine
from tests.acceptance.scoring.onnx_files import Output, Tensor, write_onnx
from tests.unit.runtimes.wheels import make_wheel

RED = ("-n", "red", "-e", "fraud-endpoint")
X, Y = [[0.0, 1.0], [1.0, 0.0], [2.0, 5.0], [3.0, 4.0]], [0, 0, 1, 1]
SCHEMA = {"type": "object", "required": ["features"]}


def write_red(machine: Machine, **document: Any) -> str:
    path = Path(machine.write_deployment("red", environment=None, code_configuration=None, **document))
    kept = {name: value for name, value in json.loads(path.read_text()).items() if value is not None}
    path.write_text(yaml.safe_dump(kept, sort_keys=False))
    return str(path)


def write_model(machine: Machine, name: str = "fraud.pkl", labels: Any = Y) -> Any:
    path = machine.work / name
    path.parent.mkdir(exist_ok=True)
    model = LogisticRegression().fit(X, labels)
    joblib.dump(model, path)
    return model


def score(machine: Machine, body: Any) -> Any:
    reply = machine.score(body, azureml_model_deployment="red")
    return (reply.status_code, reply.json())


def count_kept(machine: Machine) -> int:
    with Store(machine.home / "registry.db") as store:
        return sum(len(store.rows(f"SELECT 1 FROM {table}")) for table in ("artifacts", "assets", "deployments"))


@pytest.fixture(name="machine_with_endpoint", scope="module")
def _machine_with_endpoint() -> Any:
    from tests.acceptance.conftest import boot

    with boot() as machine:
        machine.create_endpoint()
        yield machine


@pytest.fixture(name="shared")
def _shared(machine_with_endpoint: Machine) -> Any:
    yield machine_with_endpoint
    machine_with_endpoint.run("deployment", "delete", *RED, "--yes")


def test_a_pickled_model_is_served_told_of_scaled_and_replaced(shared: Machine) -> None:
    model = write_model(shared)
    file = write_red(shared, model={"path": "./fraud.pkl"})
    ran = shared.ok("deployment", "create", "-f", file)
    assert "red has no code_configuration: fraud.pkl is served by its predict(), with scikit-learn==" in ran.err
    assert "code_configuration" not in ran.json
    assert ran.json["properties"]["mlctl.loader"] == "sklearn:fraud.pkl"
    log = shared.ok("deployment", "get-logs", *RED).out
    assert "There is no scoring script: fraud.pkl is served by mlctl's own loader, sklearn" in log
    wanted = {"prediction": model.predict(X).tolist(), "probability": model.predict_proba(X).tolist()}
    assert score(shared, {"features": X}) == (200, wanted)
    scaled = shared.ok("deployment", "update", *RED, "--set", "instance_count=2")
    assert "no code_configuration" not in scaled.err
    assert len(shared.replicas("ready")) == 2
    other = write_model(shared, "other.joblib", [1, 1, 0, 0])
    shared.ok("deployment", "update", "-f", write_red(shared, model={"path": "./other.joblib"}))
    assert score(shared, {"data": X})[1]["prediction"] == other.predict(X).tolist()


def test_a_script_may_be_added_and_taken_away(shared: Machine) -> None:
    write_model(shared)
    shared.ok("deployment", "create", "-f", write_red(shared, model={"path": "./fraud.pkl"}))
    shared.write_script("def init(): pass\ndef run(raw_data): return 'scripted'\n", folder="added")
    code = {"code": "./added", "scoring_script": "score.py"}
    partial = shared.work / "code.yml"
    partial.write_text(yaml.safe_dump({"code_configuration": code}))
    shared.ok("deployment", "update", *RED, "-f", str(partial))
    assert score(shared, {"features": X}) == (200, "scripted")
    assert "mlctl.loader" not in shared.ok("deployment", "show", *RED).json["properties"]
    shared.ok("deployment", "update", "-f", write_red(shared, model={"path": "./fraud.pkl"}))
    assert score(shared, {"features": X})[1]["prediction"] == Y


def test_a_registered_onnx_model_is_served(shared: Machine) -> None:
    (shared.work / "net").mkdir(exist_ok=True)
    inputs = [Tensor("X", "float", (None, 2))]
    write_onnx(shared.work / "net" / "model.onnx", inputs, [Output("Y", "Add", ("X", "X"))])
    shared.ok("model", "create", "-n", "net", "-v", "1", "-p", str(shared.work / "net"))
    ran = shared.ok("deployment", "create", "-f", write_red(shared, model="azureml:net:1"))
    assert "net/model.onnx is served by onnxruntime, with onnxruntime, numpy" in ran.err
    assert score(shared, {"input_data": [[1, 2]]}) == (200, {"Y": [[2.0, 4.0]]})
    status, body = score(shared, {"input_data": [[1, "x"]]})
    assert (status, body["errors"][0]["path"]) == (400, "$.input_data[0][1]")


def test_an_image_does_not_keep_the_packages_away_that_a_model_needs(shared: Machine) -> None:
    write_model(shared)
    file = write_red(shared, model={"path": "./fraud.pkl"})
    document = {**yaml.safe_load(Path(file).read_text()), "environment": {"image": "python:3.11"}}
    Path(file).write_text(yaml.safe_dump(document))
    ran = shared.ok("deployment", "create", "-f", file)
    assert "image python:3.11 is not run" in ran.err
    assert "with scikit-learn==" in ran.err
    assert score(shared, {"features": X})[0] == 200


def test_a_trial_starts_what_would_be_served(shared: Machine) -> None:
    write_model(shared)
    request = shared.work / "request.json"
    request.write_text(json.dumps({"features": X}))
    file = write_red(shared, model={"path": "./fraud.pkl"})
    trial = shared.ok("deployment", "validate", "-f", file, "--request-file", str(request)).json
    assert trial["valid"]
    assert [step["name"] for step in trial["steps"]][-2:] == ["score", "stop"]


@pytest.mark.parametrize(
    ("document", "said", "hint"),
    [
        ({}, "neither code_configuration nor model", "add model: azureml:NAME:VERSION"),
        ({"model": {"path": "./two"}}, "2 files of the model could be served", "path: ./a.pkl"),
        ({"model": {"path": "./two", "type": "mlflow_model"}}, "holds no file MLmodel; it holds: two/a.pkl", "MLmodel"),
        ({"model": {"path": "./two", "type": "triton_model"}}, "Triton in a container", "code_configuration"),
    ],
)
def test_a_model_that_nobody_can_tell_how_to_serve_is_refused_and_nothing_is_kept(
    shared: Machine, document: dict[str, Any], said: str, hint: str
) -> None:
    write_model(shared, "two/a.pkl")
    write_model(shared, "two/b.pkl")
    before = count_kept(shared)
    ran = shared.run("deployment", "create", "-f", write_red(shared, **{"tags": {"a": "b"}, **document}))
    # A document with neither model nor environment is no whole one; it is refused for that before.
    assert ran.code == 1, ran.err
    assert said in ran.err
    assert hint in ran.err
    assert count_kept(shared) == before


def test_an_environment_with_a_server_of_its_own_is_refused_naming_the_limit(shared: Machine) -> None:
    route = {"path": "/score", "port": 8080}
    routes = {"liveness_route": route, "readiness_route": route, "scoring_route": route}
    file = Path(write_red(shared, model={"path": "./fraud.pkl"}))
    write_model(shared)
    environment = {"image": "tensorflow/serving", "inference_config": routes}
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "environment": environment}))
    ran = shared.run("deployment", "create", "-f", str(file))
    assert ran.code == 1
    assert "mlctl runs processes, not images" in ran.err
    shared.ok("environment", "create", "-f", str(_write_environment(shared, environment)))
    shown = shared.ok("environment", "show", "-n", "serving", "-v", "1").json
    assert shown["inference_config"] == routes
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "environment": "azureml:serving:1"}))
    assert "mlctl runs processes, not images" in shared.run("deployment", "create", "-f", str(file)).err


def _write_environment(machine: Machine, environment: dict[str, Any]) -> Path:
    path = machine.work / "serving.yml"
    path.write_text(yaml.safe_dump({"name": "serving", "version": "1", **environment}))
    return path


def test_a_model_that_cannot_be_loaded_fails_with_the_reason(shared: Machine) -> None:
    joblib.dump({"weights": [1]}, shared.work / "dict.pkl")
    ran = shared.run("deployment", "create", "-f", write_red(shared, model={"path": "./dict.pkl"}))
    assert ran.code == 7
    assert "holds a dict, which has no predict()" in ran.err


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_an_environment_that_lacks_what_the_loader_needs_is_given_it(shared: Machine) -> None:
    """Its conda file names a package of the test's own alone; the others are fetched over the network."""
    model = write_model(shared)
    wheel = make_wheel(shared.work / "wheels", "fraudtools")
    conda = {"dependencies": [{"pip": [str(wheel)]}]}
    file = Path(write_red(shared, model={"path": "./fraud.pkl"}))
    environment = {"image": "python:3.11", "conda_file": conda}
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "environment": environment}))
    ran = shared.ok("deployment", "create", "-f", str(file))
    assert "is served by its predict()\n" in ran.err
    assert score(shared, {"features": X})[1]["prediction"] == model.predict(X).tolist()


def test_bodies_are_checked_against_a_schema_that_is_kept(shared: Machine) -> None:
    write_model(shared)
    schema = shared.work / "request.schema.json"
    schema.write_text(json.dumps({**SCHEMA, "properties": {"features": {"maxItems": 1}}}))
    properties = {"mlctl.request_schema": "./request.schema.json"}
    shared.ok("deployment", "create", "-f", write_red(shared, model={"path": "./fraud.pkl"}, properties=properties))
    errors = [{"path": "$.features", "message": "must have at most 1 item, it has 4"}]
    assert score(shared, {"features": X})[1]["errors"] == errors
    schema.write_text(json.dumps(SCHEMA))
    shared.ok("deployment", "update", *RED, "--set", "tags.a=b")
    assert score(shared, {"features": X})[0] == 400
    shared.ok("artifacts", "prune", "--older-than", "0", "--yes")
    shared.ok("deployment", "update", *RED, "--set", "environment_variables.A=b")
    assert score(shared, {"features": X})[0] == 400
    partial = shared.work / "properties.yml"
    partial.write_text(yaml.safe_dump({"properties": properties}))
    shared.ok("deployment", "update", *RED, "-f", str(partial))
    assert score(shared, {"features": X})[0] == 200


def test_off_leaves_bodies_to_the_model(shared: Machine) -> None:
    write_model(shared)
    properties = {"mlctl.request_schema": "off"}
    shared.ok("deployment", "create", "-f", write_red(shared, model={"path": "./fraud.pkl"}, properties=properties))
    assert score(shared, {"features": [[1]]})[0] == 424


def test_azures_exact_behaviour_has_no_inferred_schema(shared: Machine) -> None:
    write_model(shared)
    properties = {"mlctl.azure_exact": "true"}
    shared.ok("deployment", "create", "-f", write_red(shared, model={"path": "./fraud.pkl"}, properties=properties))
    assert score(shared, {"features": [[1]]})[0] == 424


def test_what_input_schema_surely_refuses_is_answered_400(shared: Machine) -> None:
    script = """
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema

def init():
    pass

@input_schema("rows", StandardPythonParameterType([1]))
def run(rows):
    return rows
"""
    shared.write_script(script, folder="decorated")
    code = {"code": "./decorated", "scoring_script": "score.py"}
    shared.ok("deployment", "create", "-f", shared.write_deployment("red", code_configuration=code))
    assert score(shared, {"rows": [1, 2]}) == (200, [1, 2])
    assert score(shared, {"rows": "x"})[1]["errors"] == [
        {"path": "$.rows", "message": "must be a list, it is a string"}
    ]
    assert score(shared, {})[1] == {"message": "A value is not provided for the 'rows' parameter."}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{\n  "type": "objct"\n}', "request.schema.json:2:"),
        ('{\n  "type": "object",,\n}', "request.schema.json:2:"),
        ('{"properties": {"a": {"$ref": "https://example.com/a.json"}}}', "only #/… is supported"),
        (None, "request.schema.json does not exist"),
    ],
)
def test_a_schema_that_is_none_is_refused_at_create(shared: Machine, text: str | None, said: str) -> None:
    write_model(shared)
    schema = shared.work / "request.schema.json"
    schema.unlink(missing_ok=True)
    if text is not None:
        schema.write_text(text)
    before = count_kept(shared)
    properties = {"mlctl.request_schema": "./request.schema.json"}
    file = write_red(shared, model={"path": "./fraud.pkl"}, properties=properties)
    ran = shared.run("deployment", "create", "-f", file)
    assert ran.code == 1
    assert said in ran.err
    assert count_kept(shared) == before


def test_off_without_quotation_marks_is_explained(shared: Machine) -> None:
    write_model(shared)
    file = Path(write_red(shared, model={"path": "./fraud.pkl"}))
    file.write_text(file.read_text() + "properties:\n  mlctl.request_schema: off\n")
    ran = shared.run("deployment", "create", "-f", str(file))
    assert ran.code == 1
    assert 'YAML reads off as false: write it in quotation marks, "off"' in ran.err


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_an_mlflow_model_is_served_with_the_packages_of_its_own_conda_file(machine: Machine) -> None:
    """Builds the environment twice over the network: once to make the model, once for the deployment."""
    from tests.acceptance.scoring.mlflow_models import REQUIREMENTS, make_models, make_python

    machine.create_endpoint()
    made = make_models(make_python(machine.work / "maker"), machine.work / "models")
    (made / "table" / "requirements.txt").unlink()
    ran = machine.ok(
        "deployment", "create", "-f", write_red(machine, model={"path": "./models/table", "type": "mlflow_model"})
    )
    assert "table is served as an MLflow model, with the packages of its conda.yaml" in ran.err
    assert REQUIREMENTS[0] in (made / "table" / "conda.yaml").read_text()
    body = {"input_data": {"columns": ["amount", "age"], "index": [0, 1], "data": [[1, 20], [300.5, 50]]}}
    assert score(machine, body) == (200, [0, 1])
    assert score(machine, {"input_data": [[1, 2]]})[0] == 400
    assert sys.executable != machine.ok("deployment", "show", *RED).json["properties"].get("mlctl.python")
