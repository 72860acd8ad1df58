"""The stand-in for inference_schema makes the same of samples and requests as the package, version 1.8."""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from functools import wraps
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlctl.scoring.schema import standard_type
from mlctl.scoring.schema.declared import (
    get_input_schema,
    get_output_schema,
    get_schemas_dict,
    get_supported_versions,
    is_schema_decorated,
)
from mlctl.scoring.schema.decorators import input_schema, output_schema
from mlctl.scoring.schema.numpy_type import NumpyParameterType
from mlctl.scoring.schema.pandas_type import PandasParameterType
from mlctl.scoring.schema.standard_type import StandardPythonParameterType
from mlctl.scoring.v1_shim import install_shim
from tests.unit.scoring.schema_cases import NUMPY, PANDAS, SPARK, STANDARD, describe

EXPECTED = json.loads(Path(__file__).with_name("schema_cases.json").read_text())


@pytest.fixture(scope="module", autouse=True)
def stand_in() -> Iterator[None]:
    before = list(sys.meta_path)
    install_shim()
    yield
    sys.meta_path[:] = before
    for name in [name for name in sys.modules if name.partition(".")[0] == "inference_schema"]:
        del sys.modules[name]


def _check(cases: Any, name: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what pandas and numpy have to say of their newer versions
        found = describe(cases[name])
    assert json.loads(json.dumps(found)) == EXPECTED[name]


@pytest.mark.parametrize("name", STANDARD)
def test_python_type_is_as_in_the_package(name: str) -> None:
    _check(STANDARD, name)


@pytest.mark.parametrize("name", NUMPY)
def test_array_is_as_in_the_package(name: str) -> None:
    _check(NUMPY, name)


@pytest.mark.parametrize("name", PANDAS)
def test_frame_is_as_in_the_package(name: str) -> None:
    _check(PANDAS, name)


@pytest.mark.skipif(importlib.util.find_spec("pyspark") is None, reason="pyspark is not installed")
@pytest.mark.parametrize("name", SPARK)
def test_spark_frame_is_as_in_the_package(name: str) -> None:
    _check(SPARK, name)


def test_every_case_is_recorded() -> None:
    assert set(EXPECTED) == {*STANDARD, *NUMPY, *PANDAS, *SPARK}


def double(data: Any, factor: float = 2.0, *, more: Any = None, request_headers: Any = None) -> Any:
    return [data * factor, more]


ROWS = NumpyParameterType(np.array([[1.0, 2.0]]))
NUMBER = StandardPythonParameterType(1.5)
MIXED = StandardPythonParameterType([1, "x"])


def _copy() -> Callable[..., Any]:
    """Return a function that nothing is declared for yet."""

    def run(data: Any, factor: float = 2.0, *, more: Any = None, request_headers: Any = None) -> Any:
        return double(data, factor, more=more)

    return run


def test_input_of_a_function_lists_all_its_parameters() -> None:
    run = input_schema("factor", NUMBER)(input_schema("data", ROWS)(_copy()))
    assert get_input_schema(run) == {
        "type": "object",
        "properties": {
            "data": {
                "type": "array",
                "items": {"type": "array", "items": {"type": "number", "format": "double"}},
                "format": "numpy.ndarray",
            },
            "factor": {"type": "number", "format": "double"},
        },
        "example": {"data": [[1.0, 2.0]], "factor": 1.5},
    }


def test_parameters_without_a_schema_are_there_but_not_described() -> None:
    schema = get_input_schema(input_schema("more", NUMBER)(_copy()))
    assert schema["properties"] == {"data": {}, "factor": {}, "more": {"type": "number", "format": "double"}}
    assert schema["example"] == {"data": "", "factor": "", "more": 1.5}


def test_output_is_described_and_not_checked() -> None:
    run = output_schema(NUMBER)(_copy())
    assert get_output_schema(run) == {"type": "number", "format": "double", "example": 1.5}
    assert get_input_schema(run) == {"type": "object"}
    assert is_schema_decorated(run)
    assert run("x", 2) == ["xx", None]


def test_second_output_is_refused() -> None:
    with pytest.raises(ValueError, match=r"output schema already defined for function: .*test_schema\.run"):
        output_schema(NUMBER)(output_schema(NUMBER)(_copy()))


def test_undecorated_function_has_no_schema_and_all_versions() -> None:
    assert not is_schema_decorated(double)
    assert get_input_schema(double) == get_output_schema(double) == {"type": "object"}
    assert get_supported_versions(double) == ["2.0", "3.0", "3.1"]


def test_versions_are_those_that_express_input_and_output() -> None:
    assert get_supported_versions(input_schema("data", ROWS)(_copy())) == ["2.0", "3.0", "3.1"]
    assert get_supported_versions(input_schema("data", MIXED)(_copy())) == ["3.0", "3.1"]
    assert get_supported_versions(output_schema(MIXED)(input_schema("data", ROWS)(_copy()))) == ["3.0", "3.1"]


def test_schemas_of_all_functions_are_a_copy() -> None:
    run = input_schema("data", NUMBER)(_copy())
    name = "tests.unit.scoring.test_schema.run"
    get_schemas_dict()[name]["input_schema"]["properties"].clear()
    assert get_schemas_dict()[name]["input_schema"] == get_input_schema(run)


def test_schema_is_found_below_decorators_that_keep_the_name_and_such_that_do_not() -> None:
    decorated = input_schema("data", NUMBER)(_copy())

    @wraps(decorated)
    def polite(*args: Any, **kwargs: Any) -> Any:
        return decorated(*args, **kwargs)

    def rude(data: Any) -> Any:
        return decorated(data)

    for run in (polite, rude):
        assert is_schema_decorated(run)
        assert get_input_schema(run) == get_input_schema(decorated)


def test_function_that_calls_itself_is_looked_at_once() -> None:
    def outer() -> Callable[..., Any]:
        def run(data: Any) -> Any:
            return run(data)

        return run

    assert not is_schema_decorated(outer())


def test_arguments_are_converted_by_name_and_by_position() -> None:
    run = input_schema("data", ROWS)(_copy())
    assert run(data=[[1, 2]])[0].tolist() == run([[1, 2]])[0].tolist() == [[2.0, 4.0]]
    assert run([[1, 2]], 3)[0].tolist() == [[3.0, 6.0]]


def test_argument_that_is_of_the_type_is_left_alone() -> None:
    rows = np.array([["x"]], dtype=object)
    assert input_schema("data", ROWS, convert_to_provided_type=True)(lambda data: data)(data=rows) is rows


def test_nothing_is_converted_on_request() -> None:
    run = input_schema("data", ROWS, convert_to_provided_type=False)(_copy())
    assert run(data=[[1]], factor=1)[0] == [[1]]
    assert is_schema_decorated(run)


@pytest.mark.parametrize("given", [None, "", [], 0])
def test_optional_argument_that_is_empty_is_left_alone(given: Any) -> None:
    run = input_schema("more", StandardPythonParameterType({"a": 1}), optional=True)(_copy())
    assert run(data=1, more=given) == [2.0, given]


def test_optional_argument_is_converted_when_it_is_there() -> None:
    run = input_schema("more", StandardPythonParameterType(datetime(2020, 1, 1)), optional=True)(_copy())
    assert run(data=1, more="2021-02-03") == [2.0, datetime(2021, 2, 3)]
    assert run(data=1) == [2.0, None]
    with pytest.raises(ValueError, match="never"):
        run(data=1, more="never")


def test_parameter_that_is_not_there_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match='provided param_name "rows" is not in the decorated function'):
        input_schema("rows", ROWS)(_copy())


