"""Rules for names, and the names of the schema files. Used by the models, by references and by the CLI for `-n`."""

from __future__ import annotations

import re

from mlctl.errors import InvalidInput

NAME_PATTERN = r"^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$"
NAME_MIN_LENGTH = 3
NAME_MAX_LENGTH = 32
ASSET_NAME_PATTERN = r"^[a-zA-Z0-9][-a-zA-Z0-9_.]*$"
ASSET_NAME_MAX_LENGTH = 255

SCHEMA_URL_BASE = "https://azuremlschemas.azureedge.net/latest/"
SCHEMA_NAMES = (
    "managedOnlineEndpoint",
    "kubernetesOnlineEndpoint",
    "managedOnlineDeployment",
    "kubernetesOnlineDeployment",
    "model",
    "environment",
    "batchEndpoint",
    "batchDeployment",
    "modelBatchDeployment",
    "pipelineComponentBatchDeployment",
    "data",
    "amlCompute",
    "schedule",
    "commandComponent",
    "pipelineComponent",
    "commandJob",
    "pipelineJob",
)


def schema_file(schema_name: str) -> str:
    """Name the file of a schema: `managedOnlineEndpoint.schema.json`."""
    return f"{schema_name}.schema.json"


def schema_url(schema_name: str) -> str:
    """Name the official address of a schema, as users write it in `$schema`; it is never fetched."""
    return SCHEMA_URL_BASE + schema_file(schema_name)


def normalize_name(name: str) -> str:
    """Lower-case the name of an endpoint or deployment, as az does: look-ups do not depend on the case."""
    return name.lower()


def find_name_fault(name: str) -> str | None:
    """Say what is wrong with the name of an endpoint or deployment, or None. Source: Azure ML CLI v2, endpoint YAML."""
    if re.fullmatch("[-a-zA-Z0-9]*", name) is None and len(name) <= NAME_MAX_LENGTH:
        return (
            f'"{name}" may hold nothing but letters, digits and hyphens, {NAME_MIN_LENGTH} to {NAME_MAX_LENGTH} of them'
        )
    if len(name) < NAME_MIN_LENGTH:
        return f'"{name}" is shorter than {NAME_MIN_LENGTH} characters'
    if len(name) > NAME_MAX_LENGTH:
        return f'"{name[:NAME_MAX_LENGTH]}…" has {len(name)} characters, {NAME_MAX_LENGTH} are allowed'
    if re.fullmatch(NAME_PATTERN, name) is not None and "\n" not in name:
        return None
    if not re.match("[a-zA-Z]", name):
        return f'"{name}" does not begin with a letter'
    return f'"{name}" ends with a hyphen'


def find_asset_name_fault(name: str, what: str = "name") -> str | None:
    """Say what is wrong with the name or version of a model or environment, or None."""
    if not name:
        return f"the {what} is empty"
    if len(name) > ASSET_NAME_MAX_LENGTH:
        return f"the {what} has {len(name)} characters, {ASSET_NAME_MAX_LENGTH} are allowed"
    if re.fullmatch(ASSET_NAME_PATTERN, name) is None or "\n" in name:
        return f'the {what} "{name}" may hold nothing but letters, digits, -, _ and ., a letter or digit first'
    return None


def check_name(name: str, what: str = "endpoint") -> str:
    """Return the name in lower case, or raise InvalidInput; `what` is endpoint or deployment."""
    fault = find_name_fault(name)
    if fault is not None:
        raise InvalidInput(f"{what} name: {fault}", hint="for example fraud-endpoint")
    return normalize_name(name)
