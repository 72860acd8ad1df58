"""`PandasParameterType`: a parameter that is a DataFrame. pandas is imported when a script makes one."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable
from io import StringIO
from typing import Any
from warnings import warn

from mlctl.scoring.schema.parameter_type import AbstractParameterType, Document
from mlctl.scoring.schema.python_values import describe_list, describe_object

_ORIENTS = ("split", "records", "index", "columns", "values", "table")
_LISTS = ("records", "values")
_NO_ZONE = "Cannot use .astype to convert from timezone-naive dtype to timezone-aware dtype"


class PandasParameterType(AbstractParameterType):
    """A DataFrame with the sample's columns and their types; both can be switched off.

    orient: pandas' name for the form that it has in JSON. apply_column_names: deprecated; the sample's names replace
    the request's, whatever their order.
    """

    def __init__(
        self,
        sample_input: Any,
        enforce_column_type: bool = True,
        enforce_shape: bool = True,
        apply_column_names: bool = False,
        orient: str = "records",
    ) -> None:
        if not isinstance(sample_input, _pandas().DataFrame):
            raise TypeError("Invalid sample input provided, must provide a sample Pandas Dataframe.")
        super().__init__(sample_input)
        if apply_column_names:
            warn("apply_column_names is a deprecated parameter", DeprecationWarning, stacklevel=2)
        if orient not in _ORIENTS:
            raise ValueError(
                f"Invalid orient provided, must be one of ({', '.join(map(repr, _ORIENTS[:-1]))}, or 'table')"
            )
        self.enforce_column_type = enforce_column_type
        self.enforce_shape = enforce_shape
        self.apply_column_names = apply_column_names
        self.orient = orient

    def deserialize_input(self, input_data: Any) -> Any:
        """Convert a list or an object into a DataFrame; ValueError where it has another number of columns."""
        pandas = _pandas()
        if isinstance(input_data, pandas.DataFrame):
            return input_data
        if not isinstance(input_data, list | dict):
            raise TypeError(f"Error, unable to convert input of type {type(input_data)} into Pandas Dataframe")
        frame = pandas.read_json(StringIO(json.dumps(input_data)), orient=self.orient, dtype=False)
        if self.apply_column_names:
            frame.columns = self.sample_input.columns.copy()
        if self.enforce_column_type:
            frame = self._convert_columns(frame)
        if self.enforce_shape:
            _check_columns(frame.shape[1], self.sample_input.shape[1])
        return frame

    def _convert_columns(self, frame: Any) -> Any:
        """Give each column its type; those that the sample does not have hold objects."""
        known = self.sample_input.dtypes.to_dict()
        types = {name: known.get(name, object) for name in frame.columns}
        for name, kind in types.items():
            if str(kind).startswith("timedelta"):
                frame[name] = _pandas().to_timedelta(frame[name])
        try:
            return frame.astype(dtype=types)
        except TypeError as error:
            if _NO_ZONE not in str(error):
                raise
            raise ValueError(
                "As of pandas 2.0, can no longer convert from timezone-naive dtype to timezone-aware dtype. Please make"
                " sure that the provided input data matches the expected timezone handling of the provided deployment"
                " sample."
            ) from error

    def input_to_swagger(self) -> Document:
        """Describe the DataFrame in the form that it has in JSON."""
        sample = json.loads(self.sample_input.to_json(orient=self.orient, date_format="iso"))
        schema = describe_list(sample) if self.orient in _LISTS else describe_object(sample)
        for column in self.sample_input.columns:
            kind = _describe_time(str(self.sample_input.dtypes[column]))
            if kind:
                for field in self._list_fields(schema, str(column)):
                    field["format"] = kind
        return {**schema, "format": f"pandas.DataFrame:{self.orient}"}

    def _list_fields(self, schema: Document, column: str) -> Iterable[Document]:
        """Return what describes the values of a column."""
        match self.orient:
            case "records":
                return [schema["items"]["properties"][column]]
            case "index":
                return [row["properties"][column] for row in schema["properties"].values()]
            case "columns":
                return schema["properties"][column]["properties"].values()
            case "table":
                return [schema["properties"]["data"]["items"]["properties"][column]]
            case _:
                return []


def _pandas() -> Any:
    return importlib.import_module("pandas")


def _describe_time(dtype: str) -> str | None:
    if dtype.startswith("datetime"):
        return "date-time"
    return "timedelta" if dtype.startswith("timedelta") else None


def _check_columns(count: int, expected: int) -> None:
    if count != expected:
        raise ValueError(
            f"Invalid input data frame: data frame has size {count} on dimension #1, while expected value is {expected}"
        )
