"""Envoy's admin socket: is it ready, which configuration did it take, how much is in flight."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from mlctl import unix_http
from mlctl.gateway.envoy import METRICS_PATH

TIMEOUT_S = 2.0
_VERSIONS = r"(version_text|update_rejected|warming_clusters)$"


@dataclass(frozen=True)
class ConfigStatus:
    """What Envoy says of its configuration. versions, rejected: by statistics prefix such as `cluster_manager.cds`."""

    versions: dict[str, str]
    rejected: dict[str, int]
    warming_clusters: int


class Admin:
    """Asks Envoy. Every call raises OSError or HTTPException when it does not answer."""

    def __init__(self, socket: Path) -> None:
        self._socket = str(socket)

    def is_ready(self) -> bool:
        """Say whether Envoy serves; False as well when it does not answer."""
        try:
            return self._get("/ready").status == 200
        except (OSError, unix_http.HTTPException):
            return False

    def read_config_status(self) -> ConfigStatus:
        """Return which version of each resource is in force, and how often one was refused."""
        versions: dict[str, str] = {}
        rejected: dict[str, int] = {}
        warming = 0
        for line in self._stats(_VERSIONS):
            name, _, value = line.partition(": ")
            prefix, _, what = name.rpartition(".")
            if what == "version_text":
                versions[prefix] = value.strip('"')
            elif what == "update_rejected":
                rejected[prefix] = int(value)
            elif what == "warming_clusters":
                warming = int(value)
        return ConfigStatus(versions, rejected, warming)

    def read_prometheus(self) -> str:
        """Return Envoy's own metrics in Prometheus' text format."""
        return self._get(METRICS_PATH).body.decode()

    def reopen_logs(self) -> None:
        """Make Envoy open its access log anew, after it was renamed."""
        unix_http.request(self._socket, "POST", "/reopen_logs", timeout_s=TIMEOUT_S)

    def count_active(self, cluster: str) -> int:
        """Return how many requests are in flight to a deployment, or wait for a connection to it."""
        return self._sum(cluster, "upstream_rq_(active|pending_active)")

    def count_requests(self, cluster: str) -> int:
        """Return how many requests a deployment has been sent since Envoy started, copies included."""
        return self._sum(cluster, "upstream_rq_total")

    def _sum(self, cluster: str, statistic: str) -> int:
        lines = self._stats(f"^cluster\\.{re.escape(cluster)}\\.{statistic}$")
        return sum(int(line.rpartition(": ")[2]) for line in lines)

    def _stats(self, pattern: str) -> list[str]:
        return self._get(f"/stats?filter={quote(pattern)}").body.decode().splitlines()

    def _get(self, path: str) -> unix_http.Response:
        return unix_http.request(self._socket, "GET", path, timeout_s=TIMEOUT_S)
