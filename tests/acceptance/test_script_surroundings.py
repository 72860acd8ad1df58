"""What a script finds around it in a deployment: folders and variables. Contract 1.1 and 1.3."""

from __future__ import annotations

from typing import Any

from tests.acceptance.conftest import Machine

ASK = """
import json, os
from pathlib import Path

def init(): pass

def run(raw_data):
    asked = json.loads(raw_data)
    if "list" in asked:
        root = Path(os.environ["AZUREML_MODEL_DIR"])
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
    return {name: os.environ.get(name) for name in asked["variables"]}
"""


def ask(machine: Machine, deployment: str, **asked: Any) -> Any:
    return machine.score(asked, azureml_model_deployment=deployment).json()


def test_a_script_finds_what_the_contract_promises(machine: Machine) -> None:
    machine.create_endpoint()
    (machine.work / "src" / "inner").mkdir(parents=True)
    (machine.work / "src" / "inner" / "score.py").write_text(ASK)
    (machine.work / "folder" / "deep").mkdir(parents=True)
    (machine.work / "folder" / "deep" / "weights.bin").write_text("w")
    (machine.work / "model.pkl").write_text("m")
    nested = {"code_configuration": {"code": "./src", "scoring_script": "inner/score.py"}}
    variables = {"LEVEL": 3, "IS_ON": True, "PYTHONUNBUFFERED": "mine"}
    machine.deploy("blue", "--all-traffic", model={"path": "./folder"}, environment_variables=variables, **nested)
    machine.deploy("green", model={"path": "./model.pkl"}, **nested)

    names = ["AML_APP_ROOT", "AZUREML_ENTRY_SCRIPT", "LEVEL", "IS_ON", "PYTHONUNBUFFERED", "MSI_ENDPOINT"]
    found = ask(machine, "blue", variables=names)
    assert found["AML_APP_ROOT"].endswith("/inner")
    assert found["AZUREML_ENTRY_SCRIPT"] == "score.py"
    # A variable of the user's goes before the platform's; there are none of Azure's images.
    assert (found["LEVEL"], found["PYTHONUNBUFFERED"], found["MSI_ENDPOINT"]) == ("3", "mine", None)
    assert found["IS_ON"].lower() == "true"

    # A model registered from a folder keeps the folder's name, one registered from a file is that file.
    assert ask(machine, "blue", list=True) == ["folder/deep/weights.bin"]
    assert ask(machine, "green", list=True) == ["model.pkl"]
