"""Hypothesis strategies for whole documents, derived from the types of the models' fields."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from hypothesis import strategies as st

from mlctl.entities.deployment_settings import Collection, TargetUtilizationScaleSettings
from mlctl.entities.endpoint import Identity, TrafficMap
from mlctl.entities.environment import InlineEnvironment
from mlctl.entities.parts import Part
from mlctl.entities.values import (
    AnyMap,
    AnyScalar,
    AssetName,
    Choice,
    ComputeReference,
    Flag,
    Fraction,
    Name,
    ReferenceText,
    Text,
    Value,
    WholeNumber,
)

WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), min_size=1, max_size=12)
SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**62), 2**62) | st.floats(allow_nan=False, allow_infinity=False) | WORDS
)
ASSET_NAMES = st.from_regex(r"[a-zA-Z0-9][-a-zA-Z0-9_.]{0,20}", fullmatch=True)
NAMES = st.from_regex(r"[a-zA-Z][a-zA-Z0-9-]{1,29}[a-zA-Z0-9]", fullmatch=True)


@functools.cache
def documents(model: type[Part]) -> st.SearchStrategy[dict[str, Any]]:
    """Documents that a model accepts."""
    required: dict[str, Any] = {}
    optional: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        strategy = _for_field(field.annotation, field.metadata)
        (required if field.is_required() else optional)[field.alias or name] = strategy
    if issubclass(model, TargetUtilizationScaleSettings):
        del optional["max_instances"]
        optional["min_instances"] = st.integers(1, 5)
        required["max_instances"] = st.integers(5, 50)
    strategy = st.fixed_dictionaries(required, optional=optional)
    if issubclass(model, InlineEnvironment):
        return strategy.map(_choose_image_or_build)
    if issubclass(model, Identity):
        return st.fixed_dictionaries({"type": st.sampled_from(["SystemAssigned", "none", "system_assigned"])})
    return strategy.map(_part_live_and_mirrored) if "mirror_traffic" in optional else strategy


def _for_field(annotation: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    if annotation == TrafficMap:
        return st.sampled_from([{}, {"blue": 100}, {"Blue": 90, "green": 10}, {"blue": 0, "green": 50, "red": 50}])
    values = [item for item in metadata if isinstance(item, Value)]
    return _for_value(values[0]) if values else _for_type(annotation)


def _for_type(annotation: Any) -> st.SearchStrategy[Any]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _for_field(arguments[0], list(arguments[1:]))
    if origin in (Union, UnionType):
        return st.one_of(*(_for_type(member) for member in arguments))
    if annotation is NoneType:
        return st.none()
    if origin is list:
        return st.lists(_for_type(arguments[0]), max_size=3)
    if origin is Mapping:
        names = NAMES if arguments[1] is Collection else WORDS
        return st.dictionaries(names, _for_type(arguments[1]), max_size=3)
    return documents(annotation)


def _for_value(value: Value) -> st.SearchStrategy[Any]:
    return _STRATEGIES[type(value)](value)


def _for_choice(value: Choice) -> st.SearchStrategy[Any]:
    words = [str(member) for member in value.members]
    return st.sampled_from([*words, *(word.replace("_", "").upper() for word in words)])


def _for_map(value: AnyMap) -> st.SearchStrategy[Any]:
    maps = st.dictionaries(WORDS, SCALARS | st.lists(SCALARS, max_size=2), max_size=2)
    return maps | WORDS if value.or_text else maps


def _for_asset_name(value: AssetName) -> st.SearchStrategy[Any]:
    return ASSET_NAMES | st.integers(0, 10**6) | st.floats(0, 99) if value.is_version else ASSET_NAMES


def _for_flag(value: Flag) -> st.SearchStrategy[Any]:
    return st.booleans() | st.sampled_from(["true", "False"]) if value.as_text else st.booleans()


REFERENCES = st.builds("azureml:{}{}".format, ASSET_NAMES, st.sampled_from(["", ":1", ":1.0", "@latest"]))
_STRATEGIES: dict[type[Value], Callable[[Any], st.SearchStrategy[Any]]] = {
    WholeNumber: lambda value: st.integers(value.low, value.high),
    Fraction: lambda value: st.floats(value.low, value.high) | st.integers(0, 1),
    Flag: _for_flag,
    Choice: _for_choice,
    Name: lambda value: NAMES,
    AssetName: _for_asset_name,
    ReferenceText: lambda value: REFERENCES,
    ComputeReference: lambda value: st.builds("azureml:{}".format, ASSET_NAMES),
    AnyMap: _for_map,
    AnyScalar: lambda value: SCALARS,
    Text: lambda value: WORDS,
}


def _choose_image_or_build(data: dict[str, Any]) -> dict[str, Any]:
    if data.get("build") is not None:
        return {name: value for name, value in data.items() if name not in ("image", "conda_file")}
    return {**data, "image": data.get("image") or "python:3.11-slim"}


def _part_live_and_mirrored(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "mirror_traffic": {"Shadow": 50}} if "mirror_traffic" in data else data
