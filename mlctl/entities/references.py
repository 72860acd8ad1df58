"""References to assets: `azureml:NAME:VERSION` and its relatives. Parsed by the models, resolved by `ops`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from mlctl.entities.names import find_asset_name_fault
from mlctl.errors import InvalidInput

Asset = Literal["model", "environment", "data", "component"]
# What Azure calls them in ids.
COLLECTIONS: Mapping[str, str] = {
    "model": "models",
    "environment": "environments",
    "data": "data",
    "component": "components",
}

_ARM = re.compile(
    r"azureml:/subscriptions/[^/]+/resourcegroups/[^/]+/providers/microsoft\.machinelearningservices"
    r"/workspaces/[^/]+/(?P<collection>[a-z]+)/(?P<name>[^/]+)/versions/(?P<version>[^/]+)",
    re.IGNORECASE,
)
_REGISTRY = re.compile(
    r"azureml://registries/(?P<registry>[^/]+)/(?P<collection>[a-z]+)/(?P<name>[^/]+)"
    r"/(?:versions/(?P<version>[^/]+)|labels/(?P<label>[^/]+))",
    re.IGNORECASE,
)
_SHORT = re.compile(r"azureml:(?P<name>[^:@/]+)(?::(?P<version>[^:@/]+)|@(?P<label>[^:@/]+))?", re.IGNORECASE)


@dataclass(frozen=True)
class Reference:
    """An asset that a document names. version and label both None: the newest version. registry: a shared one."""

    name: str
    version: str | None = None
    label: str | None = None
    registry: str | None = None

    @property
    def is_newest(self) -> bool:
        """Say whether no exact version is asked for; `latest` is the only label there is."""
        return self.version is None

    def __str__(self) -> str:
        if self.registry is not None:
            return f"azureml://registries/{self.registry}/{self.name}:{self.version or '@' + str(self.label)}"
        if self.version is not None:
            return f"azureml:{self.name}:{self.version}"
        return f"azureml:{self.name}" + (f"@{self.label}" if self.label is not None else "")


def parse_reference(text: str, asset: Asset) -> Reference:
    """Parse a reference to a model or environment; InvalidInput says which forms there are."""
    match = _ARM.fullmatch(text) or _REGISTRY.fullmatch(text) or _SHORT.fullmatch(text)
    if match is None:
        raise InvalidInput(f'"{text}" is not a reference', hint=_suggest(text, asset))
    parts = match.groupdict()
    collection = parts.get("collection")
    wanted = COLLECTIONS[asset]
    if collection is not None and collection.lower() != wanted:
        raise InvalidInput(f'"{text}" names one of the {collection}, not one of the {wanted}', hint=_suggest("", asset))
    for what in ("name", "version", "label", "registry"):
        fault = find_asset_name_fault(parts[what], what) if parts.get(what) is not None else None
        if fault is not None:
            raise InvalidInput(f'"{text}" is not a reference: {fault}', hint=_suggest("", asset))
    return Reference(parts["name"], parts.get("version"), parts.get("label"), parts.get("registry"))


def _suggest(text: str, asset: Asset) -> str:
    """Show the form that was probably meant."""
    if text and _SHORT.fullmatch(f"azureml:{text}"):
        return f"did you mean azureml:{text}?"
    return f"write azureml:NAME:VERSION, azureml:NAME@latest, or a map that describes the {asset}"
