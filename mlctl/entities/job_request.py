"""The body of a request for a batch job. Source: batch contract 4.4.

Articles write `InputData`, the SDK `inputData`: keys are compared whatever their case, names of inputs are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from mlctl.entities.values import Scalar
from mlctl.errors import InvalidInput

_DATA = ("UriFile", "UriFolder", "MLTable", "CustomModel", "MLFlowModel", "TritonModel")


def _as_word(value: Any, words: tuple[str, ...]) -> Any:
    return {word.lower(): word for word in words}.get(value.lower(), value) if isinstance(value, str) else value


InputType = Annotated[
    Literal["UriFile", "UriFolder", "MLTable", "CustomModel", "MLFlowModel", "TritonModel", "Literal"],
    BeforeValidator(lambda value: _as_word(value, (*_DATA, "Literal"))),
]
OutputType = Annotated[
    Literal["UriFile", "UriFolder", "MLTable", "CustomModel", "MLFlowModel", "TritonModel"],
    BeforeValidator(lambda value: _as_word(value, _DATA)),
]


class _Wire(BaseModel, frozen=True):
    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, validate_by_name=False, validate_by_alias=True)

    @model_validator(mode="before")
    @classmethod
    def _fold_keys(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        known = {(field.alias or name).lower(): field.alias or name for name, field in cls.model_fields.items()}
        found: dict[str, Any] = {}
        for key, part in cast("Mapping[str, Any]", value).items():
            name = known.get(key.lower(), key)
            if name in found:
                raise ValueError(f"the key {key} is there twice")
            # Azure's clients send null for what is not set.
            if part is not None:
                found[name] = part
        return found


class RequestInput(_Wire, frozen=True):
    """An input: data at a URI, or a literal."""

    job_input_type: InputType
    uri: str | None = None
    value: Scalar = None
    mode: str | None = None
    description: str | None = None
    path_on_compute: str | None = None


class RequestOutput(_Wire, frozen=True):
    """Where an output goes."""

    job_output_type: OutputType | None = None
    uri: str | None = None
    mode: str | None = None
    description: str | None = None
    path_on_compute: str | None = None


class OldDataset(_Wire, frozen=True):
    """The one input, as older clients write it."""

    data_input_type: str | None = None
    path: str | None = None
    data_id: str | None = None


class OutputDataset(_Wire, frozen=True):
    """The one output, as older clients write it."""

    datastore_id: str | None = None
    path: str | None = None


class RequestCompute(_Wire, frozen=True):
    """Workers."""

    instance_count: Annotated[int, Field(ge=1, le=1000)] | None = None
    is_local: bool | None = None
    target: str | None = None
    location: str | None = None
    instance_type: str | None = None
    properties: Any = None


class RequestRetries(_Wire, frozen=True):
    """Tries of a mini-batch; timeout: an ISO 8601 duration such as PT30S."""

    max_retries: Annotated[int, Field(ge=0, le=1000)] | None = None
    timeout: timedelta | None = None


class RequestProperties(_Wire, frozen=True):
    """What a job is to do."""

    input_data: Mapping[str, RequestInput] = {}
    output_data: Mapping[str, RequestOutput] = {}
    dataset: OldDataset | None = None
    output_dataset: OutputDataset | None = None
    mini_batch_size: Annotated[int, Field(ge=1, le=10**9)] | None = None
    compute: RequestCompute | None = None
    retry_settings: RequestRetries | None = None
    error_threshold: Annotated[int, Field(ge=-1, le=10**12)] | None = None
    output_file_name: str | None = None
    name: str | None = None
    display_name: str | None = None
    description: str | None = None
    experiment_name: str | None = None
    tags: Mapping[str, Any] | None = None
    properties: Mapping[str, Any] = {}


class JobRequest(_Wire, frozen=True):
    """The whole body."""

    properties: RequestProperties = RequestProperties()
    # Azure's objects carry these; they say nothing here.
    id: str | None = None
    name: str | None = None
    type: str | None = None
    tags: Mapping[str, Any] | None = None


def read_job_request(data: Any) -> JobRequest:
    """Check a body; InvalidInput names every fault with the path to it."""
    try:
        return JobRequest.model_validate(data)
    except ValidationError as error:
        faults = [_describe(fault) for fault in error.errors(include_url=False, include_input=False)]
        raise InvalidInput(f"the body is not a request for a job: {'; '.join(faults)}") from None


def _describe(fault: Any) -> str:
    path = ".".join(str(step) for step in fault["loc"])
    message = "unknown field" if fault["type"] == "extra_forbidden" else str(fault["msg"])
    message = message.removeprefix("Value error, ")
    return f"{path}: {message[:1].lower()}{message[1:]}" if path else message
