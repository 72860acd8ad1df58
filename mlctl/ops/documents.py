"""Rows of the registry as the objects that az prints: same keys, snake_case, nothing that is null.

Source: az's surface, sections 4.1 to 4.3. Imports nothing heavy: `show` and `list` need only this.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from mlctl.entities.references import COLLECTIONS
from mlctl.entities.stored import read_map
from mlctl.ops.session import SUBSCRIPTION, Session
from mlctl.registry.assets import Asset
from mlctl.registry.deployments import DeploymentRow
from mlctl.registry.endpoints import EndpointRow

Document = dict[str, Any]
# Properties that tell what mlctl found out; a document that was shown may be given back with them.
_FOUND_OUT = (
    *("mlctl.drift", "mlctl.loader", "mlctl.error", "mlctl.error.traceback", "mlctl.error.model_dir"),
    "mlctl.error.see",
)
LOCATION = "local"
# Code has no name in Azure's YAML; a deployment shows it by the hash of its content.
CODE_ID = "azureml:/codes/{hash}/versions/1"
CODE_ID_PATTERN = re.compile(r"azureml:/codes/(?P<hash>[0-9a-f]{64})/versions/1")


def workspace_id(workspace: str, resource_group: str) -> str:
    """Return a workspace's id in Azure's form."""
    provider = "providers/Microsoft.MachineLearningServices/workspaces"
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{resource_group}/{provider}/{workspace}"


def asset_id(kind: str, workspace: str, resource_group: str, name: str, version: str) -> str:
    """Return the id of a model's or environment's version, as deployments show it."""
    collection = COLLECTIONS.get(kind, f"{kind}s")
    return f"azureml:{workspace_id(workspace, resource_group)}/{collection}/{name}/versions/{version}"


def endpoint_id(endpoint: EndpointRow) -> str:
    """Return an endpoint's id in Azure's form."""
    return f"{workspace_id(endpoint.workspace, endpoint.resource_group)}/onlineEndpoints/{endpoint.name}"


def scoring_path(endpoint: str) -> str:
    """Return the path of an endpoint's scoring URI, the same at the gateway's address and at its socket."""
    return f"/endpoints/{endpoint}/score"


def scoring_uri(session: Session, endpoint: EndpointRow) -> str:
    """Return where an endpoint is scored: stable for the registry's life, one part after the base.

    A private endpoint has `http+unix://` with the quoted path of the gateway's socket in place of the host.
    """
    if endpoint.spec.get("public_network_access") == "disabled":
        return f"http+unix://{quote(str(session.gateway_socket), safe='')}{scoring_path(endpoint.name)}"
    return f"http://{session.gateway_address}{scoring_path(endpoint.name)}"


def endpoint_document(
    endpoint: EndpointRow, uri: str, deployments: Sequence[str] = (), *, fills_zeros: bool = False
) -> Document:
    """Return an endpoint as `show`, `create` and `update` print it; `uri` is its scoring URI.

    fills_zeros: deployments with neither live nor mirrored traffic are listed at 0, as `show` does.
    """
    spec = endpoint.spec
    traffic, mirror = read_map(spec, "traffic"), read_map(spec, "mirror_traffic")
    if fills_zeros:
        traffic |= {name: 0 for name in deployments if name not in traffic and name not in mirror}
    return without_nulls(
        {
            **spec,
            "id": endpoint_id(endpoint),
            "name": endpoint.name,
            "tags": read_map(spec, "tags"),
            "provisioning_state": endpoint.state,
            "properties": {
                "createdBy": endpoint.created_by,
                "createdAt": show_utc(endpoint.created_at),
                "lastModifiedAt": show_utc(endpoint.modified_at),
                "azureml.onlineendpointid": endpoint_id(endpoint).lower(),
                **read_map(spec, "properties"),
            },
            "scoring_uri": uri,
            "openapi_uri": f"{uri.removesuffix('/score')}/swagger.json",
            "location": spec.get("location") or LOCATION,
            "traffic": traffic,
            "mirror_traffic": mirror,
            "kind": "K8S" if spec.get("compute") else "Managed",
            "resourceGroup": endpoint.resource_group,
        }
    )


def endpoint_list_row(endpoint: EndpointRow) -> Document:
    """Return an endpoint as `list` prints it, in every format."""
    spec = endpoint.spec
    return {
        "name": endpoint.name,
        "location": spec.get("location") or LOCATION,
        "traffic": read_map(spec, "traffic"),
        "mirror_traffic": read_map(spec, "mirror_traffic"),
        "provisioning_state": endpoint.state,
        "kind": "K8S" if spec.get("compute") else "Managed",
        "tags": read_map(spec, "tags"),
    }


def deployment_document(deployment: DeploymentRow, endpoint: EndpointRow) -> Document:
    """Return a deployment as `show`, `create` and `update` print it."""
    spec, plan = deployment.spec, deployment.plan
    code = {**read_map(spec, "code_configuration"), "code": CODE_ID.format(**plan["code"])} if "code" in plan else None
    return without_nulls(
        {
            **spec,
            "code_configuration": code,
            "id": f"{endpoint_id(endpoint)}/deployments/{deployment.name}",
            "name": deployment.name,
            "endpoint_name": endpoint.name,
            "tags": read_map(spec, "tags"),
            "model": _asset_text("model", plan.get("model"), endpoint) or spec.get("model"),
            "environment": _asset_text("environment", plan.get("environment"), endpoint) or spec.get("environment"),
            "properties": describe_interpreter(read_map(spec, "properties"), plan)
            | ({"mlctl.loader": plan["no_code"]} if plan.get("no_code") else {})
            | _describe_error(deployment),
            "provisioning_state": deployment.state,
            "creation_context": creation_context(
                deployment.created_at, deployment.created_by, deployment.modified_at, deployment.modified_by
            ),
            "resourceGroup": endpoint.resource_group,
        }
    )


def describe_interpreter(properties: Mapping[str, Any], plan: Mapping[str, Any]) -> Document:
    """Return a deployment's properties with what its replicas run in, and how that differs from what was asked for."""
    kept = {key: value for key, value in properties.items() if key not in _FOUND_OUT}
    drift: Sequence[str] = plan.get("drift") or ()
    return {**kept, "mlctl.python": plan.get("python_version")} | ({"mlctl.drift": "; ".join(drift)} if drift else {})


