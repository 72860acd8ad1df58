"""Environments that are installed, and scripts of the v1 SDK."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import joblib  # pyright: ignore[reportMissingTypeStubs]
import pytest

from mlctl.registry.assets import list_all_assets
from mlctl.registry.store import Store
from mlctl.runtimes.pythons import list_candidates
from tests.acceptance.conftest import Machine
from tests.unit.runtimes.test_environments import forbid_processes
from tests.waiting import wait_until

RED = ("-n", "red", "-e", "fraud-endpoint")
IMAGE = "python:3.11"
TELL = """
import json, os, sys
import six

def init():
    import uvicorn
    global server
    server = uvicorn.__version__

def run(raw_data):
    import importlib.util
    return {"six": six.__version__, "python": sys.version.split()[0], "prefix": sys.prefix, "path": sys.path,
            "variables": dict(os.environ), "pydantic": importlib.util.find_spec("pydantic") is not None,
            "shim": importlib.util.find_spec("azureml") is not None, "VERSION": VERSION}

VERSION = 1
"""
V1 = """
import joblib
from azureml.core.model import Model

def init():
    global path, model
    path = Model.get_model_path("fraud-model")
    assert path == Model.get_model_path("fraud-model", version=3) == Model.get_model_path("fraud-model", 3)
    model = joblib.load(path)

def run(raw_data):
    return {"path": path, "model": model}
