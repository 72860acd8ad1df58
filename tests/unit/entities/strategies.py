"""Hypothesis strategies for whole documents, derived from the types of the models' fields."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from hypothesis import strategies as st

from mlctl.entities.batch_deployment import (
    BatchDeployment,
    BatchSettings,
    ModelBatchDeployment,
    PipelineBatchDeployment,
)
from mlctl.entities.component import PipelineComponent, Step
from mlctl.entities.compute import Compute, ComputeTypes
from mlctl.entities.deployment_settings import Collection, TargetUtilizationScaleSettings
from mlctl.entities.endpoint import Identity, TrafficMap
from mlctl.entities.environment import InlineEnvironment
from mlctl.entities.parallel_step import MiniBatchSize, ParallelStep
from mlctl.entities.parts import Part
from mlctl.entities.pipeline_job import PipelineJob
from mlctl.entities.ports import InputPort, StepType
from mlctl.entities.schedule import CronExpression, CronTrigger, Moment, OneOrMany, RecurrenceTrigger, TimeZone
from mlctl.entities.values import (
    AnyMap,
    AnyScalar,
    AssetName,
    Choice,
    ComputeName,
    ComputeReference,
    FileName,
    Flag,
    Fraction,
    Name,
    ReferenceText,
    Text,
    UrlPath,
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
    if issubclass(model, Compute):
        optional["max_instances"] = st.just(10_000)
        required["max_instances"] = optional.pop("max_instances")
    strategy = st.fixed_dictionaries(required, optional=optional)
    for owner, mend in _MENDED.items():
        if issubclass(model, owner):
            return strategy.map(mend)
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
    ComputeTypes: _for_choice,
    StepType: _for_choice,
    MiniBatchSize: lambda value: st.integers(1, 1000) | st.integers(1, 1000).map(str),
    Name: lambda value: NAMES,
    AssetName: _for_asset_name,
    ReferenceText: lambda value: REFERENCES,
    ComputeReference: lambda value: st.builds("azureml:{}".format, ASSET_NAMES),
    ComputeName: lambda value: ASSET_NAMES | st.builds("azureml:{}".format, ASSET_NAMES),
    FileName: lambda value: st.from_regex(r"[a-z][a-z0-9 .-]{0,20}", fullmatch=True),
    CronExpression: lambda value: st.sampled_from(["0 6 * * 1", "*/15 0-6 1,15 jan-mar SUN", "5 4 * * *"]),
    Moment: lambda value: st.datetimes().map(lambda moment: moment.isoformat()),
    TimeZone: lambda value: st.sampled_from(["UTC", "Romance Standard Time", "Europe/Berlin"]),
    OneOrMany: lambda value: _for_value(value.item) | st.lists(_for_value(value.item), min_size=1, max_size=3),
    AnyMap: _for_map,
    AnyScalar: lambda value: SCALARS,
    UrlPath: lambda value: st.sampled_from(["/", "/score", "/v1/models/fraud:predict"]),
    Text: lambda value: WORDS,
}


def _choose_image_or_build(data: dict[str, Any]) -> dict[str, Any]:
    if data.get("build") is not None:
        return {name: value for name, value in data.items() if name not in ("image", "conda_file")}
    return {**data, "image": data.get("image") or "python:3.11-slim"}


def _part_live_and_mirrored(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "mirror_traffic": {"Shadow": 50}} if "mirror_traffic" in data else data


def _without(data: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in names}


def _keep_one_of(first: str, second: str, otherwise: Any) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Make a document of two fields that exclude each other hold one of them."""

    def keep(data: dict[str, Any]) -> dict[str, Any]:
        if data.get(first) is not None:
            return _without(data, second)
        return {**_without(data, first), second: data.get(second) or otherwise}

    return keep


def _keep_one_count(data: dict[str, Any]) -> dict[str, Any]:
    data = _without(data, "output_file_name") if "output_action" in data else data
    resources = data.get("resources")
    return {**data, "resources": _without(resources, "instance_count")} if resources else data


def _keep_own_count(data: dict[str, Any]) -> dict[str, Any]:
    return {**data, "settings": _without(data["settings"], "instance_count")} if data.get("settings") else data


def _name_input(data: dict[str, Any]) -> dict[str, Any]:
    inputs = {"rows": "azureml:rows:1", **(data.get("inputs") or {})}
    return {**data, "inputs": inputs, "input_data": "${{inputs.rows}}", "task": _without(data["task"], "append_row_to")}


def _name_steps(data: dict[str, Any]) -> dict[str, Any]:
    steps = {f"step_{number}": step for number, step in enumerate(data["jobs"].values())}
    return {**data, "jobs": steps or {"prep": {"command": "ls"}}}


# Models whose fields have to fit each other -> how a document is made to.
_MENDED: dict[type[Part], Callable[[dict[str, Any]], dict[str, Any]]] = {
    PipelineBatchDeployment: _keep_one_of("job_definition", "component", "./component.yml"),
    Step: _keep_one_of("component", "command", "python prep.py"),
    ModelBatchDeployment: _keep_own_count,
    BatchDeployment: _keep_one_count,
    BatchSettings: lambda data: _without(data, "output_file_name") if "output_action" in data else data,
    InputPort: lambda data: _without(data, "default"),
    CronTrigger: lambda data: _without(data, "end_time"),
    RecurrenceTrigger: lambda data: _without(data, "end_time"),
    ParallelStep: _name_input,
    PipelineComponent: _name_steps,
    PipelineJob: lambda data: _without(_name_steps({**data, "jobs": data.get("jobs") or {}}), "component"),
    Compute: lambda data: {**data, "properties": {"mlctl.dask.scheduler": "tcp://127.0.0.1:8786"}},
}
