"""Batch endpoints, batch deployments, data and computes, by the command line; jobs of them in real processes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlctl.ops.batch_deployments import load
from mlctl.ops.session import Session
from mlctl.registry.store import Store
from mlctl.runtimes.mounts import make_links
from mlctl.settings import load_settings
from tests.acceptance.conftest import Machine
from tests.waiting import wait_until

NAMES = """
import os

def init():
    global MODEL
    folder = os.environ.get("AZUREML_MODEL_DIR")
    MODEL = open(os.path.join(folder, "model.txt")).read() if folder else "no model"

def run(paths):
    return [f"{os.path.basename(path)} {MODEL} {os.environ.get('SCALE', '')}" for path in paths]
"""
# Says that it runs, and goes on when it is told to.
WAITING = """
import os, pathlib, time

def init():
    pass

def run(paths):
    folder = pathlib.Path(os.environ["FOLDER"])
    (folder / "running").touch()
    while not (folder / "go").exists():
        time.sleep(0.01)
    return [os.path.basename(path) for path in paths]
"""
TARGET = ("-e", "fraud-batch")


def write(machine: Machine, name: str = "classic", **extra: Any) -> str:
    document = {
        "name": name,
        "endpoint_name": "fraud-batch",
        "code_configuration": {"code": "./src", "scoring_script": "score.py"},
        "environment": {"image": "python:3.11"},
        **extra,
    }
    path = machine.work / f"{name}.yml"
    path.write_text(json.dumps({key: value for key, value in document.items() if value is not None}))
    return str(path)


@pytest.fixture
def batch(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with a batch endpoint, a script, a model and some files."""
    monkeypatch.chdir(machine.work)
    machine.write_script(NAMES)
    (machine.work / "model.txt").write_text("model 1")
    for name in ("a", "b", "c"):
        (machine.work / "tx").mkdir(exist_ok=True)
        (machine.work / "tx" / f"{name}.csv").write_text(name)
    machine.ok("model", "create", "-n", "fraud-model", "-v", "1", "-p", "model.txt")
    machine.ok("batch-endpoint", "create", "--name", "fraud-batch")
    return machine


def scores(machine: Machine, job: str) -> list[str]:
    return (machine.home / "jobs" / job / "score" / "predictions.csv").read_text().splitlines()


def test_a_registered_table_is_scored_as_in_azure(batch: Machine):
    batch.ok("batch-deployment", "create", "-f", write(batch, model="azureml:fraud-model:1"), "--set-default")
    batch.ok("data", "create", "-n", "transactions-nov", "-v", "1", "-p", "./tx")
    flags = ("--input", "azureml:transactions-nov:1", "--mini-batch-size", "100", "--instance-count", "5", "--stream")
    job = batch.ok("batch-endpoint", "invoke", "--name", "fraud-batch", *flags).json
    assert {"id", "name", "type", "status", "resourceGroup"} == job.keys()
    assert job["status"] == "Completed"
    assert scores(batch, job["name"]) == ["a.csv model 1 ", "b.csv model 1 ", "c.csv model 1 "]
    assert batch.ok("batch-deployment", "list-jobs", "-n", "classic", *TARGET, "--query", "[].name").json == [
        job["name"]
    ]


def test_an_endpoint_is_shown_in_azs_shape(batch: Machine):
    shown = batch.ok("batch-endpoint", "show", "-n", "Fraud-Batch").json
    assert {
        *("id", "name", "tags", "provisioning_state", "properties", "auth_mode", "scoring_uri"),
        *("location", "defaults", "resourceGroup"),
    } == shown.keys()
    assert (shown["auth_mode"], shown["defaults"]) == ("aad_token", {})
    assert shown["scoring_uri"].endswith("/fraud-batch/jobs")
    [row] = batch.ok("batch-endpoint", "list").json
    assert {"id", "name", "deployment_name", "location", "provisioning_state", "scoring_uri", "auth_mode"} < row.keys()


