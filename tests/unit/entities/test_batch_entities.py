"""Batch endpoints, deployments, data, computes, components and schedules, as documents describe them."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from mlctl.entities import kinds
from mlctl.entities.batch_deployment import normalize, with_settings
from mlctl.entities.kinds import Kind, batch_deployment_class, find_kind, find_other_family, is_complete
from mlctl.entities.parsing import check_document, parse_document
from mlctl.entities.time_zones import WINDOWS_ZONES, find_time_zone_fault, to_iana
from mlctl.entities.yaml_file import load_document

FLAT = """\
name: classic
endpoint_name: Fraud-Batch
model: azureml:fraud-model:3
code_configuration: {code: ./src, scoring_script: score.py}
environment: azureml:fraud-infer:2
compute: azureml:cpu-cluster
resources: {instance_count: 2}
mini_batch_size: 5
max_concurrency_per_instance: 3
output_action: append_row
output_file_name: scores.csv
retry_settings: {max_retries: 1, timeout: 300}
error_threshold: 7
logging_level: debug
environment_variables: {SCALE: 2}
"""
SETTINGS = """\
name: classic
endpoint_name: fraud-batch
type: model
model: azureml:fraud-model:3
code_configuration: {code: ./src, scoring_script: score.py}
environment: azureml:fraud-infer:2
compute: azureml:cpu-cluster
resources: {instance_count: 2}
settings:
  mini_batch_size: 5
  max_concurrency_per_instance: 3
  output_action: append_row
  output_file_name: scores.csv
  retry_settings: {max_retries: 1, timeout: 300}
  error_threshold: 7
  logging_level: debug
  environment_variables: {SCALE: 2}
