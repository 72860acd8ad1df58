"""`@input_schema` and `@output_schema`: what the parameters of run() are converted to, and what it returns."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, cast

from mlctl.scoring.schema.declared import Declared, declare
from mlctl.scoring.schema.parameter_type import AbstractParameterType
from mlctl.scoring.schema.standard_type import refuse_type

Run = Callable[..., Any]
Decorator = Callable[[Run], Run]


def input_schema(
    param_name: str,
    param_type: AbstractParameterType,
    convert_to_provided_type: bool = True,
    optional: bool = False,
) -> Decorator:
    """Describe one parameter of run(), and have its argument converted.

    optional: an argument that is left out, empty or None reaches run() as it is.
    """
    _check_type(param_type, "param_type")
    schema, versions = param_type.input_to_swagger(), param_type.supported_versions()

    def decorate(function: Run) -> Run:
        declared = declare(function)
        declared.add_input(param_name, schema, versions)
        if not convert_to_provided_type:
            return function
        if not optional and not declared.has_parameter(param_name):
            raise ValueError(f'Error, provided param_name "{param_name}" is not in the decorated function.')

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if param_name not in kwargs:
                if not optional:
                    args = _convert_position(args, declared, param_name, param_type)
            elif kwargs[param_name] or not optional:
                kwargs[param_name] = convert(kwargs[param_name], param_type)
            return function(*args, **kwargs)

        return call

    return decorate


def output_schema(output_type: AbstractParameterType) -> Decorator:
    """Describe what run() returns; it is neither checked nor converted."""
    _check_type(output_type, "output_type")
    schema, versions = output_type.input_to_swagger(), output_type.supported_versions()

    def decorate(function: Run) -> Run:
        declare(function).add_output(schema, versions)
        return function

    return decorate


def _check_type(given: object, name: str) -> None:
    if not isinstance(given, AbstractParameterType):
        raise TypeError(
            f"Error, provided {name} must be a subclass of the AbstractParameterType, such as"
            f" StandardPythonParameterType(sample), not {type(given).__name__}."
        )


def _convert_position(
    args: tuple[Any, ...], declared: Declared, name: str, kind: AbstractParameterType
) -> tuple[Any, ...]:
    """Convert an argument that is given by its position; one that is left out is up to the function."""
    at = declared.positions.index(name) if name in declared.positions else len(args)
    return tuple(convert(value, kind) if number == at else value for number, value in enumerate(args))


def convert(value: Any, kind: AbstractParameterType) -> Any:
    """Convert what JSON has into what a type stands for; in dicts and lists, what there is a type for."""
    expected = kind.sample_data_type
    if expected is dict:
        return _convert_object(value, kind)
    if expected in (list, tuple):
        return _convert_list(value, kind)
    return value if isinstance(value, expected) else kind.deserialize_input(value)


def _convert_object(value: Any, kind: Any) -> Any:
    if not isinstance(value, dict):
        raise refuse_type(kind.sample_data_type, value)
    given = cast("dict[str, Any]", value)
    return {
        name: convert(item, found) if (found := kind.sample_data_type_map.get(name)) else item
        for name, item in given.items()
    }


def _convert_list(value: Any, kind: Any) -> Any:
    if not isinstance(value, list | tuple):
        raise refuse_type(kind.sample_data_type, value)
    items, types = cast("list[Any]", value), kind.sample_data_type_list
    # The first type stands for all: version 2 of swagger has no lists of several.
    return [convert(item, types[0]) for item in items] if types else items