def test_the_default_is_set_in_all_of_azs_ways(batch: Machine):
    batch.ok("batch-deployment", "create", "-f", write(batch, "one"))
    batch.ok("batch-deployment", "create", "-f", write(batch, "two"), "--set-default")
    query = ("--query", "defaults.deployment_name", "-o", "tsv")
    name = ("-n", "fraud-batch")
    assert batch.ok("batch-endpoint", "show", *name, *query).out == "two\n"
    assert batch.ok("batch-endpoint", "update", *name, "--set", "defaults.deployment_name=one", *query).out == "one\n"
    assert batch.ok("batch-endpoint", "update", *name, "--defaults", "deployment_name=two", *query).out == "two\n"
    wrong = batch.run("batch-endpoint", "update", *name, "--defaults", "deployment_name=tow")
    assert (wrong.code, "did you mean two?" in wrong.err) == (3, True)
    assert batch.ok("batch-endpoint", "list").json[0]["deployment_name"] == "two"


def test_creating_an_endpoint_again_overwrites_it_and_keeps_its_deployments(batch: Machine):
    batch.ok("batch-deployment", "create", "-f", write(batch), "--set-default")
    again = batch.ok("batch-endpoint", "create", "-n", "fraud-batch", "--set", "tags.team=risk")
    assert (again.json["tags"], again.json["defaults"]) == ({"team": "risk"}, {})
    assert "its default deployment classic is none any more" in again.err
    assert len(batch.ok("batch-deployment", "list", *TARGET).json) == 1


def test_a_deployment_is_shown_flat_whatever_its_form(batch: Machine):
    settings = {"mini_batch_size": 7, "retry_settings": {"max_retries": 1}, "output_file_name": "s.csv"}
    file = write(batch, type="model", compute="azureml:cpu", settings=settings, model="azureml:fraud-model:1")
    created = batch.ok("batch-deployment", "create", "-f", file).json
    shown = batch.ok("batch-deployment", "show", "-n", "CLASSIC", *TARGET).json
    assert shown == created
    assert {
        *("name", "endpoint_name", "id", "tags", "properties", "model", "code_configuration", "environment"),
        *("environment_variables", "compute", "error_threshold", "retry_settings", "mini_batch_size"),
        *("logging_level", "output_action", "output_file_name", "max_concurrency_per_instance", "resources"),
        *("provisioning_state", "creation_context", "resourceGroup"),
    } == shown.keys()
    assert (shown["mini_batch_size"], shown["retry_settings"]) == (7, {"max_retries": 1, "timeout": 30})
    assert shown["model"].endswith("/models/fraud-model/versions/1")
    assert shown["compute"].endswith("/computes/cpu")
    [row] = batch.ok("batch-deployment", "list", *TARGET).json
    expected = {"id", "name", "model", "code", "environment", "compute", "tags", "creation_context"}
    assert {*expected, "provisioning_state", "resourceGroup"} == row.keys()


def test_what_is_shown_can_be_given_back(batch: Machine):
    batch.ok("batch-deployment", "create", "-f", write(batch, model="azureml:fraud-model:1", compute="azureml:cpu"))
    shown = batch.ok("batch-deployment", "show", "-n", "classic", *TARGET).out
    (batch.work / "shown.yml").write_text(shown)
    again = batch.ok("batch-deployment", "create", "-f", "shown.yml").json
    changing = {"creation_context"}
    before = json.loads(shown)
    assert {key: value for key, value in again.items() if key not in changing} == {
        key: value for key, value in before.items() if key not in changing
    }


def test_nothing_is_stored_of_a_deployment_that_is_refused(batch: Machine):
    file = write(
        batch,
        endpoint_name="fraud-bach",
        model="azureml:other:1",
        code_configuration={"code": "./src", "scoring_script": "scor.py"},
        mini_batch_size=0,
    )
    refused = batch.run("batch-deployment", "create", "-f", file)
    assert refused.code == 1
    for said in (
        "4 problems, nothing was changed",
        "did you mean fraud-batch?",
        "there is no model azureml:other:1",
        "there is no scor.py in",
        "mini_batch_size: 0 is less than 1",
    ):
        assert said in refused.err
    assert batch.ok("batch-deployment", "list", *TARGET).json == []
    assert [copy["name"] for copy in batch.ok("artifacts", "list").json] == ["model.txt"]