"""
SMALL = "name: d\nendpoint_name: fraud-batch\n"
PIPELINE = SMALL + "type: pipeline\n"


def normal(text: str) -> dict[str, Any]:
    document = load_document(text, file="d.yml")
    return normalize(parse_document(document, batch_deployment_class(document.data)))


def faults(text: str, kind: Kind | None = None) -> list[str]:
    document = load_document(text, file="d.yml")
    model = kind.model_class if kind is not None else batch_deployment_class(document.data)
    return [f"{problem.line}:{problem.column} {problem.message}" for problem in check_document(document, model)]


def test_both_forms_of_a_deployment_come_to_the_same():
    assert normal(FLAT) == normal(SETTINGS)
    assert normal(FLAT)["resources"] == {"instance_count": 2}
    assert normal(FLAT)["endpoint_name"] == "fraud-batch"
    assert normal(FLAT)["compute"] == "cpu-cluster"


def test_what_is_left_out_is_azures_default():
    assert {
        "mini_batch_size": 10,
        "max_concurrency_per_instance": 1,
        "output_action": "append_row",
        "output_file_name": "predictions.csv",
        "retry_settings": {"max_retries": 3, "timeout": 30},
        "error_threshold": -1,
        "logging_level": "info",
        "resources": {"instance_count": 1},
        "compute": "local",
    }.items() <= normal(SMALL).items()


def test_what_is_kept_can_be_written_in_the_other_form_again():
    document = with_settings(normal(FLAT))
    assert normal(yaml.safe_dump(document)) == normal(FLAT)


def test_variables_may_stand_in_both_places_and_the_inner_ones_win():
    text = SMALL + "type: model\nenvironment_variables: {A: 1, B: 1}\nsettings: {environment_variables: {B: 2}}\n"
    assert normal(text)["environment_variables"] == {"A": 1, "B": 2}


def test_a_threshold_above_the_settings_counts_unless_they_have_one():
    above = SMALL + "type: model\nerror_threshold: 4\n"
    assert normal(above)["error_threshold"] == 4
    assert normal(above + "settings: {error_threshold: 2}\n")["error_threshold"] == 2


@pytest.mark.parametrize(
    "lines", ["instance_count: 3", "resources: {instance_count: 3}", "type: model\nsettings: {instance_count: 3}"]
)
def test_the_number_of_instances_may_stand_in_three_places(lines: str):
    assert normal(f"{SMALL}{lines}\n")["resources"] == {"instance_count": 3}


@pytest.mark.parametrize(
    "lines",
    [
        "instance_count: 3\nresources: {instance_count: 3}",
        "type: model\nresources: {instance_count: 3}\nsettings: {instance_count: 3}",
    ],
)
def test_two_numbers_of_instances_are_refused(lines: str):
    assert ["only one of them is allowed" in fault for fault in faults(f"{SMALL}{lines}\n")] == [True]


def test_a_summary_has_no_output_file():
    assert "output_file_name" not in normal(SMALL + "output_action: summary_only\n")
    [fault] = faults(SMALL + "output_action: summary_only\noutput_file_name: scores.csv\n")
    assert fault.startswith("4:19 output_file_name: stands beside output_action: summary_only")


@pytest.mark.parametrize("sign", list('~"#%&*:<>?/\\{|}'))
def test_signs_that_azure_refuses_in_file_names_are_refused(sign: str):
    [fault] = faults(yaml.safe_dump({"name": "d", "endpoint_name": "fraud-batch", "output_file_name": f"a{sign}b.csv"}))
    assert "which no file name may" in fault


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("mini_batch_size: 0", "mini_batch_size: 0 is less than 1"),
        ("mini_batch_size: '5'", 'mini_batch_size: "5" is not a whole number'),
        ("error_threshold: -2", "error_threshold: -2 is less than -1"),
        ("retry_settings: {timeout: 0}", "retry_settings.timeout: 0 is less than 1"),
        ("retry_settings: {max_retry: 0}", "retry_settings.max_retry: unknown field"),
        ("logging_level: loud", 'logging_level: "loud" is not debug, info or warning'),
        ("output_action: AppendRows", 'output_action: "AppendRows" is not append_row or summary_only'),
        ("compute: a b", 'compute: "a b" names no compute'),
        ("settings: {mini_batch_size: 5}", "settings: unknown field"),
        ("instance_type: Standard_DS3_v2", "instance_type: unknown field"),
    ],
)
def test_a_fault_is_told_with_its_place(line: str, said: str):
    [fault] = faults(f"{SMALL}{line}\n")
    assert said in fault
    assert fault.startswith("3:")


def test_all_faults_are_told_at_once():
    assert len(faults(SMALL + "type: model\nsettings: {mini_batch_size: 0, error_threshold: -5}\nnonsense: 1\n")) == 3


def test_a_setting_in_the_wrong_place_is_told_where_it_belongs():
    document = load_document(SMALL + "type: model\nmini_batch_size: 5\n", file="d.yml")
    [problem] = check_document(document, batch_deployment_class(document.data))
    assert problem.hint == "it belongs under settings"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("mlctl.input: row", '"row" is not files, rows or json'),
        ("mlctl.output_format: xml", '"xml" is not az, csv, jsonl or parquet'),
        ("mlctl.output_header: maybe", '"maybe" is not true or false'),
        ("mlctl.mini_batch_error_threshold: -2", "-2 is not a whole number"),
        ("mlctl.input_key: 3", "3 is not the name of a key"),
        ("mlctl.inptu: rows", "unknown property"),
    ],
)
def test_properties_of_mlctl_are_checked(line: str, said: str):
    [fault] = faults(f"{SMALL}properties:\n  {line}\n")
    assert said in fault
    assert fault.startswith("4:")


def test_properties_of_mlctl_may_be_text_or_not():
    lines = ("mlctl.input: json", "mlctl.input_key: rows", "mlctl.output_format: parquet", "mlctl.output_header: true")
    more = ('mlctl.output_with_input: "False"', 'mlctl.mini_batch_error_threshold: "-1"', "own: 1")
    assert faults(f"{SMALL}properties: {{{', '.join((*lines, *more))}}}\n") == []


def test_a_pipeline_deployment_runs_a_component_or_a_job():
    text = PIPELINE + "component: ./component.yml\nsettings: {default_compute: azureml:cpu, force_rerun: true}\n"
    assert normal(text)["settings"] == {"default_compute": "cpu", "force_rerun": True}
    assert faults(PIPELINE + "job_definition: azureml:train-1\n") == []
    assert ["one of them is needed" in fault for fault in faults(PIPELINE)] == [True]
    both = PIPELINE + "job_definition: azureml:train-1\ncomponent: ./c.yml\n"
    assert ["only one of them is allowed" in fault for fault in faults(both)] == [True]


COMMAND = """\
name: prep
type: command
inputs:
  data: {type: uri_folder}
  scale: {type: number, default: 2.5}
