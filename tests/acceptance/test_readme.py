"""The README and the help texts say what is true: their examples are run."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from scripts.reference import list_commands
from tests.acceptance.conftest import Machine

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


def test_the_readmes_first_minute_runs_as_it_stands(fraud: Machine):
    lines = [line for block in blocks((ROOT / "README.md").read_text()) for line in block.splitlines()]
    assert len(lines) >= 10
    for line in lines:
        command, _, expected = line.removeprefix("$ mlctl ").partition("   # ")
        ran = fraud.ok(*shlex.split(command))
        assert expected.strip() in ran.out, line


# What has to be there before an example can run, and the order in which they can.
ORDER = (
    *("version", "daemon start", "daemon status", "workspace show", "workspace update"),
    *("model create", "model show", "model list", "model update", "model archive", "model restore", "model download"),
    *("model package", "model share", "environment create", "environment show", "environment list"),
    *("environment update", "environment archive", "environment restore", "environment share"),
    *("validate", "endpoint create", "deployment validate", "deployment create", "endpoint get-logs"),
    *("endpoint invoke",),
    *("deployment update", "deployment show", "deployment list", "deployment events", "deployment get-logs"),
    *("deployment data",),
    *("endpoint show", "endpoint list", "endpoint get-credentials", "endpoint regenerate-keys", "endpoint update"),
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
    assert set(examples) == set(ORDER) == set(commands)
    shutil.copytree("model-blue", "model")
    key = fraud.work / "mlctl-example.key"
    key.touch(mode=0o600)
    key.write_bytes(b"not so random" * 4)
    for name in ORDER:
        if name == "endpoint update":
            fraud.ok("model", "create", "-n", "fraud-model", "-v", "4", "-p", "model-green")
            fraud.ok("deployment", "create", "-f", "green.yml")
        if name == "deployment delete":
            fraud.ok("endpoint", "update", "-n", "fraud-endpoint", "--traffic", "blue=100")
        ran = fraud.run(*shlex.split(examples[name].replace("/tmp/", f"{fraud.work}/")))
        is_refused = (commands[name].help or "").startswith("Refused: ")
        assert ran.code == int(is_refused), ran.err


@pytest.mark.parametrize(("name", "command"), list_commands(), ids=[name for name, _ in list_commands()])
def test_every_option_says_what_it_does(name: str, command: click.Command):
    silent = [found.name for found in command.params if isinstance(found, click.Option) and not found.help]
    assert silent == []


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
