"""What stands in a replica's log, and `deployment get-logs --follow` over several replicas that come and go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager

from tests.acceptance.conftest import Machine
from tests.waiting import wait_until

NAMES = ("-n", "blue", "-e", "fraud-endpoint")
TALKER = """
import json, logging, os

def init():
    print("printed by init")

def run(raw_data):
    print("printed by run")
    logging.info("told by the root logger")
    logging.getLogger("mine").warning("told by a logger")
    return {"pid": os.getpid()}
"""


@contextmanager
def following(*words: str) -> Generator[list[str]]:
    """Follow the logs meanwhile; the list grows with the lines that were printed."""
    command = [sys.executable, "-m", "mlctl.cli.main", "deployment", "get-logs", *NAMES, "--follow", *words]
    lines: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()))
        reader.start()
        try:
            yield lines
        finally:
            try:
                process.send_signal(signal.SIGINT)
                reader.join(20)
                code = process.wait(20)
            finally:
                process.kill()
            errors = process.stderr.read()
    assert code == 130
    assert "Traceback" not in errors


def test_prints_loggers_and_a_line_per_request_are_in_the_log(machine: Machine) -> None:
    machine.create_endpoint()
    machine.write_script(TALKER)
    machine.deploy("blue", "--all-traffic")
    answer = machine.score({"card": "4111111111111111"})
    assert answer.status_code == 200

    def read() -> str:
        return machine.ok("deployment", "get-logs", *NAMES).out

    wait_until(lambda: "POST /score 200" in read())
    text = read()
    for told in ("printed by init", "printed by run", "told by the root logger", "told by a logger"):
        assert told in text
    (line,) = [line for line in text.splitlines() if "POST /score 200" in line]
    assert answer.headers["x-request-id"] in line
    assert "ms " in line
    assert "4111111111111111" not in text
    assert machine.key() not in text


def test_the_logs_of_all_replicas_are_followed_over_their_ends(machine: Machine) -> None:
    machine.create_endpoint()
    machine.write_script(TALKER)
    machine.deploy("blue", "--all-traffic", instances=2)
    with following("--lines", "100") as lines:
        wait_until(lambda: sum("ready for serving traffic" in line for line in lines) == 2)
        first, second = machine.replicas("ready")
        assert {line.partition("]")[0].lstrip("[") for line in lines} == {first.id, second.id}
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)

        def newcomers() -> set[str]:
            return {row.id for row in machine.replicas("ready")} - {first.id, second.id}

        wait_until(newcomers)
        (new,) = newcomers()
        wait_until(lambda: any(line.startswith(f"[{new}]") and "ready for serving" in line for line in lines))

        def has_both() -> bool:
            machine.score()
            told = {line.partition("]")[0].lstrip("[") for line in lines if "POST /score 200" in line}
            return {second.id, new} <= told

        wait_until(has_both)
    assert sum("printed by init" in line for line in lines) == 3


def test_one_replicas_lines_are_as_it_wrote_them_and_end_with_the_deployment(machine: Machine) -> None:
    machine.create_endpoint()
    machine.deploy("blue")
    command = [sys.executable, "-m", "mlctl.cli.main", "deployment", "get-logs", *NAMES, "--follow", "--lines", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "ready for serving traffic" in process.stdout.readline()
        machine.ok("deployment", "delete", *NAMES, "--yes")
        rest, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")
    assert all(line[:2] == "20" for line in rest.splitlines())
