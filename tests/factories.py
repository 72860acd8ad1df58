"""Makes the things that tests need, with everything that does not matter filled in."""

from __future__ import annotations

from typing import Any

from mlctl.planning.replicas import Replica, ReplicaState, Wanted
from mlctl.registry import deployments, endpoints
from mlctl.registry.deployments import DeploymentRow
from mlctl.registry.endpoints import EndpointRow
from mlctl.registry.store import Store

PLAN: dict[str, Any] = {
    "python": "/usr/bin/python3",
    "python_version": "3.11.7",
    "entry_script": "score.py",
    "code": {"hash": "c" * 64, "name": "src"},
    "model": None,
    "environment": None,
}


def make_wanted(**changes: Any) -> Wanted:
    fields: dict[str, Any] = {"generation": 1, "count": 1, "serving": None, "serving_count": 0}
    return Wanted(**(fields | changes))


def make_replicas(*states: str, generation: int = 1) -> list[Replica]:
    return [Replica(f"g{generation}-{index}", generation, ReplicaState(state)) for index, state in enumerate(states)]


def make_endpoint(store: Store, name: str = "fraud-endpoint", **spec: Any) -> EndpointRow:
    return endpoints.insert_endpoint(
        store,
        name=name,
        spec={"name": name, "auth_mode": "key", "traffic": {}, "mirror_traffic": {}, **spec},
        credentials=b"ciphertext",
        workspace="local",
        resource_group="local",
    )


def make_deployment(store: Store, name: str = "blue", endpoint: str = "fraud-endpoint", **spec: Any) -> DeploymentRow:
    return deployments.insert_deployment(
        store,
        endpoint=endpoint,
        name=name,
        spec={"name": name, "endpoint_name": endpoint, "instance_count": 1, **spec},
        plan=PLAN,
        takes_all_traffic=False,
    )
