"""The README and the help texts say what is true: their examples are run."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pandas
import pytest

from scripts.reference import list_commands
from tests.acceptance.conftest import Machine, free_port
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "01-fraud"


@pytest.fixture
def fraud(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine whose working folder is a trained copy of the fraud example."""
    folder = machine.work / "fraud"
    shutil.copytree(EXAMPLE, folder, ignore=shutil.ignore_patterns("model-*", "__pycache__"))
    subprocess.run([sys.executable, "train.py"], cwd=folder, check=True, capture_output=True)
    monkeypatch.chdir(folder)
    return machine


def blocks(text: str) -> list[str]:
    return re.findall(r"```console\n(.*?)```", text, re.DOTALL)


def run_lines(machine: Machine, block: str, least: int) -> None:
    lines = block.splitlines()
    assert len(lines) >= least
    for line in lines:
        command, _, expected = line.removeprefix("$ mlctl ").partition("   # ")
        ran = machine.ok(*shlex.split(command))
        assert expected.strip() in ran.out, line


def test_the_readmes_first_minute_runs_as_it_stands(fraud: Machine):
    run_lines(fraud, blocks((ROOT / "README.md").read_text())[0], least=10)


def test_the_readmes_table_is_scored_as_it_says(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    folder = machine.work / "nightly-table"
    shutil.copytree(ROOT / "examples" / "11-nightly-table", folder, ignore=shutil.ignore_patterns("model", "data"))
    for words in (["train"], ["draw", "data/november.parquet", "20000"]):
        script = str(ROOT / "examples" / "payments.py")
        subprocess.run([sys.executable, script, *words], cwd=folder, check=True, capture_output=True)
    monkeypatch.chdir(folder)
    run_lines(machine, blocks((ROOT / "README.md").read_text())[1], least=5)
    scores = folder / "scores" / "named-outputs" / "score" / "predictions.parquet"
    assert len(pandas.read_parquet(scores)) == 20_000


# What has to be there before an example can run, and the order in which they can.
ORDER = (
    *("version", "daemon start", "daemon status", "workspace show", "workspace update"),
    *("model create", "model show", "model list", "model update", "model archive", "model restore", "model download"),
    *("model package", "model share", "environment create", "environment show", "environment list"),
    *("environment update", "environment archive", "environment restore", "environment share"),
    *("validate", "endpoint create", "deployment validate", "deployment create", "endpoint get-logs"),
    *("endpoint invoke",),
    *("deployment update", "deployment show", "deployment list", "deployment events", "deployment get-logs"),
    *("deployment data", "deployment profile"),
    *("endpoint show", "endpoint list", "endpoint get-credentials", "endpoint regenerate-keys", "endpoint update"),
    *("data create", "data show", "data list", "data update", "data archive", "data restore", "data import"),
    *("data mount", "data list-materialization-status", "data share"),
    *("component create", "component show", "component list", "component update", "component archive"),
    *("component restore", "component share"),
    *("compute create", "compute show", "compute list", "compute delete"),
    *("batch create", "batch-deployment create", "batch show", "batch list", "batch update", "batch-deployment show"),
    *("batch-deployment list", "batch-deployment update", "batch invoke", "job show", "job list", "batch list-jobs"),
    *("batch-deployment list-jobs", "job cancel", "batch resume", "job stream", "job download", "job archive"),
    *("job restore", "job update", "job show-services", "job connect-ssh", "job validate", "job delete"),
    *("job create",),
    *("batch get-credentials",),
    *("schedule create", "schedule show", "schedule list", "schedule update", "schedule trigger", "schedule enable"),
    *("schedule disable", "schedule delete", "batch-deployment delete", "batch delete"),
    *("deployment delete", "endpoint delete", "artifacts list", "artifacts prune", "doctor"),
    *("daemon logs", "daemon restart", "daemon stop"),
)


def test_every_example_of_the_help_texts_runs(fraud: Machine):
    commands = dict(list_commands())
    examples = {
        name: match[1]
        for name, command in commands.items()
        if (match := re.search(r"Example: mlctl (.+)", command.help or ""))
    }
    # It stays in the foreground: a test of its own runs it.
    del examples["serve"], commands["serve"]
    assert set(examples) == set(ORDER) == set(commands)
    shutil.copytree("model-blue", "model")
    key = fraud.work / "mlctl-example.key"
    key.touch(mode=0o600)
    key.write_bytes(b"not so random" * 4)
    for name in ORDER:
        if name == "endpoint update":
            fraud.ok("model", "create", "-n", "fraud-model", "-v", "4", "-p", "model-green")
            fraud.ok("deployment", "create", "-f", "green.yml")
        if name == "data create":
            write_batch_files(fraud.work / "fraud")
        if name == "batch invoke":
            # It runs until it is canceled, under the name that the other examples know.
            examples[name] = examples[name].replace("--stream", "--job-name fraud-batch-7f3a91c2")
        if name == "batch resume":
            Path("go").touch()
        if name == "deployment delete":
            fraud.ok("endpoint", "update", "-n", "fraud-endpoint", "--traffic", "blue=100")
        ran = fraud.run(*shlex.split(examples[name].replace("/tmp/", f"{fraud.work}/")))
        is_refused = (commands[name].help or "").startswith("Refused: ")
        assert ran.code == int(is_refused), ran.err


BATCH_SCRIPT = """
import os, time
def run(mini_batch):
    while not os.path.exists(os.environ["GO"]):
        time.sleep(0.01)
    return mini_batch
"""


def write_batch_files(folder: Path) -> None:
    """Write what the examples of batch commands name; the script waits for a file `go`."""
    (folder / "batch-src").mkdir()
    (folder / "batch-src" / "score.py").write_text(BATCH_SCRIPT)
    deployment = {
        "name": "classic",
        "endpoint_name": "fraud-batch",
        "code_configuration": {"code": "./batch-src", "scoring_script": "score.py"},
        "environment": {"image": "python:3.11"},
        "environment_variables": {"GO": str(folder / "go")},
        "compute": "local",
    }
    (folder / "classic.yml").write_text(json.dumps(deployment))
    (folder / "transactions").mkdir()
    (folder / "transactions" / "november.csv").write_text("amount\n1\n2\n")
    pandas.DataFrame({"amount": [1.0, 2.0]}).to_parquet(folder / "november.parquet")
    (folder / "train.yml").write_text("command: python --version\n")
    (folder / "prep.yml").write_text("name: prep\ncommand: python --version\n")
    schedule = {
        "name": "nightly-scores",
        "trigger": {"type": "cron", "expression": "0 2 * * *"},
        "create_job": {"endpoint": "fraud-batch", "inputs": {"data": {"path": "./transactions"}}},
    }
    (folder / "nightly.yml").write_text(json.dumps(schedule))


def test_the_example_of_serve_runs(fraud: Machine):
    shutil.copytree("model-blue", "model/model-blue")
    shutil.copy("src/score.py", "score.py")
    command = dict(list_commands())["serve"]
    example = re.search(r"Example: mlctl (.+)", command.help or "")
    assert example is not None
    words = [*shlex.split(example[1]), "--port", str(free_port())]
    log = fraud.work / "serve.log"
    with log.open("wb") as output:
        served = subprocess.Popen([sys.executable, "-m", "mlctl.cli.main", *words], stdout=output, stderr=output)
    try:
        wait_until(lambda: "ready for serving traffic" in log.read_text() or served.poll() is not None)
        served.terminate()
        assert served.wait(20) == 0, log.read_text()
    finally:
        served.kill()
        served.wait()


@pytest.mark.parametrize(("name", "command"), list_commands(), ids=[name for name, _ in list_commands()])
def test_every_option_says_what_it_does(name: str, command: click.Command):
    silent = [found.name for found in command.params if isinstance(found, click.Option) and not found.help]
    assert silent == []


@pytest.mark.slow
def test_the_demo_ends_well_and_leaves_nothing(machine: Machine):
    ended = subprocess.run(
        ["bash", str(EXAMPLE / "demo.sh")],
        env={
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(machine.work),
            "TMPDIR": str(machine.work),
        },
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "1 × 200 from blue" in ended.stdout
    assert "1 × 401" in ended.stdout
    assert "✔ mlctl served http://127.0.0.1:" in ended.stdout
    assert list(machine.work.iterdir()) == []
