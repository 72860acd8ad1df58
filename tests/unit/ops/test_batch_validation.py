"""`mlctl validate` for batch documents, and what Azure's client would say to them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlctl.ops.validation import FileReport, list_kinds, validate

MODEL = "{name: d, endpoint_name: ep1, type: model, model: 'azureml:m:1', compute: 'azureml:c', "


def check(tmp_path: Path, text: str, *, azure: bool = True, kind: str | None = None) -> FileReport:
    path = tmp_path / "document.yml"
    path.write_text(text)
    return validate([path], kind=kind, for_azure=azure)[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (MODEL + "settings: {mini_batch_size: 5, mini_batch_error_threshold: 1}}", "mini_batch_error_threshold"),
        (MODEL + "settings: {error_threshold: 5}}", "settings: mini_batch_size is missing"),
        ("{name: d, endpoint_name: ep1, type: model, model: 'azureml:m:1'}", "compute: is missing"),
        (
            "{name: d, endpoint_name: ep1, mini_batch_size: 2, model: 'azureml:m:1', instance_count: 2}",
            "instance_count: unknown field",
        ),
        (
            MODEL
            + "environment: 'azureml:AzureML-sklearn@latest', code_configuration: {code: ., scoring_script: s.py}}",
            "curated environments do not run batch scripts",
        ),
        (
            "{name: d, endpoint_name: ep1, type: pipeline, component: ./c.yml, properties: {a: 1}}",
            "properties: unknown field",
        ),
        (
            "{name: d, endpoint_name: ep1, mini_batch_size: 2, model: {path: ./m.pkl}}",
            "a custom_model cannot be scored without a scoring script",
        ),
        ("{name: c, type: local}", "local is no type of a compute"),
        ("{name: d, endpoint_name: ep1, mini_batch_size: 3}", "this is no whole deployment"),
        ("{name: d, endpoint_name: ep1, type: pipeline, settings: {}}", "this is no whole deployment"),
        (
            "{name: s, trigger: {type: cron, expression: '0 6 * * 1', time_zone: Europe/Berlin}, create_job: ./j.yml}",
            '"Europe/Berlin" is no time zone of Windows',
        ),
        (
            "{name: s, trigger: {type: cron, expression: '0 6 * * 1'}, create_job: {endpoint: fraud-batch}}",
            "batch endpoints cannot be scheduled",
        ),
    ],
)
def test_what_only_azure_refuses_is_listed_on_request(tmp_path: Path, text: str, said: str):
    here = check(tmp_path, text, azure=False)
    assert here.problems == ()
    [problem] = check(tmp_path, text).problems
    assert problem.message.startswith("Azure refuses: ")
    assert said in problem.message


@pytest.mark.parametrize(
    "text",
    [
        MODEL + "settings: {mini_batch_size: 5}}",
        "{name: d, endpoint_name: ep1, model: 'azureml:m:1', mini_batch_size: 5}",
        "{name: e, defaults: {deployment_name: d}}",
        "{name: t, path: ./tx, type: uri_folder}",
        "{name: c, type: amlcompute, max_instances: 4}",
    ],
)
def test_what_azure_takes_is_valid(tmp_path: Path, text: str):
    text = text.replace("name: e,", "name: ep1,")
    assert check(tmp_path, text).problems == ()


def test_the_option_tells_the_kind_of_what_could_be_several(tmp_path: Path):
    assert check(tmp_path, "{name: ep1, auth_mode: aad_token}", kind="batch-endpoint").kind == "managedOnlineEndpoint"
    assert check(tmp_path, "{name: thing}", kind="batch-endpoint").kind == "batchEndpoint"
    assert check(tmp_path, "{name: thing}", kind="compute").kind == "amlCompute"
    assert {"batch", "batch-deployment", "data", "schedule", "component"} <= set(list_kinds())
