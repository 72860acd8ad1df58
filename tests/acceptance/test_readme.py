"""The README and the help texts say what is true: their examples are run."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from mlctl.cli.main import COMMANDS, make_root
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


def list_commands() -> list[tuple[str, click.Command]]:
    root = make_root()
    context = click.Context(root)
    found: list[tuple[str, click.Command]] = []
    for noun in COMMANDS:
        group = root.get_command(context, noun)
        assert isinstance(group, click.Group)
        found += [(f"{noun} {name}", command) for name, command in group.commands.items()]
    return found


# What has to be there before an example can run, and the order in which they can.
ORDER = (
    *("daemon start", "daemon status", "model create", "model show", "model list", "environment create"),
    *("environment show", "environment list", "endpoint create", "deployment create", "endpoint invoke"),
    *("deployment update", "deployment show", "deployment list", "deployment events", "deployment get-logs"),
    *("endpoint show", "endpoint list", "endpoint get-credentials", "endpoint regenerate-keys", "endpoint update"),
    *("deployment delete", "endpoint delete", "daemon logs", "daemon restart", "daemon stop"),
)


def test_every_example_of_the_help_texts_runs(fraud: Machine):
    examples = {
        name: match[1]
        for name, command in list_commands()
        if (match := re.search(r"Example: mlctl (.+)", command.help or ""))
    }
    assert set(examples) == set(ORDER) == {name for name, _ in list_commands()}
    shutil.copytree("model-blue", "model")
    for name in ORDER:
        if name == "endpoint update":
            fraud.ok("model", "create", "-n", "fraud-model", "-v", "4", "-p", "model-green")
            fraud.ok("deployment", "create", "-f", "green.yml")
        if name == "deployment delete":
            fraud.ok("endpoint", "update", "-n", "fraud-endpoint", "--traffic", "blue=100")
        fraud.ok(*shlex.split(examples[name]))


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