def _describe_error(deployment: DeploymentRow) -> Document:
    summary = summarise_error(deployment)
    if not summary:
        return {}
    error = deployment.error or {}
    frames: list[Mapping[str, Any]] = error.get("frames") or []
    lines = [f"{frame['file']}:{frame['line']} in {frame['function']}\n    {frame['text']}" for frame in frames]
    cause, model_dir = error.get("cause"), error.get("model_dir")
    return {
        "mlctl.error": summary,
        **({"mlctl.error.traceback": "\n".join([*lines, cause or ""])} if lines else {}),
        **({"mlctl.error.model_dir": ", ".join(model_dir)} if model_dir else {}),
        "mlctl.error.see": f"mlctl deployment get-logs -n {deployment.name} -e {deployment.endpoint}",
    }


def summarise_error(deployment: DeploymentRow) -> str:
    """Say in one line why a deployment is Failed; empty for one that is not."""
    if deployment.state != "Failed":
        return ""
    error = deployment.error or {}
    cause = str(error.get("cause") or "").splitlines()
    return f"{error.get('message', 'failed')}{f': {cause[0]}' if cause else ''}"


def deployment_list_row(deployment: DeploymentRow, endpoint: EndpointRow) -> Document:
    """Return a deployment as `list` prints it."""
    document = deployment_document(deployment, endpoint)
    keys = ("name", "endpoint_name", "provisioning_state", "instance_type", "model", "type")
    return {key: document.get(key) for key in keys}


def asset_document(asset: Asset, resource_group: str) -> Document:
    """Return a model's or environment's version as `show` and `create` print it."""
    identifier = asset_id(asset.kind, asset.workspace, resource_group, asset.name, asset.version)
    path = {"path": f"{identifier}/path"} if asset.artifact else {}
    return without_nulls(
        {
            **asset.spec,
            **path,
            "id": identifier.replace("azureml:/", "azureml:/") if asset.kind == "model" else identifier,
            "name": asset.name,
            "version": asset.version,
            "tags": read_map(asset.spec, "tags"),
            "properties": read_map(asset.spec, "properties"),
            "creation_context": creation_context(
                asset.created_at, asset.created_by, asset.created_at, asset.created_by
            ),
            "resourceGroup": resource_group,
        }
    )


def creation_context(created_at: float, created_by: str, modified_at: float, modified_by: str) -> Document:
    """Return who made and who last changed something, and when."""
    return {
        "created_at": show_utc(created_at),
        "created_by": created_by,
        "created_by_type": "User",
        "last_modified_at": show_utc(modified_at),
        "last_modified_by": modified_by,
        "last_modified_by_type": "User",
    }


def _asset_text(kind: str, asset: Mapping[str, Any] | None, endpoint: EndpointRow) -> str | None:
    if not asset:
        return None
    return asset_id(kind, asset["workspace"], endpoint.resource_group, asset["name"], asset["version"])


def show_utc(at: float) -> str:
    """Render a time as az does."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1_000_000):06d}+00:00"


def without_nulls(document: Mapping[str, Any]) -> Document:
    """Leave out what is null, as az does."""
    return {key: value for key, value in document.items() if value is not None}
