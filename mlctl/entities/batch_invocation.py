"""What `batch invoke` may be told by `--set` and in a file. Source: az's surface 1.3 and 3.9, batch contract 4.2."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from mlctl.entities.parts import Part
from mlctl.entities.values import Text, WholeNumber


class InvocationPath(Part, frozen=True):
    """An input or an output of a job."""

    path: Annotated[str, Text()] | None = Field(default=None, description="A file, a folder or an asset.")
    type: Annotated[str, Text()] | None = Field(default=None, description="uri_file or uri_folder.")
    mode: Annotated[str, Text()] | None = Field(default=None, description="Accepted as in az.")


class InvocationRetries(Part, frozen=True):
    """Tries of a mini-batch."""

    max_retries: Annotated[int, WholeNumber(0, 1000)] | None = Field(
        default=None, description="Further tries of a mini-batch that failed."
    )
    timeout: Annotated[int, WholeNumber(1, 259_200)] | None = Field(
        default=None, description="Seconds that a call of run() may take."
    )


class InvocationCompute(Part, frozen=True):
    """Workers of a job."""

    instance_count: Annotated[int, WholeNumber(1, 1000)] | None = Field(default=None, description="Instances.")


class InvocationSettings(Part, frozen=True):
    """Settings of one job, over those of its deployment."""

    mini_batch_size: Annotated[int, WholeNumber(1, 10**9)] | None = Field(
        default=None, description="Files, or rows, in a call of run()."
    )
    output_file_name: Annotated[str, Text()] | None = Field(default=None, description="Name of the output.")
    error_threshold: Annotated[int, WholeNumber(-1, 10**12)] | None = Field(
        default=None, description="Failed items that are accepted; -1: any number."
    )
    mini_batch_error_threshold: Annotated[int, WholeNumber(-1, 10**12)] | None = Field(
        default=None, description="Failed mini-batches that are accepted; -1: any number."
    )
    retry_settings: InvocationRetries | None = Field(default=None, description="Tries of a mini-batch.")
    compute: InvocationCompute | None = Field(default=None, description="Workers.")
    instance_count: Annotated[int, WholeNumber(1, 1000)] | None = Field(default=None, description="Instances.")
    max_concurrency_per_instance: Annotated[int, WholeNumber(1, 1000)] | None = Field(
        default=None, description="Workers of an instance."
    )
    logging_level: Annotated[str, Text()] | None = Field(default=None, description="debug, info or warning.")


class BatchInvocation(InvocationSettings, frozen=True):
    """All that one job is told."""

    inputs: Mapping[str, InvocationPath] | None = Field(default=None, description="What is scored, by name.")
    outputs: Mapping[str, InvocationPath] | None = Field(default=None, description="Where results go, by name.")
