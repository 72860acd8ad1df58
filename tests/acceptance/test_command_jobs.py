"""Command jobs: a training step of a pipeline, run here as `az ml job create` runs it there."""

from __future__ import annotations

from pathlib import Path

from tests.acceptance.conftest import Machine
from tests.waiting import wait_until

TRAIN = """
import argparse, os, pathlib
parser = argparse.ArgumentParser()
parser.add_argument("--data"); parser.add_argument("--rate", type=float); parser.add_argument("--out")
args = parser.parse_args()
print("rows:", len(pathlib.Path(args.data).read_text().split()), "rate:", args.rate, "level:", os.environ["LEVEL"])
pathlib.Path(args.out, "model.txt").write_text("trained")
"""
JOB = """
$schema: https://azuremlschemas.azureedge.net/latest/commandJob.schema.json
command: python train.py --data ${{inputs.data}} --rate ${{inputs.rate}} --out ${{outputs.model}}
code: ./src
inputs:
  data: {type: uri_file, path: ./rows 1.csv}
  rate: 0.5
outputs:
  model: {type: uri_folder}
environment_variables: {LEVEL: "3"}
"""


def _write(machine: Machine, text: str = JOB) -> str:
    (machine.work / "src").mkdir(exist_ok=True)
    (machine.work / "src" / "train.py").write_text(TRAIN)
    (machine.work / "rows 1.csv").write_text("1\n2\n3\n")
    path = machine.work / "train.yml"
    path.write_text(text)
    return str(path)


def test_a_command_runs_here_and_streams_its_log(machine: Machine, tmp_path: Path) -> None:
    ran = machine.ok("job", "create", "-f", _write(machine), "--stream", "--name", "train-1")
    assert "rows: 3 rate: 0.5 level: 3\n" in ran.out
    shown = machine.ok("job", "show", "-n", "train-1").json
    assert (shown["status"], shown["type"]) == ("Completed", "command")
    machine.ok("job", "download", "-n", "train-1", "--all", "-p", str(tmp_path))
    assert (tmp_path / "named-outputs/model/model.txt").read_text() == "trained"
    assert "rows: 3" in (tmp_path / "artifacts/user_logs/std_log.txt").read_text()


def test_a_command_that_fails_fails_the_command_line(machine: Machine) -> None:
    text = JOB.replace("python train.py", "echo before; python nothing.py")
    ran = machine.run("job", "create", "-f", _write(machine, text), "--stream")
    assert ran.code == 1
    assert "before" in ran.out
    assert "the command ended with exit code 2" in ran.err


def test_a_command_can_be_canceled_with_all_it_started(machine: Machine) -> None:
    text = "command: sleep 300 & sleep 301\n"
    name = machine.ok("job", "create", "-f", _write(machine, text), "--query", "name", "-o", "tsv").out.strip()
    wait_until(lambda: machine.ok("job", "show", name).json["status"] == "Running")
    machine.ok("job", "cancel", "-n", name)
    assert machine.ok("job", "show", name).json["status"] == "Canceled"


def test_a_command_has_a_limit(machine: Machine) -> None:
    text = "command: sleep 300\nlimits: {timeout: 1}\n"
    ran = machine.run("job", "create", "-f", _write(machine, text), "--stream")
    assert (ran.code, "took longer than 1 s" in ran.err) == (1, True)


def test_a_wrong_file_is_refused_where_it_is_wrong(machine: Machine) -> None:
    text = JOB.replace("${{inputs.rate}}", "${{inputs.rte}}").replace("code: ./src", "cod: ./src")
    ran = machine.run("job", "create", "-f", _write(machine, text))
    assert ran.code == 1
    assert "${{inputs.rte}} names no input" in ran.err
    assert "train.yml:4:1" in ran.err
    assert machine.ok("job", "list").json == []
