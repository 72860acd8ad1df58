"""The replicas' metrics for Prometheus: each replica's own, and added up for each deployment.

Envoy's listener for Prometheus leads here; the answer begins with Envoy's own metrics. Replicas are asked when
somebody asks: nobody pays for metrics that nobody reads. docs/metrics.md lists the names.
"""

from __future__ import annotations

import contextlib
import logging
import socketserver
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path

from mlctl.errors import BackendUnavailable
from mlctl.gateway.admin import Admin
from mlctl.gateway.envoy import METRICS_PATH
from mlctl.registry import replicas
from mlctl.registry.replicas import ReplicaRow
from mlctl.registry.store import Store
from mlctl.runtimes.metrics import EMPTY, Reading, Series, add_readings, read_metrics
from mlctl.unix_http import HTTPException

log = logging.getLogger(__name__)

TIMEOUT_S = 1.0
_REPLICA, _DEPLOYMENT = "mlctl_scoring_", "mlctl_deployment_"
_UP = f"{_REPLICA}up"
_UP_ABOUT = (f"# HELP {_UP} Whether the replica answered when it was asked for its metrics.", f"# TYPE {_UP} gauge")
_SAME_READING_S = 0.5

# An endpoint and a deployment; a replica and one of its sockets.
Key = tuple[str, str]
Place = tuple[str, str]
Read = Callable[[Sequence[str]], Mapping[str, Reading]]


def _read_in_time(sockets: Sequence[str]) -> Mapping[str, Reading]:
    return read_metrics(sockets, timeout_s=TIMEOUT_S)


class DeploymentSums:
    """Adds up what the replicas of each deployment counted while they were looked at.

    What a replica that is gone has counted stays in the sums, so that they only ever rise, as Prometheus expects.
    A replica that was there before the daemon counts from the first look at it on: a new daemon's sums begin anew,
    which Prometheus takes for the restart that it is.
    """

    def __init__(self, began_at: float) -> None:
        self._began_at = began_at
        self._sums: dict[Key, dict[Series, float]] = {}
        self._last: dict[Place, Reading] = {}

    def add(self, row: ReplicaRow, socket: str, reading: Reading) -> None:
        """Add what a replica's worker has counted since the last time."""
        last = self._last.get((row.id, socket)) or (reading if row.started_at < self._began_at else EMPTY)
        sums = self._sums.setdefault((row.endpoint, row.deployment), {})
        for series, value in reading.values.items():
            if reading.kind(series) == "gauge":
                continue
            before = last.values.get(series, 0.0)
            # Less than before: the worker was replaced, and counts from zero.
            sums[series] = sums.get(series, 0.0) + (value - before if value >= before else value)
        self._last[row.id, socket] = reading

    def last(self, row: ReplicaRow) -> Reading:
        """Return what a replica's workers told the last time, added up."""
        return add_readings(self._last.get((row.id, socket), EMPTY) for socket in row.sockets)

    def keep(self, rows: Sequence[ReplicaRow]) -> None:
        """Forget the replicas that are gone, and the deployments that have none left."""
        ids, keys = {row.id for row in rows}, {(row.endpoint, row.deployment) for row in rows}
        self._last = {place: reading for place, reading in self._last.items() if place[0] in ids}
        self._sums = {key: sums for key, sums in self._sums.items() if key in keys}

    def sums(self, key: Key) -> dict[Series, float]:
        """Return a deployment's counters."""
        return dict(self._sums.get(key, {}))


