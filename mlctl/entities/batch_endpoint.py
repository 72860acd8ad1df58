"""Batch endpoints as documents describe them: a name under which batch deployments are invoked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field

from mlctl.entities.endpoint import AuthMode, Identity
from mlctl.entities.parts import Entity, Part, ScalarMap
from mlctl.entities.values import AssetName, Choice, Name, Text

_NO_TRAFFIC = "batch endpoints share nothing out: write defaults: {deployment_name: NAME}"
_NO_ACCESS = "batch endpoints listen nowhere: jobs are started by mlctl batch invoke"


class EndpointDefaults(Part, frozen=True):
    """What an invocation uses that says nothing else."""

    deployment_name: Annotated[str, AssetName()] | None = Field(
        default=None, description="The deployment that is invoked when none is named.", examples=["classic"]
    )


class BatchEndpoint(Entity, frozen=True):
    """A batch endpoint."""

    label = "batch endpoint"
    read_only = Entity.read_only | {"scoring_uri", "openapi_uri", "provisioning_error", "kind"}
    misplaced: ClassVar[Mapping[str, str]] = {
        "traffic": _NO_TRAFFIC,
        "mirror_traffic": _NO_TRAFFIC,
        "public_network_access": _NO_ACCESS,
        "deployment_name": "it belongs under defaults",
    }
    name: Annotated[str, Name()] = Field(description="Name of the endpoint.", examples=["fraud-batch"])
    description: Annotated[str, Text(may_be_empty=True)] | None = Field(default=None, description="What it is for.")
    tags: ScalarMap = Field(default={}, description="Your own labels: any names and values.")
    properties: ScalarMap = Field(default={}, description="Further values, kept and shown.")
    auth_mode: Annotated[AuthMode, Choice(AuthMode, only=(AuthMode.AAD_TOKEN,))] = Field(
        default=AuthMode.AAD_TOKEN, description="How callers prove who they are; there is one way."
    )
    location: Annotated[str, Text()] | None = Field(default=None, description="Region; the workspace's if left out.")
    identity: Identity | None = Field(default=None, description="Under whose name it reaches other services.")
    defaults: EndpointDefaults = Field(
        default=EndpointDefaults(), description="The deployment of invocations that name none."
    )
