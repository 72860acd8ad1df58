"""Reading metrics from sockets: of those that answer, those that hang, those that are gone."""

from __future__ import annotations

import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlctl.runtimes.metrics import Series, add_readings, parse_metrics, read_metrics

TEXT = """# HELP mlctl_scoring_requests_total Requests, by status.
# TYPE mlctl_scoring_requests_total counter
mlctl_scoring_requests_total{status="200"} 3
# TYPE mlctl_scoring_step_seconds histogram
mlctl_scoring_step_seconds_bucket{step="run",le="+Inf"} 3
mlctl_scoring_in_flight 2
what is this
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not pytest's: a socket's path has 107 bytes at most.
    with tempfile.TemporaryDirectory(prefix="mlm-") as name:
        yield Path(name)


def listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def answer_once(listener: socket.socket, status: str, body: str) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(4096)
        connection.sendall(f"HTTP/1.1 {status}\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode())


def test_names_labels_and_kinds_are_read() -> None:
    reading = parse_metrics(TEXT)
    assert reading.values == {
        Series("mlctl_scoring_requests_total", (("status", "200"),)): 3,
        Series("mlctl_scoring_step_seconds_bucket", (("step", "run"), ("le", "+Inf"))): 3,
        Series("mlctl_scoring_in_flight"): 2,
    }
    assert reading.kind(Series("mlctl_scoring_step_seconds_bucket")) == "histogram"
    assert reading.about["mlctl_scoring_requests_total"] == tuple(TEXT.splitlines()[:2])


def test_readings_are_added_series_by_series() -> None:
    total = add_readings([parse_metrics(TEXT), parse_metrics(TEXT), parse_metrics("mlctl_scoring_in_flight 5")])
    assert total.values[Series("mlctl_scoring_in_flight")] == 9
    assert total.values[Series("mlctl_scoring_requests_total", (("status", "200"),))] == 6
    assert add_readings([]).values == {}


def test_one_that_hangs_and_one_that_is_gone_are_left_out(folder: Path) -> None:
    paths = [str(folder / name) for name in ("good", "hung", "gone", "broken")]
    with listen(folder / "good") as good, listen(folder / "hung"), listen(folder / "broken") as broken:
        servers = [
            threading.Thread(target=answer_once, args=(good, "200 OK", TEXT)),
            threading.Thread(target=answer_once, args=(broken, "404 Not Found", "")),
        ]
        for server in servers:
            server.start()
        started = time.monotonic()
        found = read_metrics(paths, timeout_s=0.5)
        assert time.monotonic() - started < 5
        for server in servers:
            server.join()
    assert set(found) == {paths[0]}
    assert found[paths[0]] == parse_metrics(TEXT)


def test_nobody_to_ask_is_no_answer() -> None:
    assert read_metrics([], timeout_s=1) == {}
