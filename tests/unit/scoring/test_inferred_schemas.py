"""Schemas that loaders infer refuse no body that the same loader would have scored."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
import json
from typing import Any

import joblib
import pandas as pd
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from mlctl.scoring.json_schema.compiling import Rule, compile_schema
from mlctl.scoring.no_code.onnx_model import OnnxModel
from mlctl.scoring.no_code.signatures import Column, describe_table
from mlctl.scoring.no_code.signatures import _TableReader as TableReader
from mlctl.scoring.no_code.sklearn_model import SklearnModel
from tests.acceptance.scoring.onnx_files import Output, Tensor, write_onnx

COLUMNS = [Column("a", "double", "float64", is_required=True), Column("b", "long", "int64", is_required=True)]
_cells = st.sampled_from([None, True, 0, 1, 2.0, 1.5, "1", "x", "nan", [], [1], {}])
_lists = st.lists(st.lists(_cells, max_size=3) | _cells, max_size=3) | st.lists(
    st.lists(st.sampled_from([1, 2.5, 3, True]), min_size=2, max_size=2), max_size=3
)
_lists |= st.lists(st.dictionaries(st.sampled_from(["a", "b", "c"]), st.sampled_from([1, 2.5])), min_size=1, max_size=2)
_columns = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3, unique=True) | st.sampled_from(
    ["ab", None, ["a", "b"]]
)
_tables = st.fixed_dictionaries({}, optional={"columns": _columns, "data": _lists | _cells, "index": _lists})
_values = _lists | _tables | _cells
_bodies = st.dictionaries(st.sampled_from(["features", "input_data", "data", "X", "a", "b"]), _values, max_size=3)
_SETTINGS = settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])


@pytest.fixture(name="models", scope="module")
def _models(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Any, Rule]]:
    folder = tmp_path_factory.mktemp("models")
    plain = LinearRegression().fit([[0, 1], [1, 0]], [0, 1])
    named = LinearRegression().fit(pd.DataFrame({"a": [0, 1], "b": [1, 0]}), [0, 1])
    joblib.dump(plain, folder / "plain.pkl")
    joblib.dump(named, folder / "named.pkl")
    found: list[Any] = [SklearnModel(folder / "plain.pkl"), SklearnModel(folder / "named.pkl")]
    for kind in ("float", "int64", "string", "bool"):
        for name in ("X", "data"):
            path = folder / f"{kind}-{name}.onnx"
            write_onnx(path, [Tensor(name, kind, (None, 2))], [Output("Y", "Identity", (name,))])
            found.append(OnnxModel(path))
    for shape in ((None, 1), (None,)):
        inputs = [Tensor("a", "float", shape), Tensor("b", "float", shape)]
        found.append(OnnxModel(write_onnx(folder / f"two{len(shape)}.onnx", inputs, [Output("Y", "Add", ("a", "b"))])))
    for model in found:
        model.init()
    return [(model, compile_schema(model.describe_body())) for model in found]


@_SETTINGS
@given(_bodies | _cells)
@pytest.mark.filterwarnings("ignore")
def test_a_refused_body_is_one_that_the_loader_fails_for(models: list[tuple[Any, Rule]], body: Any) -> None:
    text = json.dumps(body)
    for model, rule in models:
        if not rule.fits(json.loads(text)):
            with pytest.raises(Exception, match=r"(?s).*"):
                model.run(text)


@settings(max_examples=500, deadline=None)
@given(_tables | _values)
@pytest.mark.filterwarnings("ignore")
def test_a_refused_table_is_one_that_cannot_be_converted(value: Any) -> None:
    assume(not compile_schema(describe_table(COLUMNS)).fits(value))
    try:
        frame = TableReader(COLUMNS).convert(value)
    except Exception:
        return
    # What is converted lacks a column: MLflow's own check refuses it.
    assert not {"a", "b"} <= set(frame.columns), (value, frame)
