"""Online endpoints as documents describe them. Parsed by `parsing`, stored by the registry, shown by the CLI."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import Field, ValidationInfo, field_validator

from mlctl.entities.extensions import check_extensions
from mlctl.entities.names import normalize_name
from mlctl.entities.parts import Entity, Part, ScalarMap
from mlctl.entities.traffic import find_mirror_fault, find_traffic_fault
from mlctl.entities.values import Choice, ComputeReference, Name, Text, WholeNumber, refuse


class AuthMode(StrEnum):
    """How callers prove who they are."""

    KEY = "key"
    """Two keys that do not expire; either can be regenerated."""
    AML_TOKEN = "aml_token"
    """Tokens that expire, fetched with get-credentials."""
    AAD_TOKEN = "aad_token"
    """Tokens of the directory; locally they are issued like aml_token."""


class IdentityType(StrEnum):
    """Under whose name the endpoint reaches other services."""

    SYSTEM_ASSIGNED = "system_assigned"
    """Its own, made with it."""
    USER_ASSIGNED = "user_assigned"
    """One that exists already."""
    NONE = "none"
    """Nobody's."""


class PublicAccess(StrEnum):
    """Whether something can be reached over the network."""

    ENABLED = "enabled"
    """Over the network."""
    DISABLED = "disabled"
    """Only on this machine, through its socket."""


class UserAssignedIdentity(Part, frozen=True):
    """An identity that exists already."""

    read_only = frozenset({"client_id", "principal_id"})
    resource_id: Annotated[str, Text()] = Field(description="Resource id of the identity.")


class Identity(Part, frozen=True):
    """Under whose name the endpoint reaches other services."""

    read_only = frozenset({"principal_id", "tenant_id"})
    type: Annotated[IdentityType, Choice(IdentityType)] = Field(description="Whose identity it is.")
    user_assigned_identities: list[UserAssignedIdentity] | None = Field(
        default=None, description="The identity to use with type user_assigned; one at most.", validate_default=True
    )

    @field_validator("user_assigned_identities")
    @classmethod
    def _check_identities(
        cls, value: list[UserAssignedIdentity] | None, info: ValidationInfo
    ) -> list[UserAssignedIdentity] | None:
        if value is not None and len(value) > 1:
            refuse(f"holds {len(value)} identities, 1 is allowed")
        if not value and info.data.get("type") is IdentityType.USER_ASSIGNED:
            refuse("is missing: type user_assigned needs one", "write - resource_id: … below it")
        return value


TrafficMap = Mapping[str, Annotated[int, WholeNumber(0, 100)]]


def _fold_names(shares: Mapping[str, int]) -> dict[str, int]:
    """Lower-case the deployments' names and leave out zeros."""
    folded: dict[str, int] = {}
    for name, percent in shares.items():
        if normalize_name(name) in folded:
            refuse(f"{normalize_name(name)} is given twice")
        folded[normalize_name(name)] = percent
    return {name: percent for name, percent in folded.items() if percent}


class OnlineEndpoint(Entity, frozen=True):
    """What managed and Kubernetes online endpoints have in common."""

    read_only = Entity.read_only | {"scoring_uri", "openapi_uri", "kind", "provisioning_error"}
    name: Annotated[str, Name()] = Field(description="Name of the endpoint.", examples=["fraud-endpoint"])
    description: Annotated[str, Text(may_be_empty=True)] | None = Field(default=None, description="What it is for.")
    tags: ScalarMap = Field(default={}, description="Your own labels: any names and values.")
    properties: ScalarMap = Field(default={}, description="Further values, kept and shown.")
    auth_mode: Annotated[AuthMode, Choice(AuthMode)] = Field(
        default=AuthMode.KEY, description="How callers prove who they are."
    )
    location: Annotated[str, Text()] | None = Field(default=None, description="Region; the workspace's if left out.")
    identity: Identity = Field(
        default=Identity(type=IdentityType.SYSTEM_ASSIGNED), description="Under whose name it reaches other services."
    )
    traffic: TrafficMap = Field(
        default={}, description="Percentage of the requests for each deployment, adding up to 100 or 0."
    )

    @field_validator("properties")
    @classmethod
    def _check_properties(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        check_extensions(value)
        return value

    @field_validator("traffic")
    @classmethod
    def _check_traffic(cls, value: Mapping[str, int]) -> Mapping[str, int]:
        shares = _fold_names(value)
        fault = find_traffic_fault(shares)
        if fault is not None:
            refuse(fault)
        return shares

    def replace_traffic(self, traffic: Mapping[str, int]) -> Self:
        """Return the endpoint with other traffic; the caller has checked it with `traffic.check_traffic`."""
        return self.model_copy(update={"traffic": dict(traffic)})


class ManagedOnlineEndpoint(OnlineEndpoint, frozen=True):
    """A managed online endpoint: an address that spreads requests over deployments."""

    label = "managed online endpoint"
    mirror_traffic: TrafficMap = Field(
        default={}, description="Percentage (at most 50) of the requests that one deployment gets a copy of."
    )
    public_network_access: Annotated[PublicAccess, Choice(PublicAccess)] = Field(
        default=PublicAccess.ENABLED, description="disabled: reachable on this machine only, through its socket."
    )
    egress_public_network_access: Annotated[PublicAccess, Choice(PublicAccess)] | None = Field(
        default=None, description="Default for the deployments of this endpoint; Azure knows it on deployments only."
    )

    @field_validator("mirror_traffic")
    @classmethod
    def _check_mirror_traffic(cls, value: Mapping[str, int], info: ValidationInfo) -> Mapping[str, int]:
        shares = _fold_names(value)
        traffic: Any = info.data.get("traffic", {})
        fault = find_mirror_fault(shares, traffic)
        if fault is not None:
            refuse(fault)
        return shares

    def replace_mirror_traffic(self, mirror_traffic: Mapping[str, int]) -> Self:
        """Return the endpoint with other mirrored traffic; the caller has checked it."""
        return self.model_copy(update={"mirror_traffic": dict(mirror_traffic)})


class KubernetesOnlineEndpoint(OnlineEndpoint, frozen=True):
    """An online endpoint on a Kubernetes cluster: chosen by `compute`."""

    label = "Kubernetes online endpoint"
    compute: Annotated[str, ComputeReference()] = Field(
        description="The attached cluster.", examples=["azureml:my-cluster"]
    )