def test_a_script_that_is_no_python_is_refused_unless_told_otherwise(batch: Machine):
    (batch.work / "src" / "score.py").write_text("def run(:\n")
    refused = batch.run("batch-deployment", "create", "-f", write(batch))
    assert (refused.code, "scoring_script is not Python" in refused.err) == (1, True)
    batch.ok("batch-deployment", "create", "-f", write(batch), "--skip-script-validation")


def test_a_deployment_without_a_script_is_refused_when_nothing_serves_its_model(batch: Machine):
    refused = batch.run(
        "batch-deployment", "create", "-f", write(batch, model="azureml:fraud-model:1", code_configuration=None)
    )
    assert (refused.code, "the model holds: model.txt" in refused.err) == (1, True)
    neither = batch.run("batch-deployment", "create", "-f", write(batch, code_configuration=None))
    assert (neither.code, "neither code_configuration nor model" in neither.err) == (1, True)


def test_a_missing_endpoint_ends_with_three_and_the_next_command(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(machine.work)
    machine.write_script(NAMES)
    missing = machine.run("batch-deployment", "create", "-f", write(machine))
    assert (missing.code, "mlctl batch create -n fraud-batch" in missing.err) == (3, True)
    assert machine.run("batch-endpoint", "show", "-n", "fraud-batch").code == 3
    assert machine.run("batch-deployment", "show", "-n", "classic", *TARGET).code == 3


@pytest.mark.parametrize("noun", ["batch-endpoint", "batch-deployment", "compute"])
def test_deleting_what_is_not_there_is_no_error(batch: Machine, noun: str):
    owner = TARGET if noun == "batch-deployment" else ()
    gone = batch.ok(noun, "delete", "-n", "nope", *owner, "--yes")
    assert (gone.out, "nothing to delete" in gone.err) == ("", True)


@pytest.mark.parametrize("noun", ["batch-endpoint", "batch-deployment", "compute"])
def test_deleting_asks_and_does_not_hang_without_a_terminal(batch: Machine, noun: str):
    owner = TARGET if noun == "batch-deployment" else ()
    refused = batch.run(noun, "delete", "-n", "nope", *owner)
    assert (refused.code, "add --yes" in refused.err) == (1, True)


def test_settings_are_updated_by_either_name(batch: Machine):
    batch.ok("batch-deployment", "create", "-f", write(batch))
    name = ("-n", "classic", *TARGET)
    changed = batch.ok("batch-deployment", "update", *name, "--set", "settings.mini_batch_size=7", "tags.a=b").json
    changed = batch.ok("batch-deployment", "update", *name, "--set", "retry_settings.timeout=9").json
    assert (changed["mini_batch_size"], changed["retry_settings"]["timeout"], changed["tags"]) == (7, 9, {"a": "b"})
    removed = batch.ok("batch-deployment", "update", *name, "--remove", "tags.a").json
    assert removed["tags"] == {}
    wrong = batch.run("batch-deployment", "update", *name, "--set", "mini_batch_size=0")
    assert (wrong.code, "0 is less than 1" in wrong.err) == (1, True)


def test_a_partial_file_is_merged_and_a_whole_one_replaces(batch: Machine):
    batch.ok("batch-deployment", "create", "-f", write(batch, mini_batch_size=3, error_threshold=2))
    part = batch.work / "part.yml"
    part.write_text("{name: classic, endpoint_name: fraud-batch, type: model, settings: {error_threshold: 5}}")
    merged = batch.ok("batch-deployment", "update", "-f", str(part))
    assert (merged.json["mini_batch_size"], merged.json["error_threshold"]) == (3, 5)
    assert "its fields were merged into classic" in merged.err
    whole = batch.ok("batch-deployment", "update", "-f", write(batch, error_threshold=8)).json
    assert (whole["mini_batch_size"], whole["error_threshold"]) == (10, 8)


def test_new_code_takes_effect_when_a_file_brings_it(batch: Machine):
    batch.ok("batch-deployment", "create", "-f", write(batch))
    batch.write_script(NAMES + "\nCHANGED = True\n")
    before = batch.ok("batch-deployment", "show", "-n", "classic", *TARGET).json["code_configuration"]["code"]
    kept = batch.ok("batch-deployment", "update", "-n", "classic", *TARGET, "--set", "mini_batch_size=2").json
    assert kept["code_configuration"]["code"] == before
    renewed = batch.ok("batch-deployment", "update", "-f", write(batch)).json
    assert renewed["code_configuration"]["code"] != before


def test_jobs_go_on_when_endpoint_and_deployment_are_deleted(batch: Machine):
    batch.write_script(WAITING)
    variables = {"FOLDER": str(batch.work)}
    batch.ok("batch-deployment", "create", "-f", write(batch, environment_variables=variables), "--set-default")
    job = batch.ok("batch-endpoint", "invoke", "-n", "fraud-batch", "--input", "./tx").json["name"]
    wait_until((batch.work / "running").exists, what="the job to run")
    deleted = batch.ok("batch-endpoint", "delete", "-n", "fraud-batch", "--yes")
    assert (deleted.out, f"{job}: it is not ended" in deleted.err) == ("", True)
    pruned = batch.ok("artifacts", "prune", "--yes", "--older-than", "0").json
    assert [copy["name"] for copy in pruned["removed"]] == []
    (batch.work / "go").touch()
    batch.ok("job", "stream", "-n", job)
    assert scores(batch, job) == ["a.csv", "b.csv", "c.csv"]


def test_an_invocations_file_names_deployment_input_and_output(batch: Machine):
    batch.ok("batch-deployment", "create", "-f", write(batch), "--set-default")
    batch.ok("batch-deployment", "create", "-f", write(batch, "other", environment_variables={"SCALE": "7"}))
    file = batch.work / "inputs.yml"
    file.write_text(
        "deployment: other\ninputs:\n  tx: {type: uri_folder, path: ./tx}\noutputs:\n  score: {path: ./scores}\n"
    )
    invoke = ("batch-endpoint", "invoke", "-n", "fraud-batch", "-f", "inputs.yml", "--stream")
    batch.ok(*invoke, "--input", "./nowhere")
    assert (batch.work / "scores" / "predictions.csv").read_text().startswith("a.csv no model 7\n")
    job = batch.ok(*invoke, "-d", "classic", "--output-path", "x", "--set", "outputs.score.path=./scores2").json["name"]
    assert (batch.work / "scores2" / "predictions.csv").read_text().startswith("a.csv no model \n")
    assert batch.ok("job", "show", job).json["properties"]["azureml.deploymentname"] == "classic"
    file.write_text("deployment: other\ninput: {}\n")
    refused = batch.run(*invoke)
    assert (refused.code, "inputs.yml:2:1" in refused.err, "input: unknown field" in refused.err) == (1, True, True)
    for flag in ("--inputs", "--outputs"):
        assert "no form of it works in a shell" in batch.run(*invoke, flag, "{}").err


def test_a_finished_job_goes_on_without_its_deployment(batch: Machine):
    model = {"model": "azureml:fraud-model:1"}
    batch.ok("batch-deployment", "create", "-f", write(batch, **model), "--set-default")
    flags = ("--input", "./tx", "--mini-batch-size", "1", "--job-name", "november", "--stream")
    batch.ok("batch-endpoint", "invoke", "-n", "fraud-batch", *flags)
    batch.write_script("def run(paths): raise ValueError('the new script')\n")
    batch.ok("batch-deployment", "update", "-f", write(batch))
    batch.ok("batch-deployment", "delete", "-n", "classic", *TARGET, "-y")
    batch.ok("batch-endpoint", "delete", "-n", "fraud-batch", "-y")
    batch.ok("artifacts", "prune", "--yes", "--older-than", "0")
    (batch.work / "tx" / "b.csv").write_text("another b")
    refused = batch.run("batch", "resume", "-n", "november")
    assert (refused.code, "mlctl batch resume -n november --changed" in refused.err) == (1, True)
    batch.ok("batch", "resume", "-n", "november", "--changed", "--stream")
    assert scores(batch, "november") == [f"{name}.csv model 1 " for name in "abc"]
    kept = {use["name"] for use in batch.ok("artifacts", "list").json if "job november" in use["used_by"]}
    assert kept == {"src", "model.txt"}


def test_deleting_the_default_deployment_leaves_none(batch: Machine):
    batch.ok("batch-deployment", "create", "-f", write(batch), "--set-default")
    deleted = batch.ok("batch-deployment", "delete", "-n", "classic", *TARGET, "-y")
    assert "fraud-batch has no default deployment any more" in deleted.err
    assert batch.ok("batch-endpoint", "show", "-n", "fraud-batch").json["defaults"] == {}
    lost = batch.run("batch-endpoint", "invoke", "-n", "fraud-batch", "--input", "./tx")
    assert (lost.code, "No valid deployments to route to" in lost.err) == (1, True)


def test_a_batch_endpoint_and_an_online_one_may_share_a_name(batch: Machine):
    batch.ok("batch-deployment", "create", "-f", write(batch), "--set-default")
    batch.ok("endpoint", "create", "-n", "fraud-batch")
    batch.ok("endpoint", "delete", "-n", "fraud-batch", "--yes")
    job = batch.ok("batch-endpoint", "invoke", "-n", "fraud-batch", "--input", "./tx", "--stream").json
    assert job["status"] == "Completed"
    strays = [finding for finding in batch.ok("doctor").json if finding["name"] == "leftovers"]
    assert "folder of no deployment" not in json.dumps(strays)


def test_load_tells_what_an_invocation_runs(batch: Machine):
    variables = {"SCALE": 2, "DEBUG": True, "EMPTY": None}
    batch.ok("compute", "create", "-n", "dd", "--type", "dask", "--tags", "mlctl.dask.scheduler=tcp://127.0.0.1:8786")
    file = write(batch, model="azureml:fraud-model:1", compute="azureml:dd", environment_variables=variables)
    batch.ok("batch-deployment", "create", "-f", file, "--set-default")
    session = Session(load_settings({"MLCTL_HOME": str(batch.home)}))
    try:
        found = load(session, "Fraud-Batch", None)
    finally:
        session.close()
    assert (found.endpoint, found.name, found.plan["entry_script"]) == ("fraud-batch", "classic", "score.py")
    mount = make_links(batch.work / "mount", batch.home / "artifacts", found.plan)
    assert (mount.app_root / "score.py").read_text() == NAMES
    assert mount.model_dir is not None
    assert (mount.model_dir / "model.txt").read_text() == "model 1"
    assert found.environment_variables == {"SCALE": "2", "DEBUG": "true", "EMPTY": ""}
    assert found.cluster == "tcp://127.0.0.1:8786"
    assert Path(found.plan["python"]).exists()


PREP = """\
name: prep
type: command
inputs: {data: {type: uri_folder}, rate: {type: number, default: 0.5}}
outputs: {out: {type: uri_folder}}
command: python score.py --data ${{inputs.data}} --rate ${{inputs.rate}} --out ${{outputs.out}}
code: ./src
environment: {image: "python:3.11"}
"""
STEPS = """\
type: pipeline
inputs: {data: {type: uri_folder}}
jobs:
  first: {component: ./prep.yml, inputs: {data: "${{parent.inputs.data}}", rate: 0.1}}
"""


def write_pipeline(machine: Machine, component: str, **extra: Any) -> str:
    (machine.work / "prep.yml").write_text(PREP)
    (machine.work / "steps.yml").write_text(STEPS)
    settings = {"default_compute": "azureml:cpu", "force_rerun": True}
    document = {"type": "pipeline", "component": component, "settings": settings, **extra}
    return write(machine, "piped", code_configuration=None, environment=None, **document)


@pytest.mark.parametrize("component", ["./prep.yml", "./steps.yml", "file:./prep.yml"])
def test_a_pipeline_deployment_keeps_its_component(batch: Machine, component: str):
    file = write_pipeline(batch, component)
    shown = batch.ok("batch-deployment", "create", "-f", file, "--set-default").json
    assert (shown["type"], shown["settings"]) == ("pipeline", {"default_compute": "cpu", "force_rerun": True})
    assert "/components/azureml_anonymous/versions/" in shown["component"]
    with Store(batch.home / "registry.db") as store:
        row = store.row("SELECT plan FROM batch_deployments")
        assert row is not None
        assert "azureml:/codes/" in row["plan"]
    pruned = batch.ok("artifacts", "prune", "--yes", "--older-than", "0").json
    assert pruned["removed"] == []
    changed = batch.ok("batch-deployment", "update", "-n", "piped", *TARGET, "--set", "settings.force_rerun=false").json
    assert (changed["settings"]["force_rerun"], changed["component"]) == (False, shown["component"])


@pytest.mark.parametrize(
    ("component", "old", "new", "said"),
    [
        ("./gone.yml", "", "", "component: "),
        ("azureml:prep:1", "", "", "there is no component azureml:prep:1"),
        ("./steps.yml", "rate: 0.1", "ratte: 0.1", "its component has no input ratte"),
        ("./steps.yml", 'data: "${{parent.inputs.data}}", ', "", "data is missing, its component needs it"),
        ("./steps.yml", "./prep.yml", "./prepp.yml", "prepp.yml does not exist"),
    ],
)
def test_a_component_that_cannot_be_used_is_refused(batch: Machine, component: str, old: str, new: str, said: str):
    file = write_pipeline(batch, component)
    (batch.work / "steps.yml").write_text(STEPS.replace(old, new))
    refused = batch.run("batch-deployment", "create", "-f", file)
    assert refused.code in (1, 3)
    assert said in refused.err
    assert batch.ok("batch-deployment", "list", *TARGET).json == []


def test_data_has_versions_archive_and_update(batch: Machine):
    first = batch.ok("data", "create", "-n", "tx", "-p", "./tx", "-d", "first").json
    assert {
        *("id", "name", "version", "type", "path", "description", "tags", "properties", "creation_context"),
        "resourceGroup",
    } == first.keys()
    assert first["id"].endswith("/data/tx/versions/1")
    assert not first["id"].startswith("azureml:")
    second = batch.ok("data", "create", "-n", "tx", "-p", "./tx/a.csv", "-t", "uri_file").json
    assert (second["version"], second["path"]) == ("2", str(batch.work / "tx" / "a.csv"))
    assert [row["version"] for row in batch.ok("data", "list", "-n", "tx").json] == ["2", "1"]
    assert batch.ok("data", "list").json[0]["latest_version"] == "2"
    batch.ok("data", "archive", "-n", "tx", "-v", "2")
    assert batch.ok("data", "show", "-n", "tx", "-l", "latest").json["version"] == "1"
    batch.ok("data", "restore", "-n", "tx", "-v", "2")
    updated = batch.ok("data", "update", "-n", "tx", "-v", "2", "--set", "tags.month=nov", "description=d").json
    assert (updated["tags"], updated["description"]) == ({"month": "nov"}, "d")
    fixed = batch.run("data", "update", "-n", "tx", "-v", "2", "--set", "path=./other")
    assert (fixed.code, "path cannot change" in fixed.err) == (1, True)
    assert batch.run("data", "show", "-n", "tx", "-v", "9").code == 3


def test_a_version_of_data_is_fixed(batch: Machine):
    batch.ok("data", "create", "-n", "tx", "-v", "1", "-p", "./tx")
    assert batch.ok("data", "create", "-n", "tx", "-v", "1", "-p", "./tx").json["version"] == "1"
    (batch.work / "tx" / "d.csv").write_text("d")
    changed = batch.run("data", "create", "-n", "tx", "-v", "1", "-p", "./tx")
    assert (changed.code, "never changes" in changed.err) == (1, True)


def test_data_is_described_by_a_file(batch: Machine):
    schema = "https://azuremlschemas.azureedge.net/latest/data.schema.json"
    file = batch.work / "data.yml"
    file.write_text(f"$schema: {schema}\nname: tx\nversion: 2025\npath: tx\ntype: uri_folder\ntags: {{a: b}}\n")
    made = batch.ok("data", "create", "-f", str(file), "--set", "description=d").json
    assert (made["version"], made["path"], made["description"]) == ("2025", str(batch.work / "tx"), "d")
    wrong = batch.run("data", "create", "-n", "tx", "-p", "./tx", "-t", "parquet")
    assert (wrong.code, "invalid choice" in wrong.err) == (2, True)
    mistaken = batch.run("data", "create", "-n", "tx", "-p", "./tx/a.csv")
    assert (mistaken.code, "give --type uri_file" in mistaken.err) == (1, True)


def test_scripts_that_test_for_a_compute_and_create_it_run(batch: Machine):
    assert batch.run("compute", "show", "-n", "batch-cluster").code == 3
    flags = ("-n", "batch-cluster", "--type", "AmlCompute", "--min-instances", "0", "--max-instances", "5")
    first = batch.ok("compute", "create", *flags)
    assert "jobs on it run as worker processes of this machine" in first.err
    assert (first.json["type"], first.json["max_instances"]) == ("amlcompute", 5)
    again = batch.ok("compute", "create", *flags, "--size", "STANDARD_DS3_V2", "-o", "none")
    assert (again.out, again.err) == ("", "")
    assert batch.ok("compute", "show", "-n", "Batch-Cluster", "--query", "size", "-o", "tsv").out == "STANDARD_DS3_V2\n"
    assert [row["name"] for row in batch.ok("compute", "list").json] == ["local", "batch-cluster"]
    assert [row["name"] for row in batch.ok("compute", "list", "-t", "amlcompute").json] == ["batch-cluster"]
    batch.ok("compute", "delete", "-n", "batch-cluster", "-y")
    assert batch.run("compute", "show", "-n", "batch-cluster").code == 3


def test_this_machine_is_always_a_compute(batch: Machine):
    assert batch.ok("compute", "show", "-n", "local").json["type"] == "local"
    refused = batch.run("compute", "delete", "-n", "local", "--yes")
    assert (refused.code, "cannot be deleted" in refused.err) == (1, True)
    taken = batch.run("compute", "create", "-n", "Local", "--type", "amlcompute")
    assert (taken.code, "choose another name" in taken.err) == (1, True)


def test_a_compute_that_is_not_there_is_told_and_this_machine_taken(batch: Machine):
    batch.ok("compute", "create", "-n", "cpu-cluster", "-o", "none")
    made = batch.ok("batch-deployment", "create", "-f", write(batch, compute="azureml:cpu-clutser"))
    assert "there is no compute cpu-clutser here (did you mean cpu-cluster?)" in made.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("data", "mount", "--path", "azureml:tx:1"), "can be read where they are"),
        (("data", "import", "-f", "x.yml"), "there are no connections to databases here"),
        (("compute", "create", "-n", "ci", "--type", "computeinstance"), "cannot be had here"),
        (("data", "create", "-n", "tx", "-p", "https://host/x.csv", "-t", "uri_file"), "is not on this machine"),
    ],
)
def test_what_cannot_be_local_is_refused_with_the_reason(batch: Machine, words: tuple[str, ...], said: str):
    refused = batch.run(*words)
    assert (refused.code, refused.out, said in refused.err) == (1, "", True)


@pytest.mark.parametrize("noun", ["endpoint", "batch-endpoint"])
def test_a_file_for_another_command_is_named_with_that_command(batch: Machine, noun: str):
    refused = batch.run(noun, "create", "-f", write(batch, mini_batch_size=5))
    assert (refused.code, "mlctl batch-deployment create -f" in refused.err) == (1, True)


def test_no_wait_prints_nothing(batch: Machine):
    assert batch.ok("batch-deployment", "create", "-f", write(batch), "--no-wait").out == ""
    assert batch.ok("batch-endpoint", "update", "-n", "fraud-batch", "--set", "tags.a=b", "--no-wait").out == ""
    assert batch.ok("data", "create", "-n", "tx", "-p", "./tx", "--no-wait").out == ""


def test_files_may_come_through_a_pipe(batch: Machine, tmp_path: Path):
    import os
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=lambda: pipe.write_text("{name: cpu, type: amlcompute, max_instances: 2}"))
    writer.start()
    try:
        assert batch.ok("compute", "create", "-f", str(pipe)).json["max_instances"] == 2
    finally:
        writer.join()