class ReplicaMetrics:
    """Gathers and renders. A replica that does not answer in time shows what it told before."""

    def __init__(self, began_at: float, read: Read = _read_in_time) -> None:
        self._sums = DeploymentSums(began_at)
        self._read = read
        self._lock = threading.Lock()
        self._rendered, self._rendered_at = "", 0.0

    def gather(self, rows: Sequence[ReplicaRow]) -> str:
        """Ask all replicas and return their metrics as text. Askers that come at the same time share one look."""
        with self._lock:
            if time.monotonic() - self._rendered_at > _SAME_READING_S:
                self._rendered = "".join(f"{line}\n" for line in self._render(rows))
                self._rendered_at = time.monotonic()
            return self._rendered

    def _render(self, rows: Sequence[ReplicaRow]) -> Iterable[str]:
        answers = self._read([socket for row in rows for socket in row.sockets])
        values: dict[Series, float] = {}
        gauges: dict[Key, dict[Series, float]] = {}
        whole: list[Reading] = []
        for row in rows:
            for socket in row.sockets:
                if socket in answers:
                    self._sums.add(row, socket, answers[socket])
            reading = self._sums.last(row)
            whole.append(reading)
            own = (("endpoint", row.endpoint), ("deployment", row.deployment), ("replica", row.id))
            values |= {Series(name, (*own, *labels)): value for (name, labels), value in reading.values.items()}
            values[Series(_UP, own)] = float(all(socket in answers for socket in row.sockets))
            _add_gauges(gauges.setdefault((row.endpoint, row.deployment), {}), reading)
        self._sums.keep(rows)
        for key, found in gauges.items():
            labels = (("endpoint", key[0]), ("deployment", key[1]))
            for series, value in {**self._sums.sums(key), **found}.items():
                values[Series(_rename(series.name), (*labels, *series.labels))] = value
        yield from _write(values, add_readings(whole))


def _add_gauges(sums: dict[Series, float], reading: Reading) -> None:
    for series, value in reading.values.items():
        if reading.kind(series) == "gauge":
            sums[series] = sums.get(series, 0.0) + value


def _rename(text: str) -> str:
    return text.replace(_REPLICA, _DEPLOYMENT)


def _write(values: Mapping[Series, float], reading: Reading) -> Iterable[str]:
    """Write each metric's lines together, below what it is about, as the format wants it."""
    about = {name: lines for name, lines in reading.about.items() if name.startswith(_REPLICA)}
    about |= {_rename(name): tuple(map(_rename, lines)) for name, lines in about.items()}
    about[_UP] = _UP_ABOUT
    families: dict[str, list[str]] = {name: [] for name in about}
    for series, value in values.items():
        family = series.name if series.name in families else series.name.rpartition("_")[0]
        labels = ",".join(f'{name}="{text}"' for name, text in series.labels)
        families.setdefault(family, []).append(f"{series.name}{{{labels}}} {value:.12g}")
    for name, lines in families.items():
        if lines:
            yield from about.get(name, ())
            yield from lines


def serve_metrics(socket: Path, database: Path, admin: Admin) -> None:
    """Answer Prometheus' requests, which Envoy passes on to this socket, in threads of their own."""
    metrics = ReplicaMetrics(time.time())

    def render() -> str:
        own = ""
        with contextlib.suppress(OSError, HTTPException):
            own = admin.read_prometheus()
        try:
            with Store(database) as store:
                rows = [row for row in replicas.list_replicas(store) if row.pid is not None]
        except BackendUnavailable as error:
            log.error("no metrics of replicas", extra={"event": "registry.failed", "reason": error.message})
            return own
        return own + metrics.gather(rows)

    socket.unlink(missing_ok=True)
    try:
        server = _Server(str(socket), _make_handler(render))
    except OSError as error:
        log.error("no metrics of replicas", extra={"event": "metrics.failed", "reason": str(error)})
        return
    socket.chmod(0o600)
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()


class _Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Note what went wrong with one request, or that its client left."""
        log.warning("a request for metrics failed", extra={"event": "metrics.failed"}, exc_info=True)


def _make_handler(render: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 30

        def do_GET(self) -> None:
            is_known = self.path.partition("?")[0] == METRICS_PATH
            body = render().encode() if is_known else b""
            self.send_response(200 if is_known else 404)
            self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "gateway"

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing: somebody asks every few seconds."""

    return Handler
