"""Batch endpoints, deployments, data and computes as the objects that az prints. Source: az's surface 4.1 and 4.3."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.entities.stored import read_map
from mlctl.ops.documents import (
    CODE_ID,
    LOCATION,
    Document,
    asset_id,
    creation_context,
    describe_interpreter,
    show_utc,
    without_nulls,
    workspace_id,
)
from mlctl.ops.session import Session
from mlctl.registry.assets import Asset
from mlctl.registry.batch_deployments import BatchDeploymentRow
from mlctl.registry.batch_endpoints import BatchEndpointRow
from mlctl.registry.computes import ComputeRow

SUCCEEDED = "Succeeded"
_SETTINGS = (
    *("error_threshold", "mini_batch_error_threshold", "retry_settings", "mini_batch_size", "logging_level"),
    *("output_action", "output_file_name", "max_concurrency_per_instance", "resources", "settings"),
)


def batch_endpoint_id(endpoint: BatchEndpointRow) -> str:
    """Return a batch endpoint's id in Azure's form."""
    return f"{workspace_id(endpoint.workspace, endpoint.resource_group)}/batchEndpoints/{endpoint.name}"


def jobs_uri(session: Session, endpoint: BatchEndpointRow) -> str:
    """Return where jobs of a batch endpoint are asked for."""
    return f"http://{session.gateway_address}/batch-endpoints/{endpoint.name}/jobs"


def batch_endpoint_document(session: Session, endpoint: BatchEndpointRow) -> Document:
    """Return a batch endpoint as `show`, `create` and `update` print it."""
    spec = endpoint.spec
    return without_nulls(
        {
            "id": batch_endpoint_id(endpoint),
            "name": endpoint.name,
            "description": spec.get("description"),
            "tags": read_map(spec, "tags"),
            "provisioning_state": SUCCEEDED,
            "properties": {
                "createdBy": endpoint.created_by,
                "createdAt": show_utc(endpoint.created_at),
                "lastModifiedAt": show_utc(endpoint.modified_at),
                **read_map(spec, "properties"),
            },
            "auth_mode": spec.get("auth_mode"),
            "scoring_uri": jobs_uri(session, endpoint),
            "location": spec.get("location") or LOCATION,
            "identity": spec.get("identity"),
            "defaults": read_map(spec, "defaults"),
            "resourceGroup": endpoint.resource_group,
        }
    )


def batch_endpoint_list_row(session: Session, endpoint: BatchEndpointRow) -> Document:
    """Return a batch endpoint as `list` prints it."""
    document = batch_endpoint_document(session, endpoint)
    keys = ("location", "provisioning_state", "scoring_uri", "auth_mode", "resourceGroup")
    return {
        "id": document["id"],
        "name": document["name"],
        "deployment_name": endpoint.default_deployment,
        **{key: document[key] for key in keys},
    }


def batch_deployment_document(deployment: BatchDeploymentRow, endpoint: BatchEndpointRow) -> Document:
    """Return a batch deployment as `show`, `create` and `update` print it: settings at the top level."""
    spec, plan = deployment.spec, deployment.plan
    properties = read_map(spec, "properties")
    return without_nulls(
        {
            "name": deployment.name,
            "endpoint_name": endpoint.name,
            "id": f"{batch_endpoint_id(endpoint)}/deployments/{deployment.name}",
            "type": spec.get("type"),
            "tags": read_map(spec, "tags"),
            "properties": describe_interpreter(properties, plan) if "python" in plan else properties,
            "description": spec.get("description"),
            "model": _asset_text("model", plan.get("model"), endpoint) or spec.get("model"),
            "code_configuration": _code(spec, plan),
            "environment": _asset_text("environment", plan.get("environment"), endpoint) or spec.get("environment"),
            "component": _asset_text("component", plan.get("component"), endpoint) or spec.get("component"),
            "job_definition": spec.get("job_definition"),
            "environment_variables": spec.get("environment_variables"),
            "compute": _compute_text(spec.get("compute"), endpoint),
            **{key: spec.get(key) for key in _SETTINGS},
            "provisioning_state": SUCCEEDED,
            "creation_context": creation_context(
                deployment.created_at, deployment.created_by, deployment.modified_at, deployment.modified_by
            ),
            "resourceGroup": endpoint.resource_group,
        }
    )


def _code(spec: Mapping[str, Any], plan: Mapping[str, Any]) -> Document | None:
    if "code" not in plan:
        return None
    return {**read_map(spec, "code_configuration"), "code": CODE_ID.format(hash=plan["code"]["hash"])}


def _asset_text(kind: str, asset: Mapping[str, Any] | None, endpoint: BatchEndpointRow) -> str | None:
    if not asset or "version" not in asset:
        return None
    return asset_id(kind, asset["workspace"], endpoint.resource_group, asset["name"], asset["version"])


def _compute_text(name: str | None, endpoint: BatchEndpointRow) -> str | None:
    if name is None or name == "local":
        return name
    return f"azureml:{workspace_id(endpoint.workspace, endpoint.resource_group)}/computes/{name}"


def batch_deployment_list_row(deployment: BatchDeploymentRow, endpoint: BatchEndpointRow) -> Document:
    """Return a batch deployment as `list` prints it."""
    document = batch_deployment_document(deployment, endpoint)
    keys = ("environment", "compute", "tags", "creation_context", "provisioning_state", "resourceGroup")
    return {
        "id": document["id"],
        "name": document["name"],
        "model": document.get("model"),
        "code": read_map(document, "code_configuration").get("code"),
        **{key: document.get(key) for key in keys},
    }


def data_document(asset: Asset, resource_group: str) -> Document:
    """Return a data asset's version as `show` and `create` print it; its id has no `azureml:` before it."""
    identifier = asset_id("data", asset.workspace, resource_group, asset.name, asset.version)
    modified = (asset.modified_at or asset.created_at, asset.modified_by or asset.created_by)
    return without_nulls(
        {
            "id": identifier.removeprefix("azureml:"),
            "name": asset.name,
            "version": asset.version,
            "type": asset.spec.get("type"),
            "path": asset.spec.get("path"),
            "description": asset.spec.get("description"),
            "tags": read_map(asset.spec, "tags"),
            "properties": read_map(asset.spec, "properties"),
            "creation_context": creation_context(asset.created_at, asset.created_by, *modified),
            "resourceGroup": resource_group,
        }
    )


def compute_document(compute: ComputeRow, resource_group: str) -> Document:
    """Return a compute as `show` and `create` print it."""
    spec = compute.spec
    return without_nulls(
        {
            "name": compute.name,
            "id": f"{workspace_id(compute.workspace, resource_group)}/computes/{compute.name}",
            "type": spec.get("type"),
            **{key: value for key, value in spec.items() if key != "name"},
            "location": spec.get("location") or LOCATION,
            "tags": read_map(spec, "tags"),
            "provisioning_state": SUCCEEDED,
            "created_on": show_utc(compute.created_at) if compute.created_at else None,
            "resourceGroup": resource_group,
        }
    )