def test_what_is_no_type_is_refused_with_what_is() -> None:
    with pytest.raises(
        TypeError, match=r"param_type must be a subclass.*StandardPythonParameterType\(sample\), not list"
    ):
        input_schema("data", [1])  # pyright: ignore[reportArgumentType]
    with pytest.raises(TypeError, match="output_type must be"):
        output_schema(dict)  # pyright: ignore[reportArgumentType]


def test_own_type_without_an_example_is_refused_by_name() -> None:
    class Image(StandardPythonParameterType):
        def input_to_swagger(self) -> dict[str, Any]:
            return {"type": "string"}

    with pytest.raises(ValueError, match=r'input_to_swagger\(\) of Image returns must have an "example"'):
        input_schema("data", Image("x"))


def test_apply_column_names_is_deprecated_and_works() -> None:
    pandas = pytest.importorskip("pandas")
    sample = pandas.DataFrame({"x": [1], "y": [2]})
    with pytest.warns(DeprecationWarning, match="apply_column_names"):
        kind = PandasParameterType(sample, apply_column_names=True)
    assert kind.deserialize_input([{"a": 1, "b": 2}]).to_dict("records") == [{"x": 1, "y": 2}]


def test_times_without_a_zone_are_refused_where_the_sample_has_one() -> None:
    pandas = pytest.importorskip("pandas")
    sample = pandas.DataFrame({"at": pandas.to_datetime(["2020-01-01"], utc=True)})
    naive = json.loads(sample.assign(at=sample["at"].dt.tz_localize(None)).to_json(orient="table"))
    with pytest.raises(ValueError, match="can no longer convert from timezone-naive"):
        PandasParameterType(sample, orient="table").deserialize_input(naive)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2020-01-02 03:04:05.000006 +0000", datetime(2020, 1, 2, 3, 4, 5, 6, UTC)),
        ("2020-01-02T03:04:05+02:00", datetime(2020, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))),
        ("2020-01-02", datetime(2020, 1, 2)),
    ],
)
def test_dates_are_read_where_dateutil_is_not_installed(
    text: str, moment: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "dateutil.parser", None)
    assert StandardPythonParameterType(moment).deserialize_input(text) == moment
    of_day = StandardPythonParameterType(moment.time())
    if "T" in text or " " in text:
        assert of_day.deserialize_input(text.replace("T", " ").split(" ", 1)[1]) == moment.timetz()
    with pytest.raises(ValueError, match="put python-dateutil in the environment"):
        of_day.deserialize_input("noon")


def test_dateutil_is_what_reads_dates_where_it_is_installed() -> None:
    pytest.importorskip("dateutil")
    assert standard_type.StandardPythonParameterType(datetime(2020, 1, 1)).deserialize_input("3 Feb 2021") == datetime(
        2021, 2, 3
    )
