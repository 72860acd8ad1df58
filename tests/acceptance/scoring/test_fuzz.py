"""Raw bytes against one real replica: each input is answered or its connection closed, and the replica serves on.

MLCTL_FUZZ_SEED=7 MLCTL_FUZZ_COUNT=100000 python -m pytest tests/acceptance/scoring/test_fuzz.py -m slow
"""

from __future__ import annotations

import contextlib
import io
import os
import socket
from http.client import HTTPException

import pytest

from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.http_inputs import Input, draw_input
from tests.acceptance.scoring.raw_clients import connect, memory_kib, read_reply, receive_all
from tests.acceptance.scoring.replicas import Replica

SEED = int(os.environ.get("MLCTL_FUZZ_SEED", "20251125"))
COUNT = int(os.environ.get("MLCTL_FUZZ_COUNT", "100000"))
LOOK_EVERY = 1000
MOST_GROWTH_KIB = 60 * 1024
SCRIPT = """
import json

def init(): pass

def run(raw_data):
    return {"length": len(raw_data)}
"""
STATUSES = {200, 400, 404, 405, 408, 413, 415, 431}


def send_input(replica: Replica, given: Input) -> None:
    """Send it, and fail where it is neither answered nor refused within the deadline."""
    with connect(replica.socket_path, 10) as client:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in given.pieces:
                client.sendall(piece)
        if given.methods is not None:
            with client.makefile("rb") as file:
                replies = [read_reply(file, method) for method in given.methods]
        else:
            # The server may rightly wait for more: there is no more.
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_WR)
            received = receive_all(client).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
            replies = [read_reply(io.BytesIO(received), "HEAD")] if received else []
    unexpected = {reply.status for reply in replies} - STATUSES
    assert not unexpected, f"answered {unexpected}"


def fuzz(replica: Replica, count: int) -> None:
    before_kib = 0
    for index in range(count):
        given = draw_input(SEED, index)
        try:
            send_input(replica, given)
        except (OSError, HTTPException, AssertionError) as error:
            log = replica.log()[-2000:]
            pytest.fail(f"seed {SEED}, input {index}: {error!r}\n{given.methods}\n{given.pieces!r}\n{log}")
        if index % LOOK_EVERY == 0:
            assert replica.score("good").json() == {"length": 4}, f"after input {index} of seed {SEED}"
            replica.connections.pop().close()
            assert memory_kib(replica) < (before_kib or memory_kib(replica)) + MOST_GROWTH_KIB, f"input {index}"
            before_kib = before_kib or memory_kib(replica)
    assert replica.process.poll() is None
    assert replica.score("good").json() == {"length": 4}
    log = replica.log()
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:3000]


def test_some_raw_inputs_leave_the_replica_as_it_was(start_replica: StartReplica) -> None:
    fuzz(start_replica(SCRIPT).wait_ready(), 2000)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_many_raw_inputs_leave_the_replica_as_it_was(start_replica: StartReplica) -> None:
    fuzz(start_replica(SCRIPT).wait_ready(), COUNT)
