"""Serves an MLflow model with the python_function flavour, as Azure's own script does. Source: scoring contract 5.1.

Body: `{"input_data": …, "params": {…}}`. Answer: the bare list of predictions, records for a DataFrame. The model's
signature says what input_data becomes: a DataFrame of its columns, an array, named arrays. Without one: pandas' split
form with columns, index and data a DataFrame, a list an array, an object named arrays; the flavours that take text
are given text as it is.
"""

from __future__ import annotations

import importlib
import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from mlctl.scoring.no_code.signatures import Convert, Signature, read_signature

_TEXT_FLAVOURS = ("transformers", "langchain", "openai")
_SPLIT = ("columns", "index", "data")
_logger = logging.getLogger("azmlinfsrv")


class MlflowModel:
    """A model, its signature, and the collectors of what it is given and answers."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._model: Any = None
        self._signature: Signature | None = None
        self._takes_text = self._is_transformers = False
        self._collector = _Collector()

    def init(self) -> None:
        """Load the model."""
        # Of the model's environment, and of no known types.
        pyfunc: Any = importlib.import_module("mlflow.pyfunc")
        self._model = pyfunc.load_model(str(self._folder))
        flavours: Mapping[str, Any] = self._model.metadata.flavors
        self._takes_text = any(name in flavours for name in _TEXT_FLAVOURS)
        self._is_transformers = "transformers" in flavours
        schema: Any = self._model.metadata.get_input_schema()
        self._signature = read_signature(schema) if schema is not None and not self._takes_text else None
        if schema is None:
            _logger.warning("The model has no signature: nothing is known of what it takes")
        self._collector.open()

    def run(self, input_data: Any, params: Any = None) -> Any:
        """Return the predictions in their plain form."""
        if params is None and self._is_transformers and isinstance(input_data, dict) and "parameters" in input_data:
            input_data, params = _take_parameters(cast("dict[str, Any]", input_data))
        if params is not None and not isinstance(params, dict):
            raise ValueError("params must be an object")
        data = self._convert()(input_data)
        context = self._collector.collect_input(data)
        result = self._model.predict(data, params=params) if params else self._model.predict(data)
        self._collector.collect_output(result, context)
        return _to_plain(result)

    def describe_body(self) -> Mapping[str, Any] | None:
        """Describe what the signature asks for."""
        if self._signature is None:
            return None
        return {"properties": {"input_data": self._signature.schema, "params": {"type": ["object", "null"]}}}

    def _convert(self) -> Convert:
        if self._signature is not None:
            return self._signature.convert
        return _convert_text if self._takes_text else _convert_plain


def _take_parameters(data: dict[str, Any]) -> tuple[Any, Any]:
    """Take apart the body of clients of an older flavour. Source: Azure's script."""
    rest = {name: value for name, value in data.items() if name != "parameters"}
    return (rest["input_string"] if [*rest] == ["input_string"] else rest), data["parameters"]


def _convert_plain(value: Any) -> Any:
    import numpy

    if isinstance(value, str):
        value = json.loads(value)
    if isinstance(value, list):
        return numpy.asarray(cast("list[Any]", value))
    if not isinstance(value, dict):
        raise ValueError("input_data must be a list or an object")
    table = cast("dict[str, Any]", value)
    if all(name in table for name in _SPLIT):
        import pandas

        return pandas.DataFrame(table["data"], columns=table["columns"], index=table["index"])
    return {name: numpy.asarray(item) for name, item in table.items()}


def _convert_text(value: Any) -> Any:
    """Pass text on, and lists and objects of text; what else there is, is data."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return value
    if isinstance(value, list):
        items = cast("list[Any]", value)
        if all(isinstance(item, str) or _is_text_map(item) for item in items):
            return items
    is_data = isinstance(value, list | dict) and not _is_text_map(value)
    return _convert_plain(value) if is_data else cast("Any", value)


def _is_text_map(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    return all(
        isinstance(item, str)
        or (isinstance(item, list) and all(isinstance(one, str) for one in cast("list[Any]", item)))
        for item in cast("dict[str, Any]", value).values()
    )


def _to_plain(result: Any) -> Any:
    """Turn a result into what Azure's script sends; numpy's values inside of it are left to the encoder."""
    import numpy

    pandas: Any = sys.modules.get("pandas")
    if pandas is not None and isinstance(result, pandas.Series):
        result = pandas.DataFrame(result)
    if pandas is not None and isinstance(result, pandas.DataFrame):
        return result.to_dict(orient="records")
    return result.tolist() if isinstance(result, numpy.ndarray) else result


class _Collector:
    """The two collectors of Azure's script; their errors are only logged."""

    def __init__(self) -> None:
        self._input: Any = None
        self._output: Any = None

    def open(self) -> None:
        """Open those that the deployment's data_collector enables."""
        self._input, self._output = _open_collector("model_inputs"), _open_collector("model_outputs")

    def collect_input(self, data: Any) -> Any:
        """Return the context that the output goes with."""
        return self._collect(self._input, data, None)

    def collect_output(self, result: Any, context: Any) -> None:
        """Collect the predictions as a table."""
        if self._output is not None:
            import pandas

            try:
                table = pandas.DataFrame(result)
            except Exception as error:
                _logger.error("Error collecting model_outputs: %s", error)
                return
            self._collect(self._output, table, context)

    @staticmethod
    def _collect(collector: Any, data: Any, context: Any) -> Any:
        if collector is None:
            return None
        try:
            return collector.collect(data, context) if context is not None else collector.collect(data)
        except Exception as error:
            _logger.error("Error collecting model data: %s", error)
            return None


def _open_collector(name: str) -> Any:
    try:
        # The real package, where the environment has it, or a stand-in.
        return importlib.import_module("azureml.ai.monitoring").Collector(name=name)
    except Exception as error:
        _logger.info("%s is not collected: %s", name, error)
        return None
