"""From a deployment's document and plan to the order for one replica. Used by the reconciler and by trial runs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.entities.micro_batching import read_micro_batching
from mlctl.entities.server_variables import count_workers
from mlctl.entities.stored import read_map
from mlctl.planning.workers import count_at_a_time
from mlctl.runtimes.base import ReplicaOrder
from mlctl.runtimes.collection import plan_collection
from mlctl.runtimes.mounts import Mount

DEFAULT_QUEUE_WAIT_MS = 500


def make_order(
    spec: Mapping[str, Any],
    plan: Mapping[str, Any],
    mount: Mount,
    *,
    replica: str,
    socket: Path,
    log_file: Path,
    failure_file: Path,
    collected_data: Path,
) -> ReplicaOrder:
    """Fill an order with what the document asks for and the plan was resolved to.

    collected_data: where the data collectors of all deployments keep what they collect.
    """
    request, properties = read_map(spec, "request_settings"), read_map(spec, "properties")
    is_azure_exact = str(properties.get("mlctl.azure_exact", "")).lower() == "true"
    return ReplicaOrder(
        id=replica,
        endpoint=spec["endpoint_name"],
        deployment=spec["name"],
        socket=socket,
        python=Path(plan["python"]),
        app_root=mount.app_root,
        entry_script=plan.get("entry_script") or None,
        no_code=plan.get("no_code"),
        request_schema=_choose_schema(plan, mount, is_azure_exact=is_azure_exact),
        model_dir=mount.model_dir,
        environment_variables={key: _text(value) for key, value in read_map(spec, "environment_variables").items()},
        # Each of the workers has its share.
        max_concurrent=-(-count_at_a_time(spec) // count_workers(spec)),
        max_queue_wait_ms=request.get("max_queue_wait_ms", DEFAULT_QUEUE_WAIT_MS),
        run_threads=int(properties.get("mlctl.run_threads") or 1),
        is_azure_exact=is_azure_exact,
        has_network=spec.get("egress_public_network_access") != "disabled",
        work_dir=mount.work_dir,
        log_file=log_file,
        failure_file=failure_file,
        collection=plan_collection(spec, root=collected_data, replica=replica),
        micro_batching=read_micro_batching(properties),
    )


def _choose_schema(plan: Mapping[str, Any], mount: Mount, *, is_azure_exact: bool) -> str:
    """Return what bodies are checked against. Azure has none but the user's own run() refuse a body."""
    if mount.request_schema is not None:
        return str(mount.request_schema)
    return "off" if is_azure_exact or plan.get("request_schema") == "off" else "auto"


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)
