"""Online deployments as documents describe them. Parsed by `parsing`, planned by `control`, shown by the CLI."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from mlctl.entities.deployment_settings import (
    CodeConfiguration,
    DataCollector,
    DefaultScaleSettings,
    KubernetesRequestSettings,
    LivenessProbe,
    Probe,
    RequestSettings,
    Resources,
    ScaleSettings,
    ScaleType,
)
from mlctl.entities.endpoint import PublicAccess
from mlctl.entities.environment import InlineEnvironment
from mlctl.entities.extensions import check_extensions
from mlctl.entities.model import InlineModel
from mlctl.entities.parts import Entity, MapTag, ScalarMap, TextOrMap, TextTag
from mlctl.entities.server_variables import check_server_variables
from mlctl.entities.values import Choice, Flag, Name, ReferenceText, Text, WholeNumber

ModelOrReference = Annotated[
    Annotated[str, ReferenceText("model"), TextTag] | Annotated[InlineModel, MapTag], TextOrMap
]
EnvironmentOrReference = Annotated[
    Annotated[str, ReferenceText("environment"), TextTag] | Annotated[InlineEnvironment, MapTag], TextOrMap
]


class DeploymentType(StrEnum):
    """Where a deployment runs in Azure."""

    MANAGED = "managed"
    """On machines that Azure manages."""
    KUBERNETES = "kubernetes"
    """On a cluster of one's own."""


class OnlineDeployment(Entity, frozen=True):
    """What managed and Kubernetes online deployments have in common."""

    read_only = Entity.read_only | {"provisioning_error"}
    name: Annotated[str, Name()] = Field(description="Name of the deployment.", examples=["blue"])
    endpoint_name: Annotated[str, Name()] = Field(
        description="The endpoint it belongs to; -e sets it too.", examples=["fraud-endpoint"]
    )
    tags: ScalarMap = Field(default={}, description="Your own labels: any names and values.")
    properties: ScalarMap = Field(default={}, description="Further values, kept and shown.")
    description: Annotated[str, Text(may_be_empty=True)] | None = Field(default=None, description="What it is for.")
    model: ModelOrReference | None = Field(
        default=None,
        description="The model: a reference (azureml:NAME:VERSION) or a map.",
        examples=["azureml:fraud-model:3"],
    )
    code_configuration: CodeConfiguration | None = Field(default=None, description="The scoring script.")
    environment: EnvironmentOrReference | None = Field(
        default=None, description="What is installed: a reference or a map.", examples=["azureml:fraud-infer:2"]
    )
    environment_variables: ScalarMap = Field(
        default={}, description="Variables for the scoring script; values reach it as text."
    )
    model_mount_path: Annotated[str, Text()] | None = Field(
        default=None, description="Where the model appears in a container of one's own."
    )
    app_insights_enabled: Annotated[bool, Flag()] = Field(default=False, description="Whether Azure collects its logs.")
    scale_settings: ScaleSettings = Field(
        default=DefaultScaleSettings(type=ScaleType.DEFAULT), description="Who decides on the number of instances."
    )
    request_settings: RequestSettings = Field(
        default=RequestSettings(), description="How long requests may take, and how many run at a time."
    )
    liveness_probe: LivenessProbe = Field(
        default=LivenessProbe(), description="How an instance is asked whether it still works."
    )
    readiness_probe: Probe = Field(
        default=Probe(), description="How an instance is asked whether it can take requests."
    )
    data_collector: DataCollector | None = Field(default=None, description="Which requests and answers are kept.")
    instance_count: Annotated[int, WholeNumber(1, 50)] = Field(
        default=1, description="Number of instances.", examples=[2]
    )
    instance_type: Annotated[str, Text()] | None = Field(default=None, description="Size of an instance.")

    @field_validator("environment_variables")
    @classmethod
    def _check_environment_variables(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        check_server_variables(value)
        return value

    @field_validator("properties")
    @classmethod
    def _check_properties(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        check_extensions(value)
        return value


class ManagedOnlineDeployment(OnlineDeployment, frozen=True):
    """A managed online deployment: a model, its code and environment, behind an endpoint."""

    label = "managed online deployment"
    instance_type: Annotated[str, Text()] = Field(
        description="Size of the machine in Azure.", examples=["Standard_DS3_v2"]
    )
    type: Annotated[Literal[DeploymentType.MANAGED], Choice(DeploymentType, only=(DeploymentType.MANAGED,))] = Field(
        default=DeploymentType.MANAGED, description="Where it runs in Azure."
    )
    egress_public_network_access: Annotated[PublicAccess, Choice(PublicAccess)] = Field(
        default=PublicAccess.ENABLED, description="Whether it may reach the public network."
    )
    private_network_connection: Annotated[bool, Flag()] | None = Field(
        default=None, description="Whether it uses the workspace's private network."
    )


class KubernetesOnlineDeployment(OnlineDeployment, frozen=True):
    """An online deployment on a Kubernetes cluster."""

    label = "Kubernetes online deployment"
    request_settings: KubernetesRequestSettings = Field(
        default=KubernetesRequestSettings(), description="How long requests may take, and how many run at a time."
    )
    type: Annotated[Literal[DeploymentType.KUBERNETES], Choice(DeploymentType, only=(DeploymentType.KUBERNETES,))] = (
        Field(description="kubernetes; must stand in the file.")
    )
    resources: Resources | None = Field(default=None, description="What an instance asks of the cluster.")
