"""Requests over a Unix socket, to a real server on one; and what Envoy's admin is asked for that way."""

from __future__ import annotations

import http.server
import socketserver
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlctl import unix_http
from mlctl.gateway.admin import Admin

STATS = """cluster.fraud/blue.upstream_rq_active: 3
cluster.fraud/blue.upstream_rq_pending_active: 1
cluster_manager.cds.update_rejected: 2
cluster_manager.cds.version_text: "abc"
cluster_manager.warming_clusters: 1
"""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(STATS.encode() if self.path.startswith("/stats") else self.path.encode())

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def _answer(self, body: bytes) -> None:
        self.send_response(503 if self.path == "/ready" else 200)
        self.send_header("X-Method", f"{self.command} {self.headers.get('X-Sent', '')}")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: stderr is the test's."""


@pytest.fixture
def path(tmp_path: Path) -> Iterator[str]:
    path = str(tmp_path / "http.sock")
    with socketserver.ThreadingUnixStreamServer(path, Handler) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield path
        server.shutdown()
        serving.join(5)


def test_a_request_is_answered_with_status_headers_and_body(path: str):
    answer = unix_http.request(path, "POST", "/x", body=b"data", headers={"X-Sent": "1"}, timeout_s=5)
    assert (answer.status, answer.body, answer.headers["x-method"]) == (200, b"data", "POST 1")


@pytest.mark.parametrize("file", [None, "text"])
def test_where_nobody_listens_it_is_an_os_error(tmp_path: Path, file: str | None):
    if file:
        (tmp_path / "s").write_text(file)
    with pytest.raises(OSError, match=r"No such file|refused"):
        unix_http.request(str(tmp_path / "s"), "GET", "/", timeout_s=1)


def test_who_does_not_answer_is_a_timeout(tmp_path: Path):
    with socketserver.UnixStreamServer(str(tmp_path / "s"), Handler), pytest.raises(TimeoutError):
        unix_http.request(str(tmp_path / "s"), "GET", "/", timeout_s=0.05)


def test_the_admin_reads_versions_and_counts(path: str):
    admin = Admin(Path(path))
    status = admin.read_config_status()
    assert (status.versions, status.rejected) == ({"cluster_manager.cds": "abc"}, {"cluster_manager.cds": 2})
    assert status.warming_clusters == 1
    assert not admin.is_ready()


def test_an_admin_that_is_gone_is_not_ready(tmp_path: Path):
    assert not Admin(tmp_path / "none").is_ready()
