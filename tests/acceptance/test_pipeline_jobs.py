"""Pipeline jobs: steps that hand files to each other, as jobs of a file and as a batch deployment's invocations."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlctl.batch.launch import find_folder, is_coordinated
from mlctl.registry import jobs
from mlctl.registry.store import Store
from mlctl.runtimes.processes import read_start_ticks
from tests.acceptance.conftest import Machine, Ran
from tests.waiting import wait_until

PREP = """
name: prep
type: command
inputs:
  data: {type: uri_folder}
  rate: {type: number, default: 0.5, min: 0, max: 1}
  note: {type: string, optional: true}
outputs:
  out: {type: uri_folder}
code: ./src
command: >-
  cat ${{inputs.data}}/*.csv > ${{outputs.out}}/rows.txt; echo rate ${{inputs.rate}} $[[note ${{inputs.note}}]]
"""
TRAIN: dict[str, Any] = {
    "command": "wc -l < ${{inputs.rows}}/rows.txt | tr -d ' ' > ${{outputs.model}}/n.txt; cat ${{outputs.model}}/n.txt",
    "inputs": {"rows": {"type": "uri_folder"}},
    "outputs": {"model": {"type": "custom_model"}},
}
# The step that needs the other's output stands first.
STEPS: dict[str, Any] = {
    "train": {
        "type": "command",
        "component": TRAIN,
        "inputs": {"rows": "${{parent.jobs.prep.outputs.out}}"},
        "outputs": {"model": {"mode": "upload", "path": "${{parent.outputs.model}}"}},
    },
    "prep": {
        "type": "command",
        "component": "./prep.yml",
        "inputs": {"data": "${{parent.inputs.data}}", "rate": "${{parent.inputs.rate}}"},
        "outputs": {"out": None},
    },
}
PIPELINE: dict[str, Any] = {
    "type": "pipeline",
    "inputs": {"data": {"type": "uri_folder"}, "rate": {"type": "number", "default": 0.25}},
    "outputs": {"model": {"type": "custom_model"}},
    "jobs": STEPS,
}
JOB: dict[str, Any] = {
    "type": "pipeline",
    "inputs": {"data": {"type": "uri_folder", "path": "./rows"}, "rate": 0.25},
    "outputs": {"model": {"type": "custom_model"}},
    "jobs": STEPS,
}
MODEL = "named-outputs/model/n.txt"


@pytest.fixture
def work(machine: Machine) -> Iterator[Machine]:
    """A machine with the files of two steps, in whose folder commands run."""
    (machine.work / "src").mkdir()
    (machine.work / "src" / "helper.py").write_text("")
    (machine.work / "rows").mkdir()
    (machine.work / "rows" / "a.csv").write_text("1\n2\n3\n")
    (machine.work / "prep.yml").write_text(PREP)
    before = Path.cwd()
    os.chdir(machine.work)
    yield machine
    os.chdir(before)


def write(machine: Machine, document: dict[str, Any], name: str = "job.yml", **changes: Any) -> str:
    path = machine.work / name
    path.write_text(yaml.safe_dump({**document, **changes}))
    return str(path)


def commands(**lines: str) -> dict[str, Any]:
    """Return a job of commands that need nothing of each other."""
    steps: dict[str, Any] = {name: {"command": line} for name, line in lines.items()}
    return {"type": "pipeline", "jobs": steps}


def create(machine: Machine, document: dict[str, Any], *flags: str, **changes: Any) -> Ran:
    return machine.run("job", "create", "-f", write(machine, document, **changes), *flags)


def deploy(machine: Machine, component: dict[str, Any] = PIPELINE, **settings: Any) -> None:
    write(machine, component, "pipe.yml")
    document = {"name": "dpl", "endpoint_name": "pipes", "type": "pipeline", "component": "./pipe.yml"}
    machine.ok("batch", "create", "-n", "pipes")
    path = write(machine, document, "deployment.yml", settings=settings)
    machine.ok("batch-deployment", "create", "-f", path, "--set-default")


def invoke(machine: Machine, *flags: str) -> Ran:
    return machine.run("batch", "invoke", "-n", "pipes", *flags)


def read_log(machine: Machine, step: str) -> str:
    return (find_folder(machine.home, step).path / "user_logs" / "std_log.txt").read_text()


def states(machine: Machine, job: str) -> dict[str, str]:
    return {name: step["status"] for name, step in machine.ok("job", "show", job).json["jobs"].items()}


def last_job(machine: Machine) -> str:
    return machine.ok("job", "list").json[0]["name"]


def test_steps_run_in_the_order_in_which_they_need_each_other(work: Machine, tmp_path: Path) -> None:
    ran = create(work, JOB, "--stream", "--name", "train-1")
    assert ran.code == 0, ran.err
    assert "[prep] rate 0.25\n" in ran.out
    assert ran.out.index("[prep] Completed") < ran.out.index("[train] Completed")
    shown = work.ok("job", "show", "train-1").json
    assert (shown["type"], shown["status"], list(shown["jobs"])) == ("pipeline", "Completed", ["prep", "train"])
    assert shown["inputs"]["data"] == {"type": "uri_folder", "mode": "ro_mount", "path": str(work.work / "rows")}
    work.ok("job", "download", "-n", "train-1", "--output-name", "model", "-p", str(tmp_path))
    assert (tmp_path / MODEL).read_text() == "3\n"


def test_a_step_is_a_job_of_its_own(work: Machine, tmp_path: Path) -> None:
    create(work, JOB, "--stream", "--name", "train-1")
    steps = work.ok("job", "list", "--parent-job-name", "train-1").json
    assert [(step["name"], step["type"]) for step in steps] == [
        ("train-1.prep", "command"),
        ("train-1.train", "command"),
    ]
    assert [job["name"] for job in work.ok("job", "list").json] == ["train-1"]
    assert work.ok("job", "show", "train-1.prep").json["parent_job_name"] == "train-1"
    assert "rate 0.25\n" in work.ok("job", "stream", "train-1.prep").out
    work.ok("job", "download", "-n", "train-1.prep", "--all", "-p", str(tmp_path))
    assert (tmp_path / "named-outputs/out/rows.txt").read_text() == "1\n2\n3\n"
    refused = work.run("job", "cancel", "train-1.prep")
    assert (refused.code, "it is canceled with its job" in refused.err) == (1, True)


def test_a_job_may_run_a_component_that_its_file_names(work: Machine) -> None:
    write(work, PIPELINE, "pipe.yml")
    document = {"type": "pipeline", "component": "pipe.yml", "inputs": {"data": {"type": "uri_folder"}, "rate": 1}}
    missing = create(work, document)
    assert (missing.code, "input data (uri_folder) is missing" in missing.err) == (1, True)
    ran = create(work, document, "--stream", "--set", "inputs.data.path=rows", outputs={"model": {"mode": "upload"}})
    assert (ran.code, "[prep] rate 1\n" in ran.out) == (0, True)


def test_the_shell_does_not_take_an_input_apart(work: Machine) -> None:
    document = {
        "type": "pipeline",
        "inputs": {"text": "a b; echo $HOME '"},
        "jobs": {"say": {"command": "echo ${{inputs.text}}", "inputs": {"text": "${{parent.inputs.text}}"}}},
    }
    assert "[say] a b; echo $HOME '\n" in create(work, document, "--stream").out


def test_a_step_that_fails_ends_the_job_and_the_steps_beside_it(work: Machine) -> None:
    ran = create(work, commands(bad="sleep 0.3; exit 3", long="sleep 300"), "--stream", "--name", "j")
    assert (ran.code, "step bad failed: the command ended with exit code 3" in ran.err) == (1, True)
    assert states(work, "j") == {"bad": "Failed", "long": "Canceled"}


def test_steps_that_need_nothing_of_a_failed_one_may_go_on(work: Machine) -> None:
    steps = {
        "bad": {"command": "echo x > ${{outputs.out}}/x; exit 3", "outputs": {"out": {"type": "uri_folder"}}},
        "after": {"command": "ls ${{inputs.x}}", "inputs": {"x": "${{parent.jobs.bad.outputs.out}}"}},
        "beside": {"command": "echo fine"},
    }
    document = {"type": "pipeline", "jobs": steps, "settings": {"continue_on_step_failure": True}}
    ran = create(work, document, "--stream", "--name", "j")
    assert (ran.code, "[beside] fine" in ran.out) == (1, True)
    assert states(work, "j") == {"bad": "Failed", "after": "Canceled", "beside": "Completed"}


def test_canceling_ends_all_that_a_step_has_started(work: Machine) -> None:
    lines = {"a": "sleep 301 & echo $! > ${MARK}_1; sleep 302", "b": "echo $$ > ${MARK}_2; exec sleep 303"}
    document = commands(**lines)
    for step in document["jobs"].values():
        step["environment_variables"] = {"MARK": str(work.work / "pid")}
    create(work, document, "--name", "j")
    marks = [work.work / "pid_1", work.work / "pid_2"]
    wait_until(lambda: all(mark.exists() and mark.read_text() for mark in marks), timeout_s=60)
    work.ok("job", "cancel", "j")
    assert work.ok("job", "show", "j").json["status"] == "Canceled"
    assert states(work, "j") == {"a": "Canceled", "b": "Canceled"}
    wait_until(lambda: not any(map(is_alive, marks)), timeout_s=60)


def is_alive(pid_file: Path) -> bool:
    return read_start_ticks(int(pid_file.read_text())) is not None


def kill_coordinator(machine: Machine, job: str) -> None:
    folder = find_folder(machine.home, job)
    os.kill(int(folder.lock.read_text().split()[0]), signal.SIGKILL)
    wait_until(lambda: machine.ok("job", "show", job).json["status"] == "NotResponding", timeout_s=60)


HALF_DONE: dict[str, Any] = {
    "type": "pipeline",
    "outputs": {"all": {"type": "uri_folder"}},
    "jobs": {
        "first": {
            "command": "echo ran >> $LOG; echo 1 > ${{outputs.out}}/x",
            "outputs": {"out": {"type": "uri_folder"}},
        },
        "second": {
            "command": "echo $$ >> ${{outputs.all}}/tries; echo $$ > $LOG.pid; test -e $LOG.go || exec sleep 300",
            "inputs": {"x": "${{parent.jobs.first.outputs.out}}"},
            "outputs": {"all": "${{parent.outputs.all}}"},
        },
    },
}


def start_half_done(machine: Machine) -> Path:
    """Start a job, and kill its coordinator while the second step runs; returns the file that both write to."""
    log = machine.work / "log"
    document = {**HALF_DONE, "jobs": {name: {**step} for name, step in HALF_DONE["jobs"].items()}}
    for step in document["jobs"].values():
        step["environment_variables"] = {"LOG": str(log)}
    create(machine, document, "--name", "j")
    pid = Path(f"{log}.pid")
    wait_until(lambda: pid.exists() and pid.read_text(), timeout_s=60)
    kill_coordinator(machine, "j")
    assert is_alive(pid)
    return log


def test_a_job_whose_coordinator_was_killed_goes_on_with_the_step_that_ran(work: Machine) -> None:
    log = start_half_done(work)
    first_try = log.with_name("first-try")
    first_try.write_text(Path(f"{log}.pid").read_text())
    Path(f"{log}.go").touch()
    ran = work.ok("batch", "resume", "j", "--stream")
    assert ran.json["status"] == "Completed"
    assert "Canceled" not in ran.err
    assert not is_alive(first_try)
    assert log.read_text() == "ran\n"
    tries = Path(work.ok("job", "show", "j").json["outputs"]["all"]["path"], "tries")
    assert len(tries.read_text().split()) == 1, "what the first try left is gone"
    again = work.run("batch", "resume", "j")
    assert (again.code, "nothing left to do" in again.err) == (1, True)


def test_a_job_that_was_killed_at_its_very_end_is_completed_at_once(work: Machine) -> None:
    create(work, commands(a="echo ran"), "--stream", "--name", "j")
    with Store(work.home / "registry.db") as store:
        jobs.set_state(store, "j", "Running")
    assert work.ok("batch", "resume", "j", "--stream").json["status"] == "Completed"
    assert read_log(work, "j.a") == "ran\n"


def test_a_canceled_job_goes_on_and_tells_of_this_try_only(work: Machine) -> None:
    go = work.work / "go"
    create(work, commands(a=f"echo try; test -e {go} || exec sleep 300"), "--name", "j")
    log = find_folder(work.home, "j.a").path / "user_logs" / "std_log.txt"
    wait_until(lambda: log.exists() and log.read_text(), timeout_s=60)
    work.ok("job", "cancel", "j")
    go.touch()
    told = work.ok("batch", "resume", "j", "--stream").err
    assert (told.count("[a] try"), "Canceled" in told) == (1, False)
    assert log.with_name("std_log.earlier.txt").read_text() == "try\n"


def test_canceling_a_job_whose_coordinator_was_killed_ends_its_command(work: Machine) -> None:
    log = start_half_done(work)
    work.ok("job", "cancel", "j")
    assert states(work, "j") == {"first": "Completed", "second": "Canceled"}
    wait_until(lambda: not is_alive(Path(f"{log}.pid")), timeout_s=60)


def test_an_invocation_runs_the_component_of_its_deployment(work: Machine, tmp_path: Path) -> None:
    deploy(work)
    ran = invoke(work, "--input", "rows", "--stream", "--job-name", "run-1", "--experiment-name", "nightly")
    assert (ran.code, ran.json["type"], ran.json["status"]) == (0, "pipeline", "Completed"), ran.err
    shown = work.ok("job", "show", "run-1").json
    assert (shown["experiment_name"], shown["properties"]["azureml.batchEndpoint"]) == ("nightly", "pipes")
    work.ok("job", "download", "-n", "run-1", "--output-name", "model", "-p", str(tmp_path))
    assert (tmp_path / MODEL).read_text() == "3\n"
    assert [job["name"] for job in work.ok("batch", "list-jobs", "-n", "pipes").json] == ["run-1"]
    assert work.ok("batch-deployment", "list-jobs", "-n", "dpl", "-e", "pipes").json[0]["name"] == "run-1"
    assert invoke(work, "--input", "rows", "--job-name", "run-1").json["name"] == "run-1"
    other = invoke(work, "--input", "rows", "--set", "inputs.rate=1", "--job-name", "run-1")
    assert (other.code, "it does something else" in other.err) == (1, True)


def test_a_file_names_inputs_and_the_deployment(work: Machine) -> None:
    deploy(work)
    inputs = {"data": {"type": "uri_folder", "path": "rows"}, "rate": {"type": "number", "default": 0.75}}
    file = write(
        work, {"inputs": inputs, "outputs": {"model": {"type": "custom_model"}}}, "inputs.yml", deployment="dpl"
    )
    ran = invoke(work, "--f", file, "--stream")
    assert (ran.code, "[prep] rate 0.75\n" in ran.err) == (0, True), ran.err
    unknown = invoke(work, "--f", write(work, {"inputs": inputs, "deployment": "gone"}, "other.yml"))
    assert (unknown.code != 0, "gone" in unknown.err) == (True, True)


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        ([], "input data (uri_folder) is missing, nothing was started"),
        (["inputs.dta.path=rows"], "did you mean data?"),
        (["inputs.data.path=gone"], "gone does not exist"),
        (["inputs.data.path=rows/a.csv"], "rows/a.csv is a uri_file, not a uri_folder"),
        (["inputs.data.path=rows", "inputs.rate=much"], '"much" is no number'),
        (["inputs.data.path=rows", "inputs.rate=2"], "jobs.prep: inputs.rate: 2 is more than 1"),
        (["inputs.data.path=rows", "outputs.modl.path=x"], "did you mean model?"),
        (["inputs.data.path=rows", "mini_batch_size=3"], "which have no mini-batches"),
    ],
)
def test_an_invocation_that_cannot_run_starts_nothing(work: Machine, tokens: list[str], said: str) -> None:
    deploy(work)
    ran = invoke(work, *(word for token in tokens for word in ("--set", token)))
    assert (ran.code, said in ran.err) == (1, True), ran.err
    assert work.ok("job", "list").json == []
    assert not (work.home / "jobs").exists()


def test_a_command_component_is_a_pipeline_of_one_step(work: Machine) -> None:
    deploy(work, yaml.safe_load(PREP))
    ran = invoke(work, "--input", "rows", "--set", "inputs.note=a b", "--output-path", "out", "--stream")
    assert (ran.code, "[main] rate 0.5 note a b\n" in ran.err) == (0, True), ran.err
    assert (work.work / "out" / "rows.txt").read_text() == "1\n2\n3\n"


def test_steps_that_did_the_same_before_are_not_run_again(work: Machine) -> None:
    deploy(work)
    invoke(work, "--input", "rows", "--stream", "--job-name", "run-1")
    again = invoke(work, "--input", "rows", "--stream", "--job-name", "run-2")
    assert "[prep] Completed, taken over from run-1.prep" in again.err
    model = work.ok("job", "show", "run-2").json["outputs"]["model"]["path"]
    assert Path(model, "n.txt").read_text() == "3\n"
    (work.work / "rows" / "a.csv").write_text("1\n2\n")
    changed = invoke(work, "--input", "rows", "--stream", "--job-name", "run-3")
    assert "taken over" not in changed.err
    Path(model, "n.txt").write_text("spoilt")
    work.ok("batch-deployment", "update", "-n", "dpl", "-e", "pipes", "--set", "settings.force_rerun=true")
    assert "taken over" not in invoke(work, "--input", "rows", "--stream").err


def test_outputs_that_were_changed_are_not_taken_over(work: Machine) -> None:
    create(work, JOB, "--stream", "--name", "a")
    Path(work.ok("job", "show", "a").json["outputs"]["model"]["path"], "n.txt").write_text("spoilt")
    again = create(work, JOB, "--stream", "--name", "b")
    assert "[prep] Completed, taken over from a.prep" in again.out
    assert "[train] 3\n" in again.out


def test_a_job_can_be_deployed(work: Machine) -> None:
    create(work, JOB, "--stream", "--name", "train-1")
    work.ok("batch", "create", "-n", "pipes")
    document = {"name": "from-job", "endpoint_name": "pipes", "type": "pipeline", "settings": {"force_rerun": True}}
    file = write(work, document, "from-job.yml")
    work.ok("batch-deployment", "create", "-f", file, "--set", "job_definition=azureml:train-1", "--set-default")
    ran = invoke(work, "--stream")
    assert (ran.code, "[prep] rate 0.25\n" in ran.err) == (0, True), ran.err
    other = invoke(work, "--set", "inputs.rate=1", "--stream")
    assert "[prep] rate 1\n" in other.err
    create(work, {"command": "echo x"}, "--name", "plain", "--stream")
    refused = work.run("batch-deployment", "create", "-f", file, "--set", "job_definition=azureml:plain")
    assert (refused.code, "only pipeline jobs can be deployed" in refused.err) == (1, True)


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ({"a": {"type": "sweep", "command": "x"}}, "sweep steps are not run by mlctl"),
        ({"a": {"type": "spark", "command": "x"}}, "spark steps are not run by mlctl"),
        ({"a": {"command": "x", "inputs": {"y": "${{parent.inputs.z}}"}}}, "the pipeline has no input z"),
        ({"a b": {"command": "x"}}, "is no name of a step"),
        (
            {
                "a": {"command": "x", "inputs": {"y": "${{parent.jobs.b.outputs.o}}"}, "outputs": {"o": None}},
                "b": {"command": "x", "inputs": {"y": "${{parent.jobs.a.outputs.o}}"}, "outputs": {"o": None}},
            },
            "the steps wait for each other: a -> b -> a",
        ),
        (
            {"a": {"command": "x"}, "b": {"command": "y", "inputs": {"y": "${{parent.jobs.a.outputs.o}}"}}},
            "step a has no output o",
        ),
        ({"a": {"component": "./prep.yml", "inputs": {"dta": "x"}}}, "its component has no input dta"),
        ({"a": {"component": "./prep.yml", "inputs": {"data": "${{parent.inputs.rate}}"}}}, "it is a uri_folder"),
    ],
)
def test_steps_that_cannot_run_are_refused(work: Machine, steps: dict[str, Any], said: str) -> None:
    ran = create(work, {"type": "pipeline", "inputs": {"rate": 0.5}, "jobs": steps})
    assert (ran.code, said in ran.err) == (1, True), ran.err
    assert work.ok("job", "list").json == []


def test_models_and_data_come_from_the_registry(work: Machine) -> None:
    (work.work / "model").mkdir()
    (work.work / "model" / "m.txt").write_text("model\n")
    work.ok("model", "create", "-n", "m", "-p", "./model")
    work.ok("data", "create", "-n", "rows", "-p", "./rows")
    steps = {
        "read": {
            "command": "cat ${{inputs.m}}/m.txt ${{inputs.d}}/a.csv",
            "inputs": {
                "m": {"type": "custom_model", "path": "azureml:m@latest"},
                "d": {"type": "uri_folder", "path": "azureml:rows:1"},
            },
        }
    }
    ran = create(work, {"type": "pipeline", "jobs": steps}, "--stream", "--name", "j")
    assert ran.code == 0, ran.err
    assert read_log(work, "j.read") == "model\n1\n2\n3\n"


def test_a_steps_output_is_what_the_pipelines_is(work: Machine) -> None:
    steps = {"a": {"command": "echo 7 > ${{outputs.o}}", "outputs": {"o": "${{parent.outputs.all}}"}}}
    document = {"type": "pipeline", "outputs": {"all": {"type": "uri_file"}}, "jobs": steps}
    ran = create(work, document, "--stream", "--name", "j")
    assert ran.code == 0, ran.err
    assert Path(work.ok("job", "show", "j").json["outputs"]["all"]["path"]).read_text() == "7\n"


def test_an_output_may_be_a_file(work: Machine, tmp_path: Path) -> None:
    steps = {
        "write": {"command": "echo 7 > ${{outputs.f}}", "outputs": {"f": {"type": "uri_file"}}},
        "read": {"command": "cat ${{inputs.f}}", "inputs": {"f": "${{parent.jobs.write.outputs.f}}"}},
    }
    ran = create(work, {"type": "pipeline", "jobs": steps}, "--stream", "--name", "j")
    assert "[read] 7\n" in ran.out, ran.err
    work.ok("job", "download", "-n", "j.write", "--output-name", "f", "-p", str(tmp_path))
    assert (tmp_path / "named-outputs/f/f").read_text() == "7\n"


SCORE = """
import argparse, os, pathlib, sys
parser = argparse.ArgumentParser()
parser.add_argument("--factor", type=int)
parser.add_argument("--marks")
args = parser.parse_args()

def init():
    print("init", sys.argv[0])

def run(mini_batch):
    if os.environ.get("FAILS"):
        raise ValueError("asked to fail")
    results = []
    for path in mini_batch:
        text = pathlib.Path(path).read_text().strip()
        pathlib.Path(args.marks, pathlib.Path(path).name).touch()
        results.append(f"{pathlib.Path(path).name} {int(text) * args.factor}")
    return results
"""


def write_parallel(machine: Machine, kind: str = "uri_file", **changes: Any) -> dict[str, Any]:
    """Return a job that writes 12 files, scores them in mini-batches, and counts the results."""
    (machine.work / "src" / "score.py").write_text(SCORE)
    cut = "for n in $(seq 12); do echo $n > ${{outputs.files}}/$n.txt; done"
    result = "${{inputs.scores}}" + ("" if kind == "uri_file" else "/parallel_run_step.txt")
    parallel = {
        "type": "parallel",
        "inputs": {"files": "${{parent.jobs.cut.outputs.files}}", "factor": "${{parent.inputs.factor}}"},
        "outputs": {"scores": {"type": kind, "path": "${{parent.outputs.scores}}"}, "marks": None},
        "input_data": "${{inputs.files}}",
        "mini_batch_size": "5",
        "max_concurrency_per_instance": 2,
        "task": {
            "type": "run_function",
            "code": "./src",
            "entry_script": "score.py",
            "program_arguments": "--factor ${{inputs.factor}} --marks ${{outputs.marks}}",
            "append_row_to": "${{outputs.scores}}",
        },
        **changes,
    }
    steps = {
        "cut": {"command": cut, "outputs": {"files": {"type": "uri_folder"}}},
        "score": parallel,
        "count": {
            "command": f"sort {result} | head -1; wc -l < {result}; ls ${{{{inputs.marks}}}} | wc -l",
            "inputs": {
                "scores": "${{parent.jobs.score.outputs.scores}}",
                "marks": "${{parent.jobs.score.outputs.marks}}",
            },
        },
    }
    return {"type": "pipeline", "inputs": {"factor": 3}, "outputs": {"scores": {"type": kind}}, "jobs": steps}


@pytest.mark.parametrize("kind", ["uri_file", "uri_folder"])
def test_a_parallel_step_scores_mini_batches(work: Machine, kind: str, tmp_path: Path) -> None:
    ran = create(work, write_parallel(work, kind), "--stream", "--name", "j")
    assert ran.code == 0, ran.err
    assert read_log(work, "j.count") == "1.txt 3\n12\n12\n"
    shown = work.ok("job", "show", "j.score").json
    assert (shown["type"], shown["properties"]["mlctl.mini_batches_total"]) == ("parallel", "3")
    work.ok("job", "download", "-n", "j", "--output-name", "scores", "-p", str(tmp_path))
    assert len(list((tmp_path / "named-outputs/scores").iterdir())) == 1
    assert (Path(work.home) / "jobs/j/steps/score/logs/sys/job_report/processed_mini-batches.csv").exists()


def test_a_parallel_step_that_fails_fails_the_job(work: Machine) -> None:
    failing: dict[str, Any] = {"environment_variables": {"FAILS": "1"}, "retry_settings": {"max_retries": 0}}
    ran = create(work, write_parallel(work, **failing), "--stream", "--name", "j")
    assert (ran.code, "step score failed: " in ran.err) == (1, True), ran.err
    assert states(work, "j") == {"cut": "Completed", "score": "Failed", "count": "Canceled"}


def test_canceling_ends_a_parallel_step(work: Machine) -> None:
    document = write_parallel(work)
    (work.work / "src" / "score.py").write_text("import time\ndef init(): time.sleep(300)\ndef run(m): return m\n")
    create(work, document, "--name", "j")
    wait_until(lambda: states(work, "j")["score"] == "Running", timeout_s=60)
    work.ok("job", "cancel", "j")
    assert states(work, "j") == {"cut": "Completed", "score": "Canceled", "count": "Canceled"}
    assert not is_coordinated(find_folder(work.home, "j.score"))


def test_a_parallel_step_goes_on_where_it_was(work: Machine) -> None:
    document = write_parallel(work, environment_variables={"GO": str(work.work / "go")})
    wait = "import os, time\nwhile not os.path.exists(os.environ['GO']): time.sleep(0.05)\n"
    (work.work / "src" / "score.py").write_text(wait + SCORE)
    create(work, document, "--name", "j")
    wait_until(lambda: is_coordinated(find_folder(work.home, "j.score")), timeout_s=60)
    kill_coordinator(work, "j")
    (work.work / "go").touch()
    work.ok("batch", "resume", "j", "--stream")
    assert read_log(work, "j.count") == "1.txt 3\n12\n12\n"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"input_data": "${{inputs.gone}}"}, "the step has no input gone"),
        ({"mini_batch_size": "10kb"}, "tables are cut by rows, not by bytes"),
        ({"partition_keys": ["a"]}, "tables are cut by rows here"),
        ({"task": {"entry_script": "score.py"}}, "task.code: is missing"),
        ({"outputs": {"other": None}}, "the step has no output scores"),
    ],
)
def test_a_parallel_step_that_cannot_run_is_refused(work: Machine, changes: dict[str, Any], said: str) -> None:
    ran = create(work, write_parallel(work, **changes))
    assert (ran.code, said in ran.err) == (1, True), ran.err


def test_a_parallel_step_cuts_a_table_into_rows(work: Machine) -> None:
    (work.work / "table").mkdir()
    (work.work / "table" / "t.csv").write_text("a,b\n1,2\n3,4\n5,6\n")
    (work.work / "table" / "MLTable").write_text(
        "paths: [{file: ./t.csv}]\ntransformations: [{read_delimited: {delimiter: ','}}]\n"
    )
    (work.work / "src" / "rows.py").write_text(
        "def init(): pass\ndef run(frame): return [int(x) for x in frame['b']]\n"
    )
    step = {
        "type": "parallel",
        "inputs": {"t": {"type": "mltable", "path": "./table"}},
        "outputs": {"o": {"type": "uri_file"}},
        "input_data": "${{inputs.t}}",
        "mini_batch_size": 2,
        "task": {"code": "./src", "entry_script": "rows.py", "append_row_to": "${{outputs.o}}"},
    }
    show = {"command": "sort ${{inputs.o}}", "inputs": {"o": "${{parent.jobs.score.outputs.o}}"}}
    ran = create(work, {"type": "pipeline", "jobs": {"score": step, "show": show}}, "--stream", "--name", "j")
    assert ran.code == 0, ran.err
    assert "[score] Completed: 3 of 3 rows\n" in ran.out
    assert read_log(work, "j.show") == "2\n4\n6\n"


def test_what_a_job_may_go_on_with_is_not_pruned(work: Machine) -> None:
    go = work.work / "go"
    (work.work / "src" / "wait.sh").write_text(f"echo try; test -e {go} || exec sleep 300\n")
    steps = {"a": {"command": "bash wait.sh", "code": "./src"}}
    create(work, {"type": "pipeline", "jobs": steps}, "--name", "j")
    log = find_folder(work.home, "j.a").path / "user_logs" / "std_log.txt"
    wait_until(lambda: log.exists() and log.read_text(), timeout_s=60)
    work.ok("job", "cancel", "j")
    assert work.ok("artifacts", "prune", "--yes", "--older-than", "0").json["removed"] == []
    go.touch()
    assert work.ok("batch", "resume", "j", "--stream").json["status"] == "Completed"
    assert len(work.ok("artifacts", "prune", "--yes", "--older-than", "0").json["removed"]) == 1


JOB_SCHEMA = "https://azuremlschemas.azureedge.net/latest/pipelineJob.schema.json"


def test_a_job_is_told_from_a_component(work: Machine) -> None:
    job = write(work, JOB)
    told = work.ok("validate", write(work, {**JOB, "$schema": JOB_SCHEMA}, "other.yml"), "prep.yml").json
    assert [(file["kind"], file["valid"]) for file in told] == [("pipelineJob", True), ("commandComponent", True)]
    wrong = work.run("component", "create", "-f", write(work, JOB, compute="cpu"))
    assert (wrong.code, "job.yml describes a job, no component" in wrong.err) == (1, True)
    assert f"mlctl job create -f {job}" in wrong.err
    component = {"$schema": JOB_SCHEMA.replace("pipelineJob", "commandComponent"), **yaml.safe_load(PREP)}
    other = create(work, component)
    assert (other.code, "describes a component, no job" in other.err) == (1, True)


def test_a_broken_job_is_told_line_by_line(work: Machine) -> None:
    path = work.work / "bad.yml"
    path.write_text("type: pipeline\njobs:\n  a:\n    comand: echo\n  b:\n    type: sweep\n    command: echo\n")
    ran = work.run("job", "create", "-f", str(path))
    assert ran.code == 1
    for said in ("bad.yml:4:5", "did you mean command?", "bad.yml:6:11", "sweep steps are not run by mlctl"):
        assert said in ran.err, ran.err