outputs:
  out: {type: uri_folder}
command: python prep.py --data ${{inputs.data}} --scale ${{inputs.scale}} --out ${{outputs.out}}
code: ./src
"""
STEPS = """\
type: pipeline
inputs: {data: {type: uri_folder}}
outputs: {scores: {type: uri_folder}}
jobs:
  prep:
    component: ./prep.yml
    inputs: {data: "${{parent.inputs.data}}", scale: 3}
  score:
    command: python score.py
    inputs: {data: {type: uri_folder, path: "${{parent.jobs.prep.outputs.out}}"}}
"""


def test_components_of_one_command_and_of_steps_are_read():
    assert faults(COMMAND, kinds.COMMAND_COMPONENT) == []
    assert faults(STEPS, kinds.PIPELINE_COMPONENT) == []


@pytest.mark.parametrize(
    ("kind", "text", "said"),
    [
        (kinds.COMMAND_COMPONENT, COMMAND.replace("inputs.data}}", "inputs.daten}}"), "names no input and no output"),
        (kinds.COMMAND_COMPONENT, COMMAND.replace("2.5", "much"), "'much' is no number"),
        (kinds.COMMAND_COMPONENT, COMMAND.replace("uri_folder}\n  scale", "folder}\n  scale"), '"folder" is not'),
        (kinds.COMMAND_COMPONENT, "type: command\n", "command: is missing"),
        (kinds.PIPELINE_COMPONENT, STEPS.replace("parent.inputs.data", "parent.inputs.daten"), "has no input daten"),
        (kinds.PIPELINE_COMPONENT, STEPS.replace("jobs.prep.outputs", "jobs.prepp.outputs"), "has no step prepp"),
        (kinds.PIPELINE_COMPONENT, STEPS.replace("parent.inputs.data", "inputs.data"), "is neither"),
        (kinds.PIPELINE_COMPONENT, "type: pipeline\njobs: {}\n", "jobs: holds no step"),
        (kinds.PIPELINE_COMPONENT, "type: pipeline\njobs: {a: {}}\n", "one of them is needed"),
    ],
)
def test_faults_of_components_are_told(kind: Kind, text: str, said: str):
    [fault] = faults(text, kind)
    assert said in fault


def test_a_component_may_stand_where_its_file_is_named():
    inline = "component:\n" + "".join(f"  {line}\n" for line in COMMAND.splitlines())
    assert faults(PIPELINE + inline) == []
    [fault] = faults(PIPELINE + inline.replace("command: python", "comand: python"))
    assert "component.comand: unknown field" in fault


def test_computes_are_azures_clusters_this_machine_or_a_dask_cluster():
    assert faults("{name: cpu, type: AmlCompute, min_instances: 0, max_instances: 4}", kinds.COMPUTE) == []
    scheduler = "mlctl.dask.scheduler: tcp://127.0.0.1:8786"
    assert faults(f"{{name: dd, type: dask, properties: {{{scheduler}}}}}", kinds.COMPUTE) == []
    assert faults(f"{{name: dd, type: dask, tags: {{{scheduler}}}}}", kinds.COMPUTE) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{name: dd, type: dask}", "mlctl.dask.scheduler is missing"),
        ("{name: dd, tags: {mlctl.dask.scheduler: localhost}}", "is no scheduler's address"),
        ("{name: ci, type: computeinstance}", "cannot be had here, it is a machine of one's own"),
        ("{name: x, type: quantum}", '"quantum" is not local, amlcompute or dask'),
        ("{name: x, min_instances: 3, max_instances: 2}", "2 is less than min_instances, 3"),
    ],
)
def test_faults_of_computes_are_told(text: str, said: str):
    [fault] = faults(text, kinds.COMPUTE)
    assert said in fault


def test_a_batch_endpoint_has_a_default_and_no_traffic():
    assert faults("{name: fraud-batch, defaults: {deployment_name: classic}}", kinds.BATCH_ENDPOINT) == []
    document = load_document("{name: fraud-batch, traffic: {a: 100}, auth_mode: key}", file="e.yml")
    problems = check_document(document, kinds.BATCH_ENDPOINT.model_class)
    assert [problem.message for problem in problems] == ["traffic: unknown field", 'auth_mode: "key" is not aad_token']
    assert "defaults: {deployment_name: NAME}" in problems[0].hint


CRON = "name: nightly\ntrigger: {type: cron, expression: '0 6 * * 1'}\ncreate_job: ./train.yml\n"


@pytest.mark.parametrize(
    "expression", ["* * * * *", "*/15 9-17 * * MON-FRI", "0,30 6 1,15 jan-mar *", "5 4 * * 7", "0-30/10 0 * * *"]
)
def test_cron_expressions_are_read(expression: str):
    assert faults(CRON.replace("0 6 * * 1", expression), kinds.SCHEDULE) == []


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("0 6 * *", "has 4 fields, a cron expression has 5"),
        ("60 6 * * 1", '"60" is no minute (0 to 59)'),
        ("0 24 * * 1", '"24" is no hour'),
        ("0 6 0 * 1", '"0" is no day of the month'),
        ("0 6 * 13 1", '"13" is no month'),
        ("0 6 * * 8", '"8" is no day of the week'),
        ("5-1 6 * * 1", '"5-1" is no minute'),
        ("*/0 6 * * 1", '"*/0" is no minute'),
        ("0 6 * * mo", '"mo" is no day of the week'),
    ],
)
def test_faults_of_cron_expressions_are_told(expression: str, said: str):
    [fault] = faults(CRON.replace("0 6 * * 1", expression), kinds.SCHEDULE)
    assert said in fault


RECURRENCE = """\
name: nightly
trigger:
  type: recurrence
  frequency: week
  interval: 1
  start_time: 2026-03-01T06:00:00
  end_time: "2026-04-01T06:00:00"
  time_zone: Romance Standard Time
  schedule: {hours: [6, 18], minutes: 0, week_days: [monday, Friday]}
