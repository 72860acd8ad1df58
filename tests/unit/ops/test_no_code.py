"""The environment of a model without a scoring script, and what pickles tell without being run."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
import pickle
from pathlib import Path
from typing import Any

import joblib
import pandas as pd
import pytest
import sklearn
from sklearn.linear_model import LogisticRegression

from mlctl.errors import InvalidInput
from mlctl.ops.no_code import Files, choose_served, list_files
from mlctl.ops.pickle_facts import list_pickle_packages

SKLEARN = f"scikit-learn=={sklearn.__version__}"


def write_mlflow(folder: Path, files: dict[str, str], flavors: str = "python_function: {env: conda.yaml}") -> Files:
    model = folder / "model"
    model.mkdir()
    (model / "MLmodel").write_text(f"mlflow_version: 2.9.1\nflavors:\n  {flavors}\n")
    for name, text in files.items():
        (model / name).write_text(text)
    return Files(folder, list_files(model), "mlflow_model")


def list_dependencies(files: Files) -> Any:
    return choose_served("blue", files).default.source.spec["conda_file"]["dependencies"]


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 3), ("lzma", 3)])
def test_the_version_of_scikit_learn_is_read_without_unpickling(tmp_path: Path, compress: Any) -> None:
    path = tmp_path / "model.joblib"
    joblib.dump(LogisticRegression().fit([[0, 1], [1, 0]], [0, 1]), path, compress=compress)
    assert list_pickle_packages(path) == (SKLEARN, "joblib", "numpy")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_every_protocol_is_read_and_names_of_columns_ask_for_pandas(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "model.pkl"
    model = LogisticRegression().fit(pd.DataFrame({"a": [0, 1]}), [0, 1])
    path.write_bytes(pickle.dumps(model, protocol=protocol))
    assert list_pickle_packages(path) == (SKLEARN, "joblib", "numpy", "pandas")


def test_nothing_in_a_pickle_is_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> Any:
            return exec, (f"open({str(tmp_path / 'sprung')!r}, 'w')",)

    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Trap()))
    assert list_pickle_packages(path) == ("scikit-learn", "joblib", "numpy")
    assert not (tmp_path / "sprung").exists()


def test_other_packages_that_a_pickle_names_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"\x80\x04\x8c\x0fxgboost.sklearn\x8c\rXGBClassifier\x93)\x81.")
    assert list_pickle_packages(path)[-1] == "xgboost"


def test_a_pickle_that_only_looks_compressed_is_read_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(b"x not compressed at all")
    assert list_pickle_packages(path)[0] == "scikit-learn"


def test_an_mlflow_model_has_the_packages_of_its_conda_file(tmp_path: Path) -> None:
    conda = "dependencies: [python=3.11.4, pip, {pip: [mlflow==2.9.1, six]}]\n"
    files = write_mlflow(tmp_path, {"conda.yaml": conda, "requirements.txt": "other\n"})
    assert list_dependencies(files) == ["python=3.11.4", "pip", {"pip": ["mlflow==2.9.1", "six"]}]
    told = choose_served("blue", files).describe("blue", has_environment=False)
    assert told.endswith("model is served as an MLflow model, with the packages of its conda.yaml")


def test_mlflow_is_added_in_the_version_that_saved_the_model(tmp_path: Path) -> None:
    files = write_mlflow(tmp_path, {"conda.yaml": "dependencies: [{pip: [six]}]\n"})
    assert list_dependencies(files) == [{"pip": ["six"]}, {"pip": ["mlflow==2.9.1"]}]


def test_the_small_mlflow_will_do(tmp_path: Path) -> None:
    files = write_mlflow(tmp_path, {"conda.yaml": "dependencies: [{pip: [mlflow-skinny==2.9.1]}]\n"})
    assert list_dependencies(files) == [{"pip": ["mlflow-skinny==2.9.1"]}]


def test_without_a_conda_file_python_env_counts_then_the_requirements(tmp_path: Path) -> None:
    flavors = "python_function: {env: {conda: conda.yaml, virtualenv: python_env.yaml}}"
    env = "python: 3.11.4\nbuild_dependencies: [pip]\ndependencies: [-r requirements.txt]\n"
    files = write_mlflow(tmp_path, {"python_env.yaml": env, "requirements.txt": "mlflow==2.9.1\nsix\n"}, flavors)
    assert list_dependencies(files) == ["python=3.11.4", {"pip": ["mlflow==2.9.1", "six"]}]
    (tmp_path / "model" / "python_env.yaml").unlink()
    assert list_dependencies(files) == [{"pip": ["mlflow==2.9.1", "six"]}]


def test_an_mlflow_model_of_a_flavour_that_cannot_be_served_is_refused(tmp_path: Path) -> None:
    files = write_mlflow(tmp_path, {}, "spark: {model_data: sparkml}")
    with pytest.raises(InvalidInput, match=r"no python_function flavour \(spark\)"):
        choose_served("blue", files)


def test_without_a_model_there_is_nothing_to_serve() -> None:
    with pytest.raises(InvalidInput, match="neither code_configuration nor model"):
        choose_served("blue", None)


def test_the_files_of_a_model_are_named_as_azure_lays_them_out(tmp_path: Path) -> None:
    (tmp_path / "model" / "deep").mkdir(parents=True)
    (tmp_path / "model" / "deep" / "a.pkl").touch()
    assert list_files(tmp_path / "model") == ("model/deep/a.pkl",)
    assert list_files(tmp_path / "model" / "deep" / "a.pkl") == ("a.pkl",)
