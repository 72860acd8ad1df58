from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

import pytest

from tests.acceptance.scoring.replicas import Replica, start_process


class StartReplica(Protocol):
    def __call__(
        self,
        script: str | None,
        *options: str,
        files: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Replica: ...


def _start_replicas() -> Iterator[StartReplica]:
    replicas: list[Replica] = []

    def start(
        script: str | None,
        *options: str,
        files: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Replica:
        # Not pytest's folder: a socket's path has 107 bytes at most.
        folder = Path(tempfile.mkdtemp(prefix="mlctl-"))
        replica = start_process(folder, script, *options, files=files or {}, environment=environment or {})
        replicas.append(replica)
        return replica

    yield start
    for replica in replicas:
        replica.close()
        shutil.rmtree(replica.folder)


start_replica = pytest.fixture(_start_replicas, name="start_replica")
start_shared_replica = pytest.fixture(_start_replicas, scope="module", name="start_shared_replica")


@pytest.fixture
def background() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as pool:
        yield pool
