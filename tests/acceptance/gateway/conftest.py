"""A real Envoy with two real replicas; every process and thread is ended by the fixture that started it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import free_port
from tests.acceptance.gateway.servers import Front, Replica, make_backend, make_routes


@contextlib.contextmanager
def boot() -> Generator[Front]:
    # Short: Unix sockets below it have 107 bytes.
    front = Front(Path(tempfile.mkdtemp(prefix="mlg-", dir="/tmp")), free_port())
    front.gateway.prepare()
    try:
        yield front.start()
    finally:
        front.kill()
        shutil.rmtree(front.folder)


@pytest.fixture
def fresh() -> Iterator[Front]:
    """An Envoy of this test's own, which it may kill."""
    with boot() as front:
        yield front


@pytest.fixture(scope="module")
def front() -> Iterator[Front]:
    """An Envoy that the module's tests share."""
    with boot() as front:
        yield front


@contextlib.contextmanager
def run_replica(front: Front, name: str, deployment: str = "") -> Generator[Replica]:
    replica = Replica(front.socket(name), deployment or name).start()
    try:
        yield replica
    finally:
        replica.stop()


@pytest.fixture(scope="module")
def _blue(front: Front) -> Iterator[Replica]:
    with run_replica(front, "blue") as replica:
        yield replica


@pytest.fixture(scope="module")
def _green(front: Front) -> Iterator[Replica]:
    with run_replica(front, "green") as replica:
        yield replica


@pytest.fixture
def blue(front: Front, _blue: Replica, _green: Replica) -> Replica:
    """A replica of the deployment with all traffic; green, without any, runs too."""
    for replica in (_blue, _green):
        replica.received.clear()
        replica.hold.clear()
        replica.status = 200
    front.gateway.publish(make_routes(make_backend("blue", [_blue.path]), make_backend("green", [_green.path])))
    return _blue


@pytest.fixture
def green(blue: Replica, _green: Replica) -> Replica:
    return _green