create_job: {type: command, job: ./train.yml, inputs: {rate: 0.1}}
"""


def test_recurrences_are_read():
    entity = parse_document(load_document(RECURRENCE, file="s.yml"), kinds.SCHEDULE.model_class)
    pattern = entity.to_document()["trigger"]["schedule"]
    assert pattern == {"hours": [6, 18], "minutes": [0], "week_days": ["monday", "friday"]}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("frequency: week", "frequency: fortnight", 'trigger.frequency: "fortnight" is not'),
        ("interval: 1", "interval: 0", "trigger.interval: 0 is less than 1"),
        ("2026-04-01", "2026-02-01", "is not after start_time"),
        ("2026-03-01T06:00:00", "tomorrow", 'trigger.start_time: "tomorrow" is no date and time'),
        ("Romance Standard Time", "Romantic Standard Time", "is no time zone"),
        ("schedule: {hours", "pattern: {hours", "trigger.pattern: unknown field"),
        ("minutes: 0", "minutes: 60", "60 is more than 59"),
        ("minutes: 0, ", "", "trigger.schedule.minutes: is missing"),
        ("job: ./train.yml", "jbo: ./train.yml", "create_job.jbo: unknown field"),
    ],
)
def test_faults_of_recurrences_are_told(old: str, new: str, said: str):
    [fault] = faults(RECURRENCE.replace(old, new), kinds.SCHEDULE)
    assert said in fault


def test_a_schedule_may_invoke_a_batch_endpoint():
    invocation = "create_job: {endpoint: fraud-batch, inputs: {data: {type: uri_folder, path: ./tx}}}"
    assert faults(CRON.replace("create_job: ./train.yml", invocation), kinds.SCHEDULE) == []


def test_monitors_are_refused_with_the_reason():
    document = load_document(CRON + "create_monitor: {}\n", file="s.yml")
    [problem] = check_document(document, kinds.SCHEDULE.model_class)
    assert "monitors are not there" in problem.hint


def test_time_zones_have_names_of_windows_or_the_iana():
    from zoneinfo import ZoneInfo

    assert to_iana("w. europe standard time") == "Europe/Berlin"
    assert to_iana("Asia/Tokyo") == "Asia/Tokyo"
    assert find_time_zone_fault("Europe/Berlin") is None
    assert find_time_zone_fault("CET!") == ('"CET!" is no time zone', "for example UTC or Europe/Berlin")
    for zone in WINDOWS_ZONES.values():
        assert ZoneInfo(zone).key == zone


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (FLAT, kinds.BATCH_DEPLOYMENT),
        (SETTINGS, kinds.MODEL_BATCH_DEPLOYMENT),
        (PIPELINE + "component: ./c.yml", kinds.PIPELINE_BATCH_DEPLOYMENT),
        ("{name: e, defaults: {deployment_name: d}}", kinds.BATCH_ENDPOINT),
        ("{name: e, auth_mode: aad_token}", kinds.MANAGED_ENDPOINT),
        ("{$schema: x/batchEndpoint.schema.json, name: e, auth_mode: aad_token}", kinds.BATCH_ENDPOINT),
        ("{name: d, path: ./x, type: uri_file}", kinds.DATA),
        ("{name: c, type: amlcompute}", kinds.COMPUTE),
        (CRON, kinds.SCHEDULE),
        (COMMAND, kinds.COMMAND_COMPONENT),
        (STEPS, kinds.PIPELINE_COMPONENT),
    ],
)
def test_the_kind_of_a_document_is_found(text: str, kind: Kind):
    assert find_kind(yaml.safe_load(text)) is kind


@pytest.mark.parametrize(
    ("text", "family", "other"),
    [
        (FLAT, "deployment", "batch-deployment"),
        (SETTINGS, "batch-endpoint", "batch-deployment"),
        ("{name: e, auth_mode: aad_token, defaults: {}}", "endpoint", "batch-endpoint"),
        ("{name: e, auth_mode: aad_token, traffic: {}}", "batch-endpoint", "endpoint"),
        ("{name: e, auth_mode: aad_token}", "batch-endpoint", None),
        (SMALL + "mini_batch_sizes: 5", "batch-deployment", None),
        ("{name: m, path: ./x}", "data", None),
    ],
)
def test_a_document_for_another_command_is_recognized(text: str, family: Any, other: str | None):
    assert find_other_family(yaml.safe_load(text), family) == other


def test_a_batch_deployment_is_whole_when_it_says_what_to_run():
    assert is_complete(yaml.safe_load(FLAT), kinds.BATCH_DEPLOYMENT)
    assert not is_complete({"name": "d", "endpoint_name": "e", "mini_batch_size": 5}, kinds.BATCH_DEPLOYMENT)
