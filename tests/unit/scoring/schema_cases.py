"""What types of inference_schema make of samples and of requests, written as JSON, by whichever package is there.

`schema_cases.json` was written by inference-schema 1.8, with a Python that has it, numpy, pandas and pyspark:
`python tests/unit/scoring/schema_cases.py > tests/unit/scoring/schema_cases.json`. `test_schema` compares.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time, timedelta, timezone
from typing import Any, NamedTuple

# What the package says itself; whatever numpy, pandas or Python say differs from version to version.
_OWN_MESSAGES = (
    *(f"Invalid {what}" for what in ("input", "sample", "python", "orient", "numpy")),
    "Error, ",
    "Sample input",
    "We currently",
)


class Case(NamedTuple):
    """A type, and what requests may hold for it."""

    make: Callable[[], Any]
    inputs: Sequence[Any] = ()


def _types(name: str) -> Any:
    return importlib.import_module(f"inference_schema.parameter_types.{name}_parameter_type")


def standard(sample: Any) -> Any:
    return _types("standard_py").StandardPythonParameterType(sample)


def array(sample: Any, dtype: Any = None, **options: Any) -> Any:
    numpy: Any = importlib.import_module("numpy")
    return _types("numpy").NumpyParameterType(numpy.array(sample, dtype=dtype), **options)


def frame(columns: Mapping[Any, Any], **options: Any) -> Any:
    pandas: Any = importlib.import_module("pandas")
    return _types("pandas").PandasParameterType(pandas.DataFrame(columns), **options)


def times() -> dict[str, Any]:
    pandas: Any = importlib.import_module("pandas")
    return {
        "at": pandas.Series(["2020-01-02T03:04:05"], dtype="datetime64[ns]"),
        "took": pandas.Series([timedelta(hours=1)], dtype="timedelta64[ns]"),
    }


def spark(schema: str, rows: Sequence[Any], **options: Any) -> Any:
    sql: Any = importlib.import_module("pyspark.sql")
    session = sql.SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    return _types("spark").SparkParameterType(session.createDataFrame(rows, schema), **options)


def own(example: Any) -> Any:
    base = _types("abstract").AbstractParameterType

    class Image(base):
        def deserialize_input(self, input_data: Any) -> Any:
            return f"image of {input_data}"

        def input_to_swagger(self) -> Any:
            return {"type": "string", "format": "image", "example": self.sample_input}

    return Image(example)


NUMBERS = {"a": [1, 2], "b": [1.5, 2.5]}
RECORDS = [{"a": 3, "b": 4}, {"a": 5, "b": 6.5}]
DTYPE = [("name", "U5"), ("size", "f8"), ("place", "i4", (2,))]
KINDS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")

STANDARD: dict[str, Case] = {
    "int": Case(lambda: standard(1), [2, True, 2.5, "2", None, [1]]),
    "float": Case(lambda: standard(1.5), [2.5, 2, True, "2.5", None]),
    "str": Case(lambda: standard("x"), ["y", "", 1, None, ["y"]]),
    "bool": Case(lambda: standard(True), [False, 1, "true"]),
    "bytes": Case(lambda: standard(b"abc"), ["aGVsbG8=", "", 1, "not base64!"]),
    "bytearray": Case(lambda: standard(bytearray(b"abc")), ["aGVsbG8="]),
    "date": Case(lambda: standard(date(2020, 1, 2)), ["2020-01-02"]),
    "datetime": Case(
        lambda: standard(datetime(2020, 1, 2, 3, 4, 5, 6)),
        ["2020-01-02 03:04:05.000006 +0000", "2020-01-02T03:04:05", "2020-01-02T03:04:05+02:00", "no date", 5],
    ),
    "datetime with a zone": Case(lambda: standard(datetime(2020, 1, 2, tzinfo=timezone(timedelta(hours=2))))),
    "time": Case(lambda: standard(time(3, 4, 5)), ["03:04:05.000000 +0000", "10:20:30", "no time"]),
    "list": Case(lambda: standard([1.5, 2.5]), [[1], ["any", None], [], {"a": 1}, "text", 5]),
    "empty list": Case(lambda: standard([])),
    "nested list": Case(lambda: standard([[1, 2], [3, 4]]), [[[1, "x"], 5]]),
    "mixed list": Case(lambda: standard([1, "x", 2.5])),
    "deeply mixed list": Case(lambda: standard({"a": [{"b": [[1, "x"]]}]})),
    "tuple": Case(lambda: standard((1, 2)), [[1, 2, 3], "text"]),
    "range": Case(lambda: standard(range(3)), [[0, 1, 2]]),
    "dict": Case(lambda: standard({"a": 1, "b": ["x"], "c": {"d": b"e"}}), [{"a": "any"}, {}, {"more": 1}, [1], "t"]),
    "dict of types": Case(
        lambda: standard({"rows": array([[1.0, 2.0]]), "who": standard("x"), "plain": 3}),
        [{"rows": [[3, 4]], "who": "y"}, {"rows": [[3]]}, {"who": 1}, {"other": [1]}],
    ),
    "list of types": Case(
        lambda: standard([array([[1.0, 2.0]]), array([[3.0, 4.0]])]), [[[[5, 6]], [[7, 8], [9, 10]]], [[[1]]], []]
    ),
    "types in types": Case(
        lambda: standard({"deep": standard({"deeper": standard([standard(datetime(2020, 1, 2))])})}),
        [{"deep": {"deeper": ["2021-02-03"]}}, {"deep": {"deeper": [1]}}, {"deep": [1]}],
    ),
    "type behind a value": Case(lambda: standard([1, standard(2)])),
    "none": Case(lambda: standard(None)),
    "object": Case(lambda: standard(object())),
    "complex": Case(lambda: standard([1j])),
    "own": Case(lambda: own("cat"), ["dog", 5]),
    "own in a dict": Case(lambda: standard({"image": own("cat")}), [{"image": 5}, {"image": "already"}]),
    "own with a dict": Case(lambda: own({"a": 1}), [{"a": 2}]),
}

NUMPY: dict[str, Case] = {
    "array": Case(
        lambda: array([[1.5, 2.5]]),
        [[[1, 2]], [[1, 2], [3, 4]], [[1, 2, 3]], [1, 2], [[[1, 2]]], [], [["1", "2.5"]], [["x", "y"]], 5, "text"],
    ),
    "flat array": Case(lambda: array([1, 2, 3]), [[4, 5], [4.7], [[1]], []]),
    "cube": Case(lambda: array([[[1, 2], [3, 4]]]), [[[[5, 6], [7, 8]]], [[[5, 6]]]]),
    "array of any shape": Case(lambda: array([[1, 2]], enforce_shape=False), [[[1, 2, 3]], [1], [[1.7, 2]]]),
    "array of any type": Case(lambda: array([[1, 2]], enforce_column_type=False), [[[1.5, 2]], [["x", "y"]]]),
    "array of booleans": Case(lambda: array([True, False]), [[True, False], [1, 0]]),
    "array of text": Case(lambda: array(["ab", "c"]), [["d", "efg"]]),
    "array of bytes": Case(lambda: array([b"ab"])),
    "array of objects": Case(lambda: array([1, "x"], dtype=object), [[1, "y", None]]),
    "array of days": Case(lambda: array(["2020-01-02"], "datetime64[D]"), [["2021-02-03", "2021-02-04"], ["never"]]),
    "array of moments": Case(lambda: array(["2020-01-02T03:04:05"], "datetime64[s]"), [["2021-02-03T01:02:03"]]),
    "array of nanoseconds": Case(lambda: array(["2020-01-02T03:04:05"], "datetime64[ns]")),
    "array of durations": Case(
        lambda: array([3], "timedelta64[D]"), [["2 days", "5 days"], ["2 fortnights"], ["2"], ["x days"]]
    ),
    "array of records": Case(
        lambda: array([("ab", 1.5, [1, 2])], dtype=DTYPE),
        [[{"name": "cd", "size": 2, "place": [3, 4]}], [["cd", 2, [3, 4]]], [{"name": "cd"}]],
    ),
    "complex array": Case(lambda: array([1j])),
    "no array": Case(lambda: _types("numpy").NumpyParameterType([[1]])),
    "number": Case(lambda: array(5)),
    **{f"array of {kind}": Case(lambda kind=kind: array([[1, 0]], kind), [[[1, 0]]]) for kind in KINDS},
}

PANDAS: dict[str, Case] = {
    "frame": Case(
        lambda: frame(NUMBERS),
        [
            RECORDS,
            [{"b": 1, "a": 2}],
            [{"a": 1}],
            [{"a": 1, "b": 2, "c": 3}],
            [{"a": 1, "c": 3}],
            [],
            "text",
            5,
            [[1, 2]],
        ],
    ),
    "frame of text": Case(lambda: frame({"a": ["x"], "b": ["2020-01-02"]}), [[{"a": "y", "b": "2021-01-01"}]]),
    "frame of any shape": Case(lambda: frame(NUMBERS, enforce_shape=False), [[{"a": 1}], [{"a": 1, "b": 2, "c": 3}]]),
    "frame of any type": Case(lambda: frame(NUMBERS, enforce_column_type=False), [RECORDS]),
    "frame with names": Case(lambda: frame({0: [1], 1: [2]}), [[{"0": 5, "1": 6}]]),
    "split": Case(
        lambda: frame(NUMBERS, orient="split"),
        [{"columns": ["a", "b"], "index": [0], "data": [[1, 2]]}, {"columns": ["a"], "data": [[1]]}, {"x": 1}],
    ),
    "index": Case(lambda: frame(NUMBERS, orient="index"), [{"0": {"a": 1, "b": 2}, "1": {"a": 3, "b": 4}}]),
    "columns": Case(lambda: frame(NUMBERS, orient="columns"), [{"a": {"0": 1}, "b": {"0": 2}}]),
    "values": Case(lambda: frame({0: [1, 2], 1: [1.5, 2.5]}, orient="values"), [[[1, 2], [3, 4]], [[1]]]),
    "table": Case(
        lambda: frame(NUMBERS, orient="table"),
        [
            {
                "schema": {"fields": [{"name": "a", "type": "integer"}, {"name": "b", "type": "number"}]},
                "data": [{"a": 1, "b": 2.5}],
            }
        ],
    ),
    "times": Case(lambda: frame(times())),
    "times by index": Case(lambda: frame(times(), orient="index")),
    "times by column": Case(lambda: frame(times(), orient="columns")),
    "times in a table": Case(lambda: frame(times(), orient="table")),
    "other orient": Case(lambda: frame(NUMBERS, orient="sideways")),
    "no frame": Case(lambda: _types("pandas").PandasParameterType({"a": 1})),
}

SPARK: dict[str, Case] = {
    "spark": Case(
        lambda: spark("a int, b double, c string", [(1, 1.5, "x")]), [[{"a": 2, "b": 2.5, "c": "y"}], [{"a": 2}], 5]
    ),
    "spark of nested": Case(
        lambda: spark("a array<int>, b map<string,double>, c struct<d: int>", [([1, 2], {"k": 1.5}, (3,))]),
        [[{"a": [3], "b": {"l": 2.5}, "c": {"d": 4}}]],
    ),
    "spark of small numbers": Case(
        lambda: spark("a byte, b short, c long, d float, e boolean", [(1, 2, 3, 1.5, True)]),
        [[{"a": 1, "b": 2, "c": 3, "d": 0.5, "e": False}]],
    ),
    "spark of bytes": Case(lambda: spark("a binary", [(bytearray(b"abc"),)]), [[{"a": "aGVsbG8="}]]),
    "spark inferred": Case(lambda: spark("a int", [(1,)], apply_sample_schema=False), [[{"b": "y"}]]),
    "spark of dates": Case(lambda: spark("a date", [(date(2020, 1, 2),)])),
}


def render(value: Any) -> Any:
    """Write what a request was converted to."""
    kind = type(value).__name__
    if kind == "ndarray":
        return {"array": str(value.tolist()), "dtype": value.dtype.name, "shape": list(value.shape)}
    if kind == "DataFrame" and hasattr(value, "collect"):
        return {"rows": [str(row) for row in value.collect()], "schema": value.schema.simpleString()}
    if kind == "DataFrame":
        dtypes = {str(name): dtype.kind for name, dtype in value.dtypes.items() if dtype.kind not in "OSUT"}
        return {"rows": str(value.to_dict("split")), "dtypes": dtypes}
    if isinstance(value, dict):
        return {name: render(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return {kind: [render(item) for item in value]}
    return f"{kind}: {value}"


def attempt(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:
        message = str(error)
        return {"error": message if message.startswith(_OWN_MESSAGES) else "another"}


def describe(case: Case) -> Any:
    """Return what a type says of itself, and what it makes of the inputs."""
    decorators: Any = importlib.import_module("inference_schema.schema_decorators")
    kind = attempt(case.make)
    if isinstance(kind, dict):
        return kind
    decorated = attempt(lambda: decorators.input_schema("data", kind))
    if isinstance(decorated, dict):
        return decorated

    def run(data: Any) -> Any:
        return data

    run = decorated(run)
    converted = [attempt(lambda given=given: render(run(data=given))) for given in json.loads(json.dumps(case.inputs))]
    return {"swagger": kind.input_to_swagger(), "versions": kind.supported_versions(), "converted": converted}


if __name__ == "__main__":
    cases = {**STANDARD, **NUMPY, **PANDAS, **SPARK}
    json.dump({name: describe(case) for name, case in cases.items()}, sys.stdout, indent=1)
    sys.stdout.write("\n")
