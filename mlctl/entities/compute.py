"""Computes as documents describe them: where batch jobs run. Here that is this machine, or a Dask cluster."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, field_validator

from mlctl.entities.parts import Entity, ScalarMap
from mlctl.entities.values import AnyMap, AssetName, Choice, Flag, Text, WholeNumber, refuse, show_value

DASK_SCHEDULER = "mlctl.dask.scheduler"
LOCAL = "local"
_ADDRESS = re.compile(r"(tcp|tls|ucx)://[A-Za-z0-9_.\-\[\]:]+:\d{1,5}")


class ComputeType(StrEnum):
    """What a compute is."""

    LOCAL = "local"
    """Worker processes of this machine."""
    AMLCOMPUTE = "amlcompute"
    """Azure's cluster; here worker processes of this machine."""
    DASK = "dask"
    """A Dask cluster that runs already."""


# What Azure has and this machine cannot be.
_NOT_HERE = {
    "computeinstance": "a machine of one's own in Azure",
    "virtualmachine": "a machine elsewhere that Azure logs into",
    "synapsespark": "a Spark pool in Azure",
    "kubernetes": "a cluster that is attached to a workspace",
    "aks": "a cluster that is attached to a workspace",
}


class ComputeTypes(Choice):
    """The types there are; those that only Azure has are refused with the reason."""

    def check(self, value: Any) -> StrEnum:
        """Find the member that is meant."""
        reason = _NOT_HERE.get(value.lower().replace("_", "")) if isinstance(value, str) else None
        if reason is not None:
            hint = "batch jobs need none: compute: local, or type: amlcompute"
            refuse(f"{show_value(value)} cannot be had here, it is {reason}", hint)
        return super().check(value)


class Compute(Entity, frozen=True):
    """A compute."""

    label = "compute"
    read_only = Entity.read_only | {"provisioning_errors", "provisioning_error", "created_on", "resource_id", "state"}
    name: Annotated[str, AssetName()] = Field(description="Name of the compute.", examples=["cpu-cluster"])
    type: Annotated[ComputeType, ComputeTypes(ComputeType)] = Field(
        default=ComputeType.AMLCOMPUTE, description="What it is."
    )
    description: Annotated[str, Text(may_be_empty=True)] | None = Field(default=None, description="What it is for.")
    location: Annotated[str, Text()] | None = Field(default=None, description="Region.")
    tags: ScalarMap = Field(
        default={}, description="Your own labels; mlctl.dask.scheduler sends jobs to a Dask cluster."
    )
    properties: ScalarMap = Field(
        default={}, description="mlctl.dask.scheduler: address of the cluster, for type dask.", validate_default=True
    )
    size: Annotated[str, Text()] | None = Field(default=None, description="Size of an instance.")
    tier: Annotated[str, Text()] | None = Field(default=None, description="dedicated or low_priority.")
    min_instances: Annotated[int, WholeNumber(0, 10_000)] = Field(default=0, description="Never fewer instances.")
    max_instances: Annotated[int, WholeNumber(0, 10_000)] = Field(
        default=1, description="Never more instances.", validate_default=True
    )
    idle_time_before_scale_down: Annotated[int, WholeNumber(0, 10**7)] = Field(
        default=120, description="Seconds before an idle instance is given back."
    )
    network_settings: Annotated[Mapping[str, Any], AnyMap()] | None = Field(default=None, description="Its network.")
    ssh_settings: Annotated[Mapping[str, Any], AnyMap()] | None = Field(default=None, description="Who may log in.")
    ssh_public_access_enabled: Annotated[bool, Flag()] | None = Field(
        default=None, description="Whether one may log in from outside."
    )
    enable_node_public_ip: Annotated[bool, Flag()] | None = Field(
        default=None, description="Whether instances have addresses of their own."
    )
    identity: Annotated[Mapping[str, Any], AnyMap()] | None = Field(default=None, description="Its identity.")

    @field_validator("tags", "properties")
    @classmethod
    def _check_scheduler(cls, value: Mapping[str, Any], info: ValidationInfo) -> Mapping[str, Any]:
        address = value.get(DASK_SCHEDULER)
        if address is not None and (not isinstance(address, str) or _ADDRESS.fullmatch(address) is None):
            refuse(
                f"{show_value(address)} is no scheduler's address",
                "for example tcp://127.0.0.1:8786",
                key=DASK_SCHEDULER,
            )
        tags: Mapping[str, Any] = info.data.get("tags") or {}
        is_dask = info.data.get("type") is ComputeType.DASK
        if info.field_name == "properties" and is_dask and not (address or tags.get(DASK_SCHEDULER)):
            hint = f"{DASK_SCHEDULER}: tcp://127.0.0.1:8786, or --tags {DASK_SCHEDULER}=tcp://127.0.0.1:8786"
            refuse(f"{DASK_SCHEDULER} is missing: type dask needs a cluster", hint)
        return value

    @field_validator("max_instances")
    @classmethod
    def _check_max(cls, value: int, info: ValidationInfo) -> int:
        low = info.data.get("min_instances", value)
        if value < low:
            refuse(f"{value} is less than min_instances, {low}")
        return value
