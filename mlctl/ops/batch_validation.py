"""What Azure's client refuses in documents of batch endpoints, though mlctl takes it. Source: surface 3.5 to 3.8."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

from mlctl.entities.compute import ComputeType
from mlctl.entities.document import Document
from mlctl.entities.kinds import (
    BATCH_DEPLOYMENT,
    COMPUTE,
    MODEL_BATCH_DEPLOYMENT,
    PIPELINE_BATCH_DEPLOYMENT,
    SCHEDULE,
    Kind,
)
from mlctl.entities.model import ModelType
from mlctl.entities.time_zones import WINDOWS_ZONES
from mlctl.entities.values import match_word
from mlctl.errors import Problem

_THRESHOLD = "mini_batch_error_threshold"


def list_batch_problems(document: Document, kind: Kind) -> Iterator[Problem]:
    """List what Azure's client would refuse in a document of one of these kinds; nothing for others."""
    if kind in (BATCH_DEPLOYMENT, MODEL_BATCH_DEPLOYMENT):
        yield from _check_settings(document, kind)
        yield from _check_environment(document)
        yield from _check_model_alone(document)
    if kind is PIPELINE_BATCH_DEPLOYMENT and "properties" in document.data:
        yield document.problem(("properties",), "unknown field", "pipeline deployments have none there", at_key=True)
    if kind is COMPUTE:
        yield from _check_compute(document)
    if kind is SCHEDULE:
        yield from _check_schedule(document)


def _check_settings(document: Document, kind: Kind) -> Iterator[Problem]:
    has_block = kind is MODEL_BATCH_DEPLOYMENT
    settings = _map_at(document.data, "settings") if has_block else document.data
    path = ("settings",) if has_block else ()
    if _THRESHOLD in settings:
        hint = 'write properties: {mlctl.mini_batch_error_threshold: "1"}'
        yield document.problem((*path, _THRESHOLD), "unknown field", hint, at_key=True)
    if not has_block and "instance_count" in document.data:
        hint = "write resources: {instance_count: 2}"
        yield document.problem(("instance_count",), "unknown field", hint, at_key=True)
    if has_block and document.data.get("compute") is None:
        yield document.problem(("compute",), "is missing", "for example compute: azureml:cpu-cluster")
    if has_block and "settings" in document.data and "mini_batch_size" not in settings:
        yield document.problem(
            ("settings",), "mini_batch_size is missing, its client fails then", "mini_batch_size: 10"
        )


def _check_environment(document: Document) -> Iterator[Problem]:
    name = document.data.get("environment")
    is_curated = isinstance(name, str) and name.lower().startswith(
        ("azureml:azureml-", "azureml://registries/azureml/")
    )
    if is_curated and document.data.get("code_configuration") is not None:
        hint = "write image and conda_file below environment"
        yield document.problem(("environment",), "curated environments do not run batch scripts", hint)


def _check_model_alone(document: Document) -> Iterator[Problem]:
    """Tell of models that are scored without a script here only. Of registered ones nothing is known."""
    model = _map_at(document.data, "model")
    is_custom = match_word(model.get("type", ModelType.CUSTOM_MODEL), (ModelType.CUSTOM_MODEL,)) is not None
    if model and is_custom and document.data.get("code_configuration") is None:
        hint = "there only mlflow_model does without: add code_configuration"
        yield document.problem(("model",), "a custom_model cannot be scored without a scoring script", hint)


def _check_compute(document: Document) -> Iterator[Problem]:
    if match_word(document.data.get("type"), (ComputeType.LOCAL, ComputeType.DASK)) is not None:
        hint = "type: amlcompute, with tags: {mlctl.dask.scheduler: …} for a cluster here"
        yield document.problem(("type",), f"{document.data['type']} is no type of a compute", hint)
    if "properties" in document.data:
        yield document.problem(("properties",), "unknown field", "tags may hold mlctl.dask.scheduler, too", at_key=True)


def _check_schedule(document: Document) -> Iterator[Problem]:
    if "endpoint" in _map_at(document.data, "create_job"):
        yield document.problem(("create_job", "endpoint"), "batch endpoints cannot be scheduled", at_key=True)
    zone = _map_at(document.data, "trigger").get("time_zone")
    if isinstance(zone, str) and zone.lower() not in {name.lower() for name in WINDOWS_ZONES}:
        known = next((name for name, iana in WINDOWS_ZONES.items() if iana == zone), "")
        hint = f"there it is called {known}" if known else ""
        yield document.problem(("trigger", "time_zone"), f'"{zone}" is no time zone of Windows', hint)


def _map_at(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = data.get(name)
    return cast("Mapping[str, Any]", found) if isinstance(found, Mapping) else {}