"""


def write_conda(machine: Machine, *dependencies: Any, name: str = "conda.yml") -> Path:
    path = machine.work / name
    lines = "".join(f"  - {json.dumps(one)}\n" for one in dependencies)
    path.write_text(f"name: fraud\nchannels: [conda-forge]\ndependencies:\n{lines}")
    return path


def write_red(machine: Machine, script: str = TELL, **document: Any) -> str:
    machine.write_script(script, folder="red")
    code = {"code": "./red", "scoring_script": "score.py"}
    return machine.write_deployment("red", code_configuration=code, **document)


def score(machine: Machine) -> Any:
    return machine.score({}, azureml_model_deployment="red").json()


def list_kept(machine: Machine) -> list[str]:
    """Name everything that is registered, and every stored copy."""
    with Store(machine.home / "registry.db") as store:
        names = [f"{asset.name}:{asset.version}" for asset in list_all_assets(store)]
    return sorted([*names, *(path.name for path in (machine.home / "artifacts").iterdir())])


def test_a_conda_file_is_installed_and_the_script_runs_in_it(served: Machine, monkeypatch: pytest.MonkeyPatch):
    (served.work / "base.txt").write_text("# of all models\nsix==1.17.0\n")
    write_conda(served, "pip", {"pip": ["azureml-inference-server-http", "-r base.txt"]})
    variables = {"PYTHONPATH": str(served.work), "MINE": "1"}
    environment = {"name": "fraud-infer", "version": 2, "image": IMAGE, "conda_file": "conda.yml"}
    file = served.work / "environment.yml"
    file.write_text(json.dumps(environment))
    served.ok("environment", "create", "-f", str(file))
    # What was registered does not change when the files do.
    (served.work / "base.txt").write_text("nothing-such-package\n")
    path = write_red(served, environment="azureml:fraud-infer:2", environment_variables=variables)
    ran = served.ok("deployment", "create", "-f", path)
    assert "channels are not used" in ran.err
    assert "mlctl.drift" not in ran.json["properties"]
    told = score(served)
    assert told["six"] == "1.17.0"
    assert told["prefix"].startswith(str(served.home / "environments"))
    assert told["variables"]["PYTHONPATH"] == str(served.work)
    assert told["variables"]["PATH"].startswith(f"{told['prefix']}/bin:")
    assert [one for one in told["path"] if one.startswith(str(served.home / "lib"))] == []
    assert str(served.work) in told["path"]
    assert [name for name in told["variables"] if "MLCTL" in name] == []
    assert (told["pydantic"], told["shim"]) == (False, True)
    # An edit of the script starts nothing but the replica.
    write_red(served, TELL.replace("VERSION = 1", "VERSION = 2"), environment="azureml:fraud-infer:2")
    with monkeypatch.context() as patched:
        forbid_processes(patched)
        began = time.monotonic()
        ran = served.ok("deployment", "update", "-f", path)
    assert score(served)["VERSION"] == 2
    assert time.monotonic() - began < 10
    assert ran.err == ""
    # Removed by hand, it is built again.
    shutil.rmtree(served.home / "environments")
    served.ok("deployment", "update", *RED, "--set", "instance_count=2")
    assert score(served)["six"] == "1.17.0"
    served.ok("deployment", "delete", *RED, "--yes")


def test_an_environment_that_cannot_be_built_shows_the_lines_and_changes_nothing(served: Machine):
    conda = write_conda(served, "python=3.11", "six=1.16.0", {"pip": ["iniconfig", "-r more.txt"]})
    (served.work / "more.txt").write_text("# pins\nsix==1.17.0\n")
    path = write_red(served, environment={"image": IMAGE, "conda_file": "conda.yml"})
    before = list_kept(served)
    ran = served.run("deployment", "create", "-f", path)
    assert ran.code == 1
    assert "the deployment's environment cannot be built, nothing was changed" in ran.err
    assert "requirements are unsatisfiable" in ran.err
    assert f"{conda}:5:5  dependencies[1]: six==1.16.0.*" in ran.err
    assert f"{served.work / 'more.txt'}:2:1  six==1.17.0" in ran.err
    assert "iniconfig" not in ran.err
    assert served.run("deployment", "show", *RED).code == 1
    assert list_kept(served) == before


def test_an_inline_map_is_shown_in_the_deployments_own_file(served: Machine):
    conda = {"dependencies": ["numpy=1.26|1.25", {"pip": ["-r nowhere.txt"]}]}
    path = write_red(served, environment={"image": IMAGE, "conda_file": {"dependencies": conda["dependencies"][:1]}})
    ran = served.run("deployment", "create", "-f", path)
    assert (ran.code, f"{path}:1:" in ran.err) == (1, True)
    assert 'environment.conda_file.dependencies[0]: "numpy=1.26|1.25" cannot be told in pip\'s words' in ran.err
    path = write_red(served, environment={"image": IMAGE, "conda_file": conda})
    ran = served.run("deployment", "create", "-f", path)
    assert (ran.code, "cannot read" in ran.err, "nowhere.txt: No such file" in ran.err) == (1, True, True)


def test_a_registered_environment_is_shown_by_name(served: Machine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    write_conda(served, {"pip": ["nothing-such-package"]})
    served.ok("environment", "create", "-n", "bad", "-v", "1", "-i", IMAGE, "-c", str(served.work / "conda.yml"))
    ran = served.run("deployment", "create", "-f", write_red(served, environment="azureml:bad:1"))
    assert (ran.code, "environment bad:1 cannot be built" in ran.err) == (1, True)
    assert "conda_file.dependencies[0].pip[0]: nothing-such-package" in ran.err
    assert served.run("deployment", "show", *RED).code == 1


def test_what_runs_otherwise_than_asked_for_is_recorded_and_shown(served: Machine):
    conda = {"dependencies": ["python=3.4", "cudatoolkit=11.8", "pip"]}
    path = write_red(
        served, TELL.replace("import six", "six = json"), environment={"image": IMAGE, "conda_file": conda}
    )
    ran = served.ok("deployment", "create", "-f", path)
    drift = ran.json["properties"]["mlctl.drift"]
    assert drift.startswith("Python 3.4 is too old, 3.10 is needed: ")
    assert drift.endswith(" is used; conda package cudatoolkit=11.8 is not installed: it is not on PyPI")
    assert drift in ran.err
    shown = served.ok("deployment", "show", *RED)
    assert shown.json["properties"]["mlctl.drift"] == drift
    scaled = served.ok("deployment", "update", *RED, "--set", "instance_count=2")
    assert drift not in scaled.err
    # Fed back and mended, nothing of it stays.
    whole = {"image": IMAGE, "conda_file": {"dependencies": ["pip"]}}
    Path(path).write_text(json.dumps(shown.json | {"environment": whole}))
    mended = served.ok("deployment", "update", "-f", path)
    assert "mlctl.drift" not in mended.json["properties"]
    served.ok("deployment", "delete", *RED, "--yes")
    blue = served.ok("deployment", "show", "-n", "blue", "-e", "fraud-endpoint").json
    assert blue["properties"]["mlctl.drift"] == f"image {IMAGE} is not run: its packages are not known here"


def test_another_python_of_this_machine_is_used(served: Machine):
    if not any(path.name == "python3.10" for path in list_candidates(os.environ)):
        pytest.skip("no python3.10 on this machine")
    conda = {"dependencies": ["python=3.10", {"pip": ["six"]}]}
    ran = served.ok("deployment", "create", "-f", write_red(served, environment={"image": IMAGE, "conda_file": conda}))
    assert score(served)["python"].startswith("3.10.")
    assert ran.json["properties"]["mlctl.python"].startswith("3.10.")
    served.ok("deployment", "delete", *RED, "--yes")


def test_a_script_of_the_v1_sdk_finds_its_model(served: Machine):
    file = served.work / "fraud_model.pkl"
    joblib.dump({"weights": [1, 2]}, file)  # pyright: ignore[reportUnknownMemberType]
    served.ok("model", "create", "-n", "fraud-model", "-v", "3", "-p", str(file))
    path = write_red(served, V1, model="azureml:fraud-model:3")
    served.ok("deployment", "create", "-f", path)
    told = score(served)
    assert told["model"] == {"weights": [1, 2]}
    assert told["path"].endswith("/azureml-models/fraud-model/3/fraud_model.pkl")
    served.ok("deployment", "delete", *RED, "--yes")
    path = write_red(served, V1.replace("fraud-model", "other-model"), model="azureml:fraud-model:3")
    ran = served.run("deployment", "create", "-f", path)
    assert ran.code == 7
    assert "ModelNotFoundException" in ran.err
    assert "which holds: fraud-model:3" in ran.err
    served.ok("deployment", "delete", *RED, "--yes")


def test_prune_leaves_what_a_running_command_has_just_stored(served: Machine):
    # It is copied after the code, and takes long enough to stop the command meanwhile.
    with (served.work / "large.bin").open("wb") as file:
        file.truncate(256 << 20)
    conda = write_conda(served, "python=3.11", {"pip": ["six==1.17.0"]}, name="held.yml")
    prune = ("artifacts", "prune", "--older-than", "0", "--yes")
    served.ok(*prune)
    folder = served.home / "artifacts"
    before = set(folder.iterdir())
    document = write_red(
        served,
        TELL.replace("VERSION = 1", "VERSION = 'held'"),
        environment={"image": IMAGE, "conda_file": conda.name},
        model={"path": "./large.bin"},
    )
    words = [sys.executable, "-m", "mlctl.cli.main", "deployment", "create", "-f", document]

    def is_between_two_copies() -> bool:
        found = {path.name for path in set(folder.iterdir()) - before}
        return any(name.startswith(".new-") for name in found) and any(len(name) == 64 for name in found)

    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as create:
        try:
            wait_until(is_between_two_copies, timeout_s=60)
            create.send_signal(signal.SIGSTOP)
            assert is_between_two_copies()
            # As if the clock had jumped: whatever is there is old enough.
            pruned = served.ok(*prune).json
            assert (pruned["removed_environments"], pruned["kept_as_in_use"]) == ([], 1)
            create.send_signal(signal.SIGCONT)
            err = create.communicate(timeout=60)[1]
        finally:
            create.kill()
    assert create.returncode == 0, err
    assert score(served)["VERSION"] == "held"
    served.ok("deployment", "delete", *RED, "--yes")


def test_an_environment_that_nothing_runs_in_is_pruned(served: Machine):
    conda = write_conda(served, "python=3.11", {"pip": ["six==1.17.0"]}, name="pruned.yml")
    served.ok("deployment", "create", "-f", write_red(served, environment={"image": IMAGE, "conda_file": conda.name}))
    prune = ("artifacts", "prune", "--older-than", "0", "--yes")
    served.ok(*prune)
    assert score(served)["six"] == "1.17.0"
    served.ok("deployment", "delete", "-n", "red", "-e", "fraud-endpoint", "--yes")
    assert len(served.ok(*prune).json["removed_environments"]) == 1
    assert not [path for path in (served.home / "environments").iterdir() if not path.name.startswith(".")]
