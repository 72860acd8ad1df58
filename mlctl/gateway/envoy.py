"""The frame of Envoy's configuration: where its files lie, what it is started with, and the names that parts share.

Pure, as are `listeners`, `route_config` and `clusters`, which fill the frame; `publish` writes it all to disk. Field
names are those of Envoy's v3 API. Which setting keeps which promise is told where it stands.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Resource = dict[str, Any]

TYPES = "type.googleapis.com"
KEY_FILTER = "envoy.filters.http.api_key_auth"
TOKEN_FILTER = "envoy.filters.http.jwt_authn"
AUDIENCE_FILTER = "envoy.filters.http.rbac"
DEPLOYMENT_HEADER = "azureml-model-deployment"
CREDENTIAL_HEADER = "x-mlctl-credential"
MAX_CONNECTIONS = 10_000
# Where replicas carry their deployment's name.
METADATA = "mlctl"


# What a route's request to be let in is told apart by: what requires a token, in the filter's own map.
TOKEN_REQUIREMENT = "token"
# Envoy's own admin, as a place that routes lead to.
ADMIN_CLUSTER = "admin"
# The daemon, which adds the replicas' metrics to Envoy's; without a daemon the admin's are all there are.
METRICS_CLUSTER = "metrics"
METRICS_SOCKET = "metrics.sock"
METRICS_PATH = "/stats/prometheus"


@dataclass(frozen=True)
class Entrance:
    """One way in: the route configuration behind a listener. `kind` names its file; its statistics have `name`."""

    name: str
    kind: str

    @property
    def stats(self) -> str:
        """Where Envoy tells which version of the routes is in force."""
        return f"http.{self.name}.rds.{self.name}"


PUBLIC = Entrance("public", "rds")
PRIVATE = Entrance("private", "rds-private")
ENTRANCES = (PUBLIC, PRIVATE)


@dataclass(frozen=True)
class Layout:
    """Where the files lie. Each has a folder of its own, which Envoy watches for renames.

    private_socket: where endpoints that are not public are reached. access_log: None for none. metrics_port: of the
    listener for Prometheus, None for none. jwks: the public keys of tokens, as JSON text; empty: none.
    """

    root: Path
    admin_socket: Path
    host: str
    port: int
    private_socket: Path
    access_log: Path | None = None
    metrics_port: int | None = None
    jwks: str = ""

    @property
    def bootstrap(self) -> Path:
        """What Envoy is started with."""
        return self.root / "bootstrap.json"

    def file(self, kind: str) -> Path:
        """Return the file of `lds`, `cds`, an entrance's `kind`, or of a cluster's endpoints (`eds-…`)."""
        return self.root / kind / "resources.json"

    def source(self, kind: str) -> Resource:
        """Tell Envoy to read a file and to watch its folder."""
        file = self.file(kind)
        return {"path_config_source": {"path": str(file), "watched_directory": {"path": str(file.parent)}}}


def cluster_name(endpoint: str, deployment: str) -> str:
    """Name a deployment's cluster, as it stands in Envoy's statistics."""
    return f"{endpoint}/{deployment}"


def eds_kind(cluster: str) -> str:
    """Name the folder of a cluster's endpoints: short, and safe whatever the names hold."""
    return f"eds-{hashlib.sha256(cluster.encode()).hexdigest()[:12]}"


def render_bootstrap(layout: Layout) -> Resource:
    """Render what Envoy is started with: an admin socket for this user only, and where all else is read from."""
    monitor = "envoy.resource_monitors.global_downstream_max_connections"
    connections = "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"
    return {
        "node": {"id": "mlctl", "cluster": "mlctl"},
        "admin": {"address": {"pipe": {"path": str(layout.admin_socket), "mode": 0o600}}},
        "static_resources": {"clusters": [_admin_cluster(layout), _metrics_cluster(layout)]},
        "dynamic_resources": {"lds_config": layout.source("lds"), "cds_config": layout.source("cds")},
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": monitor,
                    "typed_config": {
                        "@type": f"{TYPES}/{connections}",
                        "max_active_downstream_connections": str(MAX_CONNECTIONS),
                    },
                }
            ]
        },
    }


def _admin_cluster(layout: Layout) -> Resource:
    endpoint = {"endpoint": {"address": {"pipe": {"path": str(layout.admin_socket)}}}}
    assignment = {"cluster_name": ADMIN_CLUSTER, "endpoints": [{"lb_endpoints": [endpoint]}]}
    return {"name": ADMIN_CLUSTER, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment}


def _metrics_cluster(layout: Layout) -> Resource:
    sockets = (layout.admin_socket.with_name(METRICS_SOCKET), layout.admin_socket)
    endpoints = [
        {"priority": priority, "lb_endpoints": [{"endpoint": {"address": {"pipe": {"path": str(socket)}}}}]}
        for priority, socket in enumerate(sockets)
    ]
    assignment = {"cluster_name": METRICS_CLUSTER, "endpoints": endpoints}
    return {"name": METRICS_CLUSTER, "type": "STATIC", "connect_timeout": "1s", "load_assignment": assignment}


def render_file(resources: Sequence[Resource]) -> tuple[str, str]:
    """Return the version of some resources, which is the hash of their text, and the text of their file."""
    body = json.dumps(list(resources), sort_keys=True)
    version = hashlib.sha256(body.encode()).hexdigest()[:24]
    return version, json.dumps({"version_info": version, "resources": list(resources)}, sort_keys=True, indent=1) + "\n"
