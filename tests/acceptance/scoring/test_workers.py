"""Several workers behind one socket or several, and the master that looks after them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mlctl import unix_http
from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.replicas import DEADLINE_S, Replica, wait_until
from tests.acceptance.scoring.serving import FINE, Serving, Servings
from tests.acceptance.scoring.serving import servings as servings

MOODY = """
import json, os, pathlib, signal, sys, time

LOADED_BY = os.getpid()

def init():
    with open("inits", "a") as file:
        file.write(f"{os.getpid()}\\n")
    if pathlib.Path("broken").exists():
        raise RuntimeError("broken now")
    while pathlib.Path("slow").exists():
        time.sleep(0.01)

def run(data):
    if data == "die":
        os._exit(9)
    if data == "exit":
        sys.exit(1)
    if data == "segfault":
        os.kill(os.getpid(), signal.SIGSEGV)
    if data == "hang":
        time.sleep(1000)
    if data.startswith("hold"):
        pathlib.Path(f"began{os.getpid()}").touch()
        while not pathlib.Path("go").exists():
            time.sleep(0.005)
    return {"pid": os.getpid(), "loaded_by": LOADED_BY}
"""


class Crew:
    """A replica of several workers with a socket each, started as the daemon does."""

    def __init__(self, folder: Path, count: int) -> None:
        self.folder = folder
        self.sockets = [folder / f"s{number}" for number in range(1, count + 1)]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, script: str = MOODY, *words: str, **environment: str) -> Crew:
        (self.folder / "score.py").write_text(script)
        listeners = [socket.socket(socket.AF_UNIX) for _ in self.sockets]
        for path, listener in zip(self.sockets, listeners, strict=True):
            listener.bind(str(path))
            listener.listen(64)
        fds = [listener.fileno() for listener in listeners]
        named = ["--endpoint=e", "--deployment=blue", "--replica=blue-1", f"--failure-file={self.folder}/failure.json"]
        sockets = [f"--socket={path}" for path in self.sockets]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "mlctl.scoring", *[f"--fd={fd}" for fd in fds], *named, *sockets, *words],
                pass_fds=fds,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                start_new_session=True,
                env={
                    **os.environ,
                    "AML_APP_ROOT": str(self.folder),
                    "AZUREML_ENTRY_SCRIPT": "score.py",
                    **environment,
                },
            )
        for listener in listeners:
            listener.close()
        return self

    def log(self) -> str:
        return (self.folder / "log").read_text()

    def wait_for(self, text: str, count: int = 1) -> None:
        wait_until(lambda: self.log().count(text) >= count, f"{count} times {text!r} in {self.log()}")

    def wait_ready(self) -> Crew:
        wait_until(lambda: all(self.is_healthy(number) for number in range(len(self.sockets))), self.log())
        return self

    def is_healthy(self, number: int) -> bool:
        try:
            answer = unix_http.request(str(self.sockets[number]), "GET", "/", timeout_s=5)
        except OSError:
            return False
        # A probe that waited for the replacement is answered before its socket is shown again.
        return answer.status == 200 and self.sockets[number].exists()

    def score(self, number: int, body: str = "x") -> dict[str, int]:
        answer = self.call(number, body)
        assert answer.status == 200, self.log()
        return json.loads(answer.body)

    def call(self, number: int, body: str) -> unix_http.Response:
        path = str(self.sockets[number])
        return unix_http.request(path, "POST", "/score", body=body.encode(), timeout_s=DEADLINE_S)

    def exit_code(self) -> int:
        assert self.process is not None
        return self.process.wait(DEADLINE_S)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def close(self) -> None:
        if self.process is not None:
            wait_for_group(self.process)


def wait_for_group(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture
def crew(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    made = Crew(tmp_path_factory.mktemp("c"), 3)
    yield made
    made.close()


def test_each_socket_has_a_worker_of_its_own(crew: Crew) -> None:
    crew.start().wait_ready()
    pids = [crew.score(number)["pid"] for number in range(3)]
    assert len({*pids}) == 3
    assert [crew.score(number)["pid"] for number in range(3)] == pids
    assert all(f"Worker {number} of 3 is starting" in crew.log() for number in (1, 2, 3))
    assert len((crew.folder / "inits").read_text().split()) == 3


def test_each_worker_keeps_connections_open(crew: Crew) -> None:
    crew.start().wait_ready()
    head = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE_S)
        client.connect(str(crew.sockets[0]))
        for _ in range(2):
            client.sendall(head)
            assert client.recv(4096).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("body", ["die", "segfault"])
def test_a_dead_worker_is_replaced_and_the_others_serve(crew: Crew, body: str) -> None:
    crew.start().wait_ready()
    before = [crew.score(number)["pid"] for number in range(3)]
    (crew.folder / "slow").touch()
    with pytest.raises(OSError, match=r"."):
        crew.call(1, body)
    crew.wait_for("Invoking user's init function", count=4)
    with pytest.raises(FileNotFoundError):  # whoever connects there is to try another at once
        crew.call(1, "x")
    assert [crew.score(number)["pid"] for number in (0, 2)] == [before[0], before[2]]
    (crew.folder / "slow").unlink()
    wait_until(lambda: crew.is_healthy(1), "the replacement")
    assert crew.score(1)["pid"] not in before


def test_sys_exit_in_run_is_a_failed_request_only(crew: Crew) -> None:
    crew.start().wait_ready()
    before = crew.score(0)["pid"]
    assert crew.call(0, "exit").status == 424
    assert crew.score(0)["pid"] == before


def test_a_worker_that_hangs_is_killed_and_replaced(crew: Crew) -> None:
    # A busy machine must not make the replacement look as if it hung, too.
    crew.start(MOODY, WORKER_TIMEOUT="2").wait_ready()
    before = crew.score(0)["pid"]
    with pytest.raises(OSError, match=r"."):
        crew.call(0, "hang")
    wait_until(lambda: crew.is_healthy(0), "the replacement")
    assert crew.score(0)["pid"] != before
    assert f"WORKER TIMEOUT (pid:{before})" in crew.log()
    assert f"Worker (pid:{before}) was sent SIGABRT!" in crew.log()
    assert 'score.py", line' in crew.log()  # where it hung


def test_one_that_does_not_start_ends_all_and_is_described(crew: Crew) -> None:
    (crew.folder / "broken").touch()
    crew.start()
    assert crew.exit_code() == 3
    assert "Worker failed to boot." in crew.log()
    assert json.loads((crew.folder / "failure.json").read_text())["message"] == "RuntimeError: broken now"


def test_one_that_does_not_start_again_is_tried_again_while_the_others_serve(crew: Crew) -> None:
    crew.start().wait_ready()
    (crew.folder / "broken").touch()
    with pytest.raises(OSError, match=r"."):
        crew.call(2, "die")
    crew.wait_for("exited with code 3", count=2)
    assert crew.score(0)
    (crew.folder / "broken").unlink()
    wait_until(lambda: crew.is_healthy(2), "the replacement")


def test_preloaded_init_is_called_once_before_the_workers_are_there(crew: Crew) -> None:
    crew.start(MOODY, WORKER_PRELOAD="true").wait_ready()
    answers = [crew.score(number) for number in range(3)]
    assert crew.process is not None
    assert {answer["loaded_by"] for answer in answers} == {crew.process.pid}
    assert len({answer["pid"] for answer in answers}) == 3
    assert (crew.folder / "inits").read_text().split() == [str(crew.process.pid)]


def test_preloaded_init_that_fails_ends_with_3(crew: Crew) -> None:
    (crew.folder / "broken").touch()
    crew.start(MOODY, WORKER_PRELOAD="true")
    assert crew.exit_code() == 3
    assert "broken now" in (crew.folder / "failure.json").read_text()


def test_sigterm_to_the_master_lets_all_finish(crew: Crew) -> None:
    crew.start().wait_ready()
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(crew.call, number, "hold") for number in range(3)]
        wait_until(lambda: len([*crew.folder.glob("began*")]) == 3, "run() in all")
        crew.signal(signal.SIGTERM)
        crew.wait_for("Handling signal: term")
        (crew.folder / "go").touch()
        assert [one.result().status for one in running] == [200] * 3
    assert crew.exit_code() == 0


def test_workers_end_when_their_master_is_killed(crew: Crew) -> None:
    crew.start().wait_ready()
    pids = [crew.score(number)["pid"] for number in range(3)]
    crew.signal(signal.SIGKILL)
    crew.exit_code()
    wait_until(lambda: not any(is_alive(pid) for pid in pids), "the workers' end")


def test_workers_share_one_socket_and_none_waits_while_another_is_idle(start_replica: StartReplica) -> None:
    replica = start_replica(MOODY, "--workers", "3").wait_ready()
    with ThreadPoolExecutor(3) as pool:
        running = [pool.submit(replica.score, "hold") for _ in range(3)]
        wait_until(lambda: len([*replica.folder.glob("began*")]) == 3, "run() in all")
        (replica.folder / "go").touch()
        assert len({one.result().json()["pid"] for one in running}) == 3
        assert {one.result().headers["connection"] for one in running} == {"close"}
    end(replica)


def test_a_silent_connection_keeps_no_worker_from_serving(start_replica: StartReplica) -> None:
    replica = start_replica(MOODY, "--workers", "2").wait_ready()
    silent = [replica.open_socket() for _ in range(4)]
    assert replica.score("x").status == 200
    assert len(silent) == 4
    end(replica)


def test_serving_workers_wait_in_the_socket_and_all_get_their_turn(servings: Servings) -> None:
    serving = servings.start(FINE, "--worker-count", "2").wait_ready()
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(serving.score, ["sleep0.1"] * 8))
    assert [reply.status for reply in replies] == [200] * 8
    assert len({reply.json()["pid"] for reply in replies}) == 2


def test_a_killed_worker_of_a_server_is_replaced(servings: Servings) -> None:
    serving = servings.start(FINE, "--worker-count", "2").wait_ready()
    wait_booted(serving, 2)
    victim = serving.score().json()["pid"]
    os.kill(victim, signal.SIGKILL)
    serving.wait_for(f"Worker (pid:{victim}) was sent SIGKILL!")
    wait_booted(serving, 3)
    assert serving.score().status == 200
    assert serving.stop() == 0


def test_a_single_replica_ends_itself_when_run_hangs(start_replica: StartReplica) -> None:
    replica = start_replica(MOODY, environment={"WORKER_TIMEOUT": "1"}).wait_ready()
    with pytest.raises(OSError, match=r"."):
        replica.score("hang")
    assert replica.exit_code() == -signal.SIGABRT
    assert "WORKER TIMEOUT" in replica.log()


def test_a_replica_limits_run_where_the_variable_says_so(start_replica: StartReplica) -> None:
    replica = start_replica(MOODY, environment={"SCORING_TIMEOUT_MS": "200"}).wait_ready()
    reply = replica.score("hang")
    assert (reply.status, reply.json()["message"]) == (424, "Scoring timeout after 200 ms")
    assert reply.headers["x-ms-run-function-failed"] == "True"
    assert replica.score("x").status == 200


def test_joined_requests_have_the_limit_too(start_replica: StartReplica) -> None:
    script = """
        import json, time
        def init(): pass
        def run(data):
            rows = json.loads(data)["features"]
            if any(row == [666] for row in rows):
                time.sleep(1000)
            return {"prediction": [row[0] for row in rows]}
    """
    words = ("--max-concurrent", "8", "--batch-max-rows", "64", "--max-queue-wait-ms", "10000")
    replica = start_replica(script, *words, environment={"SCORING_TIMEOUT_MS": "300"}).wait_ready()
    with ThreadPoolExecutor(8) as pool:
        rows = [1, 2, 666, 3, 4, 5, 6, 7]
        replies = list(pool.map(replica.score, [json.dumps({"features": [[row]]}) for row in rows]))
    assert [reply.status for reply in replies] == [424 if row == 666 else 200 for row in rows]


def test_a_bad_limit_is_a_start_that_failed(start_replica: StartReplica) -> None:
    failure = start_replica(MOODY, environment={"SCORING_TIMEOUT_MS": "soon"}).failure()
    assert "SCORING_TIMEOUT_MS: Input should be a valid integer" in failure["message"]


def end(replica: Replica) -> None:
    """Workers are not the test's children: let the master end them."""
    replica.terminate()
    assert replica.exit_code() == 0


def wait_booted(serving: Serving, count: int) -> None:
    serving.wait_for("ready for serving traffic", count)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False
