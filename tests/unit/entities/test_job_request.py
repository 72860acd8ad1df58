"""Bodies of requests for batch jobs, as articles, the SDK and older clients write them."""

from __future__ import annotations

from typing import Any

import pytest

from mlctl.entities.job_request import read_job_request
from mlctl.errors import InvalidInput
from mlctl.ops.job_requests import find_request_id, make_invocation, read_body


def values(properties: dict[str, Any]) -> dict[str, Any]:
    return dict(make_invocation("fraud-batch", read_job_request({"properties": properties}), {}).values)


ARTICLE = {"InputData": {"In": {"JobInputType": "UriFolder", "Uri": "/data/in"}}}
SDK = {"inputData": {"In": {"jobInputType": "uri_folder".replace("_f", "F"), "uri": "/data/in"}}}
SHOUTED = {"INPUTDATA": {"In": {"JOBINPUTTYPE": "URIFOLDER", "URI": "/data/in"}}}


@pytest.mark.parametrize("properties", [ARTICLE, SDK, SHOUTED])
def test_keys_and_types_may_be_in_any_case(properties: dict[str, Any]):
    assert values(properties) == {"inputs": {"In": {"path": "/data/in", "type": "uri_folder"}}}


def test_older_clients_name_one_dataset():
    given = {"dataset": {"dataInputType": "DataUrl", "Path": "azureml://datastores/d/paths/in"}}
    assert values(given) == {"inputs": {"data": {"path": "azureml://datastores/d/paths/in"}}}
    given = {"outputDataset": {"datastoreId": "azureml:/subscriptions/x/datastores/d", "path": "out"}}
    assert values(given) == {"outputs": {"score": {"path": "azureml://datastores/d/paths/out"}}}


@pytest.mark.parametrize("value", ["text", 3, 2.5, True, "3"])
def test_a_literal_keeps_its_type(value: Any):
    found = values({"inputData": {"n": {"jobInputType": "Literal", "value": value}}})["inputs"]["n"]["value"]
    assert (found, type(found)) == (value, type(value))


def test_overrides_are_those_of_the_command():
    given = {
        "miniBatchSize": 7,
        "compute": {"isLocal": True, "instanceCount": 4},
        "retrySettings": {"maxRetries": 2, "timeout": "PT1M5S"},
        "errorThreshold": -1,
        "outputFileName": "scores.csv",
        "OutputData": {"score": {"JobOutputType": "UriFile", "Uri": "/data/out"}},
        "description": None,
    }
    assert values(given) == {
        "mini_batch_size": 7,
        "compute": {"instance_count": 4},
        "retry_settings": {"max_retries": 2, "timeout": 65.0},
        "error_threshold": -1,
        "output_file_name": "scores.csv",
        "outputs": {"score": {"path": "/data/out"}},
    }


def test_name_experiment_and_deployment_are_taken():
    request = read_job_request({"properties": {"name": "november", "properties": {"experimentName": "e"}}})
    found = make_invocation("fraud-batch", request, {"azureml-model-deployment": "blue"})
    assert (found.job_name, found.experiment_name, found.deployment) == ("november", "e", "blue")


@pytest.mark.parametrize(
    ("properties", "reason"),
    [
        (
            {"inputData": {"a": {"jobInputType": "UriFile", "uri": "rows.csv"}}},
            "inputData.a.uri: rows.csv is a relative",
        ),
        ({"inputData": {"a": {"jobInputType": "UriFile"}}}, "inputData.a.uri: data has a URI"),
        ({"inputData": {"a": {"jobInputType": "Literal"}}}, "inputData.a.value: a literal has a value"),
        ({"inputData": {"a": {"jobInputType": "Table"}}}, "inputData.a.jobInputType: input should be"),
        ({"outputData": {"a": {"uri": "../out"}}}, "outputData.a.uri: ../out is a relative"),
        ({"miniBatchSize": 0}, "miniBatchSize: input should be greater"),
        ({"miniBatchSize": 5, "MINIBATCHSIZE": 6}, "the key MINIBATCHSIZE is there twice"),
        ({"retrySettings": {"timeout": "soon"}}, "retrySettings.timeout: input should be a valid timedelta"),
        ({"retrySettings": {"timeout": "-PT5S"}}, "longer than nothing"),
        ({"loggingLevel": "debug"}, "loggingLevel: unknown field"),
        ({"instanceCount": 2}, "instanceCount: unknown field"),
        ([], "properties: input should be"),
    ],
)
def test_what_is_wrong_is_told_with_its_path(properties: Any, reason: str):
    with pytest.raises(InvalidInput) as caught:
        values(properties)
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"3", "not a JSON object"),
        (b"[" * 100_000, "not JSON"),
    ],
)
def test_a_body_that_is_no_object_is_refused(body: bytes, reason: str):
    with pytest.raises(InvalidInput, match=reason):
        read_body(body)


def test_no_body_sets_nothing():
    assert dict(make_invocation("fraud-batch", read_body(b" "), {}).values) == {}


@pytest.mark.parametrize("header", ["repeatability-request-id", "repeatability_request-id"])
def test_a_request_id_belongs_to_its_endpoint(header: str):
    assert find_request_id("Fraud-Batch", {header: " abc "}) == "fraud-batch/abc"
    assert find_request_id("fraud-batch", {header: ""}) is None
    with pytest.raises(InvalidInput, match="more than 128"):
        find_request_id("fraud-batch", {header: "a" * 129})
