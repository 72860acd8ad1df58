"""What is inferred from @input_schema refuses nothing that the types of the parameters take."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from mlctl.scoring.json_schema.compiling import compile_schema
from mlctl.scoring.parameter_schemas import describe_parameters
from mlctl.scoring.schema.decorators import input_schema
from mlctl.scoring.schema.numpy_type import NumpyParameterType
from mlctl.scoring.schema.pandas_type import PandasParameterType
from mlctl.scoring.schema.parameter_type import AbstractParameterType
from mlctl.scoring.schema.standard_type import StandardPythonParameterType

VALUES: list[Any] = [None, True, 0, 1.0, 1.5, "", "1", "abc", "2020-01-01", [], [1], [[1, 2]], ["a"], {}, {"a": [1]}]


def decorate(kind: AbstractParameterType, **options: Any) -> Callable[..., Any]:
    @input_schema("value", kind, **options)
    def run(value: Any = None) -> Any:
        return value

    return run


@pytest.mark.parametrize(
    "kind",
    [
        *(StandardPythonParameterType(one) for one in (1, 1.5, True, "a", [1], {"a": 1}, b"a")),
        NumpyParameterType(np.array([[1.5, 2.5]])),
        NumpyParameterType(np.array([1]), enforce_shape=False),
        PandasParameterType(pd.DataFrame({"a": [1]})),
        PandasParameterType(pd.DataFrame({"a": [1]}), orient="split", enforce_shape=False),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_value_that_is_refused_is_one_that_the_conversion_fails_for(kind: AbstractParameterType) -> None:
    run = decorate(kind)
    schema = describe_parameters(run)
    assert schema is not None
    rule, refused = compile_schema(schema), 0
    for value in VALUES:
        if not rule.fits({"value": value}):
            refused += 1
            with pytest.raises(Exception, match=r".*"):
                run(value=json.loads(json.dumps(value)))
    assert refused > 2


def test_every_decorator_of_a_function_is_looked_at() -> None:
    @input_schema("rows", NumpyParameterType(np.array([1])))
    @input_schema("name", StandardPythonParameterType("x"))
    def run(rows: Any, name: str) -> None: ...

    assert describe_parameters(run) == {"properties": {"rows": {"type": "array"}, "name": {"type": "string"}}}


def test_nothing_is_said_of_optional_and_unconverted_parameters_and_of_types_of_ones_own() -> None:
    class Own(StandardPythonParameterType):
        def deserialize_input(self, input_data: Any) -> Any:
            return input_data

    text = StandardPythonParameterType("x")
    assert describe_parameters(decorate(text, optional=True)) is None
    assert describe_parameters(decorate(text, convert_to_provided_type=False)) is None
    assert describe_parameters(decorate(Own("x"))) is None
    assert describe_parameters(lambda value: value) is None
