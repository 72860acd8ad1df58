"""The parts of a deployment: how it is called, probed, scaled and observed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, cast

from pydantic import Discriminator, Field, PlainSerializer, Tag, ValidationInfo, field_validator, model_validator

from mlctl.entities.parts import MapTag, Part, TextOrMap, TextTag
from mlctl.entities.values import Choice, Flag, Fraction, Text, WholeNumber, match_word, refuse

_ROUTE_HINT = "the routes of a container of one's own belong in environment.inference_config"
Seconds = Annotated[int, WholeNumber(1, 86_400)]


class CodeConfiguration(Part, frozen=True):
    """The scoring script."""

    code: Annotated[str, Text()] = Field(description="Folder of the code.", examples=["./src"])
    scoring_script: Annotated[str, Text()] = Field(
        description="The script in that folder, with init() and run().", examples=["score.py"]
    )


class RequestSettings(Part, frozen=True):
    """Limits for requests."""

    request_timeout_ms: Annotated[int, WholeNumber(1, 180_000)] = Field(
        default=5000, description="How long one request may take, in milliseconds; then it is answered 408."
    )
    max_concurrent_requests_per_instance: Annotated[int, WholeNumber(1, 10_000)] = Field(
        default=1, description="How many requests one instance works on at a time."
    )
    max_queue_wait_ms: Annotated[int, WholeNumber(0, 300_000)] = Field(
        default=500, description="How long a request may wait for its turn, in milliseconds."
    )


class KubernetesRequestSettings(RequestSettings, frozen=True):
    """Limits for requests on Kubernetes, where a request may take longer."""

    request_timeout_ms: Annotated[int, WholeNumber(1, 300_000)] = Field(
        default=5000, description="How long one request may take, in milliseconds; then it is answered 504."
    )


class Probe(Part, frozen=True):
    """How an instance is asked whether it can take requests; times in seconds."""

    misplaced: ClassVar[Mapping[str, str]] = {"path": _ROUTE_HINT, "port": _ROUTE_HINT}
    initial_delay: Annotated[int, WholeNumber(0, 86_400)] = Field(
        default=10, description="Wait before the first probe."
    )
    period: Seconds = Field(default=10, description="Time between probes.")
    timeout: Seconds = Field(default=2, description="Time in which a probe must be answered.")
    success_threshold: Annotated[int, WholeNumber(1, 1000)] = Field(
        default=1, description="So many passed probes in a row make it ready."
    )
    failure_threshold: Annotated[int, WholeNumber(1, 1000)] = Field(
        default=30, description="So many failed probes in a row take it out of rotation."
    )


class LivenessProbe(Probe, frozen=True):
    """How an instance is asked whether it still works; times in seconds. When it fails, the instance is restarted."""

    success_threshold: Annotated[int, WholeNumber(1, 1)] = Field(default=1, description="Always 1.")
    failure_threshold: Annotated[int, WholeNumber(1, 1000)] = Field(
        default=30, description="So many failed probes in a row restart it."
    )


class ScaleType(StrEnum):
    """Who decides on the number of instances."""

    DEFAULT = "default"
    """instance_count does."""
    TARGET_UTILIZATION = "target_utilization"
    """The load does."""


class DefaultScaleSettings(Part, frozen=True):
    """As many instances as instance_count says."""

    type: Annotated[Literal[ScaleType.DEFAULT], Choice(ScaleType, only=(ScaleType.DEFAULT,))] = Field(
        description="default: instance_count decides."
    )

    @model_validator(mode="before")
    @classmethod
    def _check_rest(cls, value: Any) -> Any:
        fields = cast("dict[str, Any]", value)
        if match_word(fields.get("type"), ("default",)) and (rest := fields.keys() - {"type"}):
            refuse(f"type default takes no further fields ({', '.join(sorted(rest))})", "type: target_utilization")
        return fields


class TargetUtilizationScaleSettings(Part, frozen=True):
    """As many instances as the load needs: busy and waiting requests for each instance are kept near the target."""

    type: Annotated[Literal[ScaleType.TARGET_UTILIZATION], Choice(ScaleType, only=(ScaleType.TARGET_UTILIZATION,))] = (
        Field(description="target_utilization: the load decides.")
    )
    min_instances: Annotated[int, WholeNumber(1, 50)] = Field(default=1, description="Never fewer instances than this.")
    max_instances: Annotated[int, WholeNumber(1, 50)] = Field(
        default=1, description="Never more instances than this.", validate_default=True
    )
    target_utilization_percentage: Annotated[int, WholeNumber(1, 100)] = Field(
        default=70, description="Share of the instances' concurrency that should be in use."
    )
    polling_interval: Seconds = Field(default=1, description="Seconds between looks at the load.")
    cooldown_period: Annotated[int, WholeNumber(0, 86_400)] | None = Field(
        default=None, description="Seconds without change before instances are taken away; not in Azure's files."
    )

    @field_validator("max_instances")
    @classmethod
    def _check_max(cls, value: int, info: ValidationInfo) -> int:
        low = info.data.get("min_instances", value)
        if value < low:
            refuse(f"{value} is less than min_instances, {low}")
        return value


def choose_scale_settings(value: object) -> str:
    """Choose the model by `type`; a wrong or missing type is left to the model that allows more."""
    if isinstance(value, Part):
        return str(cast("Any", value).type)
    word = cast("Mapping[str, object]", value).get("type") if isinstance(value, Mapping) else None
    return ScaleType.DEFAULT if match_word(word, ("default",)) else ScaleType.TARGET_UTILIZATION


ScaleSettings = Annotated[
    Annotated[DefaultScaleSettings, Tag(ScaleType.DEFAULT)]
    | Annotated[TargetUtilizationScaleSettings, Tag(ScaleType.TARGET_UTILIZATION)],
    Discriminator(choose_scale_settings),
]


class CollectedData(Part, frozen=True):
    """Where collected data is kept."""

    name: Annotated[str, Text()] | None = Field(default=None, description="Name of the data asset.")
    path: Annotated[str, Text()] | None = Field(default=None, description="Folder of the data.")
    version: Annotated[str, Text()] | None = Field(default=None, description="Version of the data asset.")
    data_id: Annotated[str, Text()] | None = Field(default=None, description="Id of the data asset.")


def _render_flag(value: bool) -> str:
    return "true" if value else "false"


class Collection(Part, frozen=True):
    """One kind of data that is collected."""

    enabled: Annotated[bool, Flag(as_text=True), PlainSerializer(_render_flag)] = Field(
        description="Whether it is collected; Azure wants the text 'true' or 'false'."
    )
    data: Annotated[Annotated[str, Text(), TextTag] | Annotated[CollectedData, MapTag], TextOrMap] | None = Field(
        default=None, description="Where it is kept."
    )
    client_id: Annotated[str, Text()] | None = Field(default=None, description="Identity that writes it.")


_PAYLOADS = ("request", "response")
_MOST_OWN_COLLECTIONS = 5
_COLLECTION_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")


class RollingRate(StrEnum):
    """How often a new file of collected data is begun."""

    MINUTE = "minute"
    """Every minute."""
    HOUR = "hour"
    """Every hour."""
    DAY = "day"
    """Every day."""


class RequestLogging(Part, frozen=True):
    """What is noted of a request besides its body."""

    capture_headers: list[Annotated[str, Text()]] | None = Field(default=None, description="Names of headers to note.")


class DataCollector(Part, frozen=True):
    """Which requests and answers are kept for later."""

    collections: Mapping[str, Collection] = Field(
        description="What to collect: request, response, model_inputs, model_outputs, or your own names."
    )
    rolling_rate: Annotated[RollingRate, Choice(RollingRate)] | None = Field(
        default=None, description="How often a new file is begun."
    )
    sampling_rate: Annotated[float, Fraction(0.0, 1.0)] | None = Field(
        default=None, description="Share of the requests that is collected, 0 to 1."
    )
    request_logging: RequestLogging | None = Field(
        default=None, description="What is noted of a request besides its body."
    )

    @field_validator("collections")
    @classmethod
    def _check_names(cls, value: Mapping[str, Collection]) -> Mapping[str, Collection]:
        for name in value:
            if not _COLLECTION_NAME.fullmatch(name):
                hint = "letters, digits, - and _, 64 at most: it names a folder"
                refuse(f'"{name}" is not a name for a collection', hint)
        own = [name for name, one in value.items() if one.enabled and name.lower() not in _PAYLOADS]
        if len(own) > _MOST_OWN_COLLECTIONS:
            hint = f"{_MOST_OWN_COLLECTIONS} at most besides request and response"
            refuse(f"{len(own)} collections are too many ({', '.join(own)})", hint)
        return value


class ResourceAmounts(Part, frozen=True):
    """Amounts as Kubernetes writes them; text, so cpu: "1"."""

    cpu: Annotated[str, Text()] | None = Field(default=None, description="Cores.", examples=["500m"])
    memory: Annotated[str, Text()] | None = Field(default=None, description="Memory.", examples=["1Gi"])
    gpu: Annotated[str, Text()] | None = Field(default=None, alias="nvidia.com/gpu", description="Graphics cards.")


class Resources(Part, frozen=True):
    """What an instance asks of the cluster, and what it may use."""

    requests: ResourceAmounts | None = Field(default=None, description="What it asks for.")
    limits: ResourceAmounts | None = Field(default=None, description="What it may use.")
