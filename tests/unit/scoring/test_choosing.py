"""Which loader serves a model's files."""

import pytest

from mlctl.scoring.no_code.choosing import Choice, ModelRefused, choose, read_choice


@pytest.mark.parametrize(
    ("files", "choice"),
    [
        (["model/MLmodel", "model/model.pkl", "model/conda.yaml"], Choice("mlflow", "model")),
        (["MLmodel", "artifacts/inner/MLmodel"], Choice("mlflow", ".")),
        (["model.pkl"], Choice("sklearn", "model.pkl")),
        (["model/fraud.JOBLIB", "model/README.md"], Choice("sklearn", "model/fraud.JOBLIB")),
        (["m.pickle"], Choice("sklearn", "m.pickle")),
        (["m/model.onnx", "m/model.onnx.data"], Choice("onnx", "m/model.onnx")),
    ],
)
def test_the_files_tell_the_loader(files: list[str], choice: Choice) -> None:
    assert choose(files) == choice
    assert read_choice(str(choice)) == choice


@pytest.mark.parametrize(
    ("files", "kind", "found", "hint"),
    [
        (["m/a.pkl", "m/b.onnx"], "custom_model", "2 files of the model.*m/a.pkl, m/b.onnx", "path: ./a.pkl"),
        (["a/MLmodel", "b/MLmodel"], "mlflow_model", "2 MLflow models: a, b", "folder of one of them"),
        (["m/model.pkl"], "mlflow_model", "holds no file MLmodel; it holds: m/model.pkl", "code_configuration"),
        (["m/weights.bin"], "custom_model", "the model holds: m/weights.bin", "code_configuration"),
        ([], "custom_model", "the model holds: nothing", "code_configuration"),
        (["m/1/model.plan"], "triton_model", "Triton in a container, mlctl runs processes", "code_configuration"),
    ],
)
def test_what_cannot_be_told_is_refused_with_what_was_found(files: list[str], kind: str, found: str, hint: str) -> None:
    with pytest.raises(ModelRefused, match=found) as caught:
        choose(files, kind)
    assert hint in caught.value.hint


def test_a_choice_of_no_loader_is_refused() -> None:
    with pytest.raises(ValueError, match="no loader torch"):
        read_choice("torch:model.pt")
