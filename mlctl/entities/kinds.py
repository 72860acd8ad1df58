"""The kinds of documents: which model reads which, and which schema belongs to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from mlctl.entities.deployment import DeploymentType, KubernetesOnlineDeployment, ManagedOnlineDeployment
from mlctl.entities.endpoint import KubernetesOnlineEndpoint, ManagedOnlineEndpoint
from mlctl.entities.environment import Environment
from mlctl.entities.model import Model
from mlctl.entities.names import schema_file, schema_url
from mlctl.entities.parts import Entity
from mlctl.entities.values import match_word

Family = Literal["endpoint", "deployment", "model", "environment"]


@dataclass(frozen=True)
class Kind:
    """A kind of document. name: the schema's, without suffix. when: how a document becomes one of this kind."""

    name: str
    family: Family
    model_class: type[Entity]
    when: str = ""

    @property
    def schema_file(self) -> str:
        """The schema's file name."""
        return schema_file(self.name)

    @property
    def schema_url(self) -> str:
        """The official address to write into `$schema`."""
        return schema_url(self.name)


MANAGED_ENDPOINT = Kind("managedOnlineEndpoint", "endpoint", ManagedOnlineEndpoint, "without compute")
KUBERNETES_ENDPOINT = Kind("kubernetesOnlineEndpoint", "endpoint", KubernetesOnlineEndpoint, "with compute")
MANAGED_DEPLOYMENT = Kind("managedOnlineDeployment", "deployment", ManagedOnlineDeployment, "type: managed")
KUBERNETES_DEPLOYMENT = Kind("kubernetesOnlineDeployment", "deployment", KubernetesOnlineDeployment, "type: kubernetes")
MODEL = Kind("model", "model", Model)
ENVIRONMENT = Kind("environment", "environment", Environment)
KINDS = (MANAGED_ENDPOINT, KUBERNETES_ENDPOINT, MANAGED_DEPLOYMENT, KUBERNETES_DEPLOYMENT, MODEL, ENVIRONMENT)

# Fields that tell nothing about the family, because several have them.
_SHARED = {"name", "version", "description", "tags", "properties", "type", "datastore"}
# What options supply as well: a document without them may still be complete.
_FROM_OPTIONS = {"name", "endpoint_name"}
_CONDA_FIELDS = {"name", "channels", "dependencies", "variables", "prefix"}


def endpoint_class(data: Mapping[str, Any]) -> type[ManagedOnlineEndpoint] | type[KubernetesOnlineEndpoint]:
    """Choose the model of an endpoint: `compute` makes it Kubernetes, as in Azure."""
    return KubernetesOnlineEndpoint if data.get("compute") is not None else ManagedOnlineEndpoint


def deployment_class(data: Mapping[str, Any]) -> type[ManagedOnlineDeployment] | type[KubernetesOnlineDeployment]:
    """Choose the model of a deployment by its `type`; managed when it says nothing."""
    is_kubernetes = match_word(data.get("type"), (DeploymentType.KUBERNETES,)) is not None
    return KubernetesOnlineDeployment if is_kubernetes else ManagedOnlineDeployment


def find_kind_of_class(model_class: type[Entity]) -> Kind | None:
    """Find the kind that a model reads; None for inline models."""
    return next((kind for kind in KINDS if kind.model_class is model_class), None)


def find_kind(data: Mapping[str, Any]) -> Kind | None:
    """Guess the kind of a document when no command says it: by `$schema`, else by its fields; None: cannot tell.

    `$schema` only tells the family; managed or Kubernetes is decided by the fields, as everywhere.
    """
    family = _find_family_by_schema(data.get("$schema")) or _find_family_by_fields(data)
    if family == "endpoint":
        return find_kind_of_class(endpoint_class(data))
    if family == "deployment":
        return find_kind_of_class(deployment_class(data))
    return next((kind for kind in KINDS if kind.family == family), None)


def find_other_family(data: Mapping[str, Any], family: Family) -> Family | None:
    """Name the family that a document belongs to when it has nothing of the one it was given for."""
    own = {name for kind in KINDS if kind.family == family for name in kind.model_class.list_fields()} - _SHARED
    if own & data.keys() - _FROM_OPTIONS:
        return None
    found = _find_family_by_fields(data) or _find_family_by_schema(data.get("$schema"))
    return found if found != family else None


def is_conda_file(data: Mapping[str, Any]) -> bool:
    """Say whether a document is no document of Azure's but what an environment's `conda_file` points to."""
    return "dependencies" in data and data.keys() <= _CONDA_FIELDS


def is_complete(data: Mapping[str, Any], kind: Kind) -> bool:
    """Say whether a document describes the whole thing; one that does not is merged into what is there already.

    Names may be missing, options supply them. A deployment is whole when it says what to run: model or environment.
    """
    needed = set(kind.model_class.list_required()) - _FROM_OPTIONS
    if any(data.get(name) is None for name in needed):
        return False
    if kind.family == "deployment":
        return any(data.get(name) is not None for name in ("model", "environment"))
    return kind.family != "endpoint" or data.get("name") is not None


def merge_top_level(base: Mapping[str, Any], partial: Mapping[str, Any]) -> dict[str, Any]:
    """Lay a partial document over a whole one: each of its fields takes the place of the whole field there."""
    return {**base, **{name: value for name, value in partial.items() if name != "$schema"}}


def _find_family_by_schema(schema: object) -> Family | None:
    if not isinstance(schema, str):
        return None
    file = schema.rsplit("/", 1)[-1].lower()
    return next((kind.family for kind in KINDS if kind.schema_file.lower() == file), None)


def _find_family_by_fields(data: Mapping[str, Any]) -> Family | None:
    counts: dict[Family, int] = {}
    for kind in KINDS:
        known = kind.model_class.list_fields().keys() - _SHARED
        counts[kind.family] = max(counts.get(kind.family, 0), len(known & data.keys()))
    best = max(counts, key=lambda family: counts[family])
    is_clear = counts[best] > 0 and list(counts.values()).count(counts[best]) == 1
    return best if is_clear else None
