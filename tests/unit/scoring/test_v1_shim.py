"""The v1 SDK's Model, where no azureml package is installed."""

import subprocess
import sys
from pathlib import Path

import pytest

from mlctl.scoring.v1_model import Model, ModelNotFoundException


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "azureml-models"
    for version in ("2", "10"):
        (root / "fraud" / version).mkdir(parents=True)
        (root / "fraud" / version / "model.pkl").touch()
    monkeypatch.setenv("AZUREML_MODEL_DIR", str(root / "fraud" / "2"))
    monkeypatch.chdir(tmp_path)
    return root


def test_the_highest_version_is_meant_unless_one_is_given(models: Path):
    assert Model.get_model_path("fraud") == str(models / "fraud" / "10" / "model.pkl")
    assert Model.get_model_path("fraud", version=2) == str(models / "fraud" / "2" / "model.pkl")
    with pytest.raises(TypeError, match="whole number"):
        Model.get_model_path("fraud", version="2")  # pyright: ignore[reportArgumentType]


def test_a_file_of_that_name_is_next_then_it_is_an_error(models: Path, tmp_path: Path):
    with pytest.raises(ModelNotFoundException, match=r"no model local\.pkl.*fraud:2, fraud:10"):
        Model.get_model_path("local.pkl")
    (tmp_path / "local.pkl").touch()
    assert Model.get_model_path("local.pkl") == "local.pkl"


def test_a_version_must_hold_one_entry(models: Path):
    (models / "fraud" / "2" / "second.pkl").touch()
    with pytest.raises(ModelNotFoundException, match="one file or folder, it holds 2"):
        Model.get_model_path("fraud", 2)


def test_versions_are_folders_in_the_order_of_their_numbers(models: Path):
    for name in ("next", "9"):
        (models / "fraud" / name).mkdir()
        (models / "fraud" / name / "model.pkl").touch()
    (models / "fraud" / "99").touch()
    assert Model.get_model_path("fraud") == str(models / "fraud" / "10" / "model.pkl")


def test_folder_that_holds_files_only_is_a_path_and_no_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AZUREML_MODEL_DIR", "model")
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.pkl").touch()
    assert Model.get_model_path("model") == "model"


def test_without_a_model_folder_the_working_directory_is_looked_at(models: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("AZUREML_MODEL_DIR")
    assert Model.get_model_path("fraud") == str(models / "fraud" / "10" / "model.pkl")


def test_nothing_else_of_the_class_is_there(models: Path):
    with pytest.raises(NotImplementedError, match="azureml-core"):
        Model("workspace", "fraud")


def run_code(code: str, *path: Path) -> str:
    lines = "import sys; from mlctl.scoring.v1_shim import install_shim; install_shim(); install_shim()\n"
    lines += f"sys.path[:0] = {[str(one) for one in path]}\n"
    ran = subprocess.run([sys.executable, "-c", lines + code], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


def test_the_stand_in_is_imported_when_asked_for_only():
    code = "print('mlctl.scoring.v1_model' in sys.modules); import azureml.core.model as m; print(m.Model.__module__)"
    assert run_code(code).split() == ["False", "mlctl.scoring.v1_model"]
    assert run_code("from azureml.core import Model; print(Model.__module__)") == "mlctl.scoring.v1_model"
    assert run_code("try: from azureml.core import Workspace\nexcept ImportError as error: print(error)").startswith(
        "cannot import name 'Workspace' from 'azureml.core'"
    )


def test_it_steps_aside_for_the_real_package(tmp_path: Path):
    core = tmp_path / "azureml" / "core"
    core.mkdir(parents=True)
    (core / "__init__.py").touch()
    (core / "model.py").write_text("Model = 'real'")
    assert run_code("from azureml.core.model import Model; print(Model)", tmp_path) == "real"


def test_it_fills_what_another_azureml_package_lacks(tmp_path: Path):
    (tmp_path / "azureml" / "ai").mkdir(parents=True)
    (tmp_path / "azureml" / "ai" / "__init__.py").touch()
    code = "import azureml.ai; from azureml.core.model import Model; print(Model.__module__)"
    assert run_code(code, tmp_path) == "mlctl.scoring.v1_model"
