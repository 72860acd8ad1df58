"""The daemon's life: started when needed, replaced under load, adopted, ended without leftovers."""

import contextlib
import json
import os
import signal
import socket
import sqlite3
from pathlib import Path

from mlctl.ops import daemon, endpoints
from mlctl.ops.session import Session
from mlctl.registry.store import Store
from mlctl.runtimes.processes import read_start_ticks
from mlctl.settings import load_settings
from tests.acceptance.conftest import Machine
from tests.load import Load
from tests.waiting import wait_until

NAME = ("-n", "fraud-endpoint")


def test_status_of_a_machine_on_which_nothing_ran_yet(machine: Machine):
    status = machine.ok("daemon", "status").json
    assert (status["state"], status["pid"], status["replicas"]) == ("stopped", None, 0)


def test_start_and_stop_may_be_repeated(machine: Machine):
    assert machine.ok("daemon", "start").json["state"] == "running"
    pid = machine.pid("daemon")
    assert machine.ok("daemon", "start").json["pid"] == pid
    machine.ok("daemon", "stop")
    machine.ok("daemon", "stop")
    assert machine.processes() == []
    assert machine.ok("daemon", "status").json["state"] == "stopped"


def test_stop_ends_everything_and_start_brings_it_back(served: Machine):
    served.ok("daemon", "stop")
    assert served.processes() == []
    served.ok("daemon", "start")
    wait_until(lambda: len(served.replicas("ready")) == 2)
    wait_until(lambda: served.score().status_code == 200)


def test_a_restart_keeps_replicas_and_envoy_serving(served: Machine):
    before = {row.id: row.pid for row in served.replicas()}
    envoy, daemon, key = served.pid("envoy"), served.pid("daemon"), served.key()
    with Load(served.uri, lambda: key, threads=2) as load:
        for _ in range(3):
            served.ok("daemon", "restart")
    assert load.bad == []
    assert {row.id: row.pid for row in served.replicas()} == before
    assert served.pid("envoy") == envoy
    assert served.pid("daemon") != daemon


def test_a_waiting_command_restarts_a_dead_daemon(served: Machine):
    pid = served.kill("daemon")
    served.ok("endpoint", "update", *NAME, "--traffic", "blue=50 green=50")
    assert served.pid("daemon") != pid
    assert served.score().status_code == 200


def test_who_looks_is_told_that_nothing_is_served_and_invoke_brings_it_back(served: Machine):
    (served.work / "body.json").write_text("{}")
    assert "daemon" not in served.ok("endpoint", "show", *NAME).err
    served.kill("daemon")  # first of all: it would bring the others back
    for pid in served.processes():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not served.processes(), what="all are dead")
    status = served.ok("daemon", "status").json
    assert (status["state"], status["gateway_pid"], status["replicas"]) == ("stopped", None, 0)
    session = Session(load_settings(os.environ), dict(os.environ))
    assert [glance.ready for glance in endpoints.show(session, "fraud-endpoint").deployments] == [0, 0]
    session.close()
    for words in (("endpoint", "show", *NAME), ("endpoint", "list"), ("deployment", "list", "-e", "fraud-endpoint")):
        ran = served.ok(*words)
        assert "the daemon is not running: nothing is served. Start it: mlctl daemon start" in ran.err
        assert served.ok(*words, "--only-show-errors").err == ""
    served.ok("endpoint", "invoke", *NAME, "-r", str(served.work / "body.json"))
    assert "daemon" not in served.ok("endpoint", "show", *NAME).err


def test_a_second_daemon_ends_at_once(served: Machine):
    session = Session(load_settings(os.environ), dict(os.environ))
    second = daemon._spawn(session)
    wait_until(lambda: read_start_ticks(second.pid) is None)
    assert served.ok("daemon", "status").json["pid"] != second.pid
    session.close()


def test_invoke_brings_everything_up_again(served: Machine):
    served.ok("daemon", "stop")
    request = served.work / "request.json"
    request.write_text("{}")
    served.ok("endpoint", "invoke", *NAME, "-r", str(request))


def test_replicas_have_a_clean_environment_and_no_new_privileges(served: Machine):
    os.environ["SECRET_OF_THE_SHELL"] = "hush"
    served.ok("daemon", "restart")
    served.ok("deployment", "create", "-f", served.write_deployment("red", environment_variables={"MINE": 1}))
    row = next(row for row in served.replicas() if row.deployment == "red")
    environ = Path(f"/proc/{row.pid}/environ").read_text()
    status = Path(f"/proc/{row.pid}/status").read_text()
    assert "MINE=1" in environ
    assert "SECRET_OF_THE_SHELL" not in environ
    assert "NoNewPrivs:\t1" in status
    assert "Umask:\t0077" in status
    assert os.getsid(row.pid or 0) == row.pid
    served.ok("deployment", "delete", "-n", "red", "-e", "fraud-endpoint", "--yes")


def test_a_replica_whose_pid_was_never_written_down_is_found_again(served: Machine):
    daemon = served.kill("daemon")
    wait_until(lambda: read_start_ticks(daemon) is None)
    before = {row.id: row.pid for row in served.replicas()}
    with Store(served.home / "registry.db") as store:
        store.execute("UPDATE replicas SET pid = NULL, start_ticks = NULL")
    served.ok("daemon", "start")
    wait_until(lambda: {row.id: row.pid for row in served.replicas()} == before)


def test_a_replica_that_no_row_knows_is_ended(served: Machine):
    daemon = served.kill("daemon")
    wait_until(lambda: read_start_ticks(daemon) is None)
    lost = served.replicas()[0]
    with Store(served.home / "registry.db") as store:
        store.execute("DELETE FROM replicas WHERE id = ?", (lost.id,))
    served.ok("daemon", "start")
    wait_until(lambda: read_start_ticks(lost.pid or 0) is None)
    wait_until(lambda: len(served.replicas("ready")) == 2)


def test_a_taken_port_is_told_and_never_replaced_by_another(machine: Machine):
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", machine.port))
        taker.listen()
        ran = machine.run("daemon", "start")
    assert ran.code == 6
    assert f"port {machine.port} of 127.0.0.1" in ran.err
    assert machine.processes() == []
    wait_until(lambda: not list(machine.home.parent.glob("mlctl-*")), what="its folder of sockets is gone")
    machine.ok("daemon", "start")


def test_a_taken_port_for_metrics_does_not_keep_anything_from_serving(machine: Machine):
    with socket.socket() as taker:
        taker.bind(("127.0.0.1", 0))
        taker.listen()
        os.environ["MLCTL_METRICS_PORT"] = str(taker.getsockname()[1])
        machine.create_endpoint()
        machine.deploy("blue", "--all-traffic")
        assert machine.score().status_code == 200
    assert "no metrics" in machine.ok("daemon", "logs").out


def test_a_registry_of_a_newer_mlctl_is_refused(machine: Machine):
    machine.ok("endpoint", "list")
    with Store(machine.home / "registry.db") as store:
        store._connection.execute("PRAGMA user_version = 99")
    ran = machine.run("endpoint", "list")
    assert ran.code == 6
    assert "newer mlctl" in ran.err
    # Put back, so that the machine can be stopped.
    with contextlib.closing(sqlite3.connect(machine.home / "registry.db")) as connection:
        connection.execute("PRAGMA user_version = 1")


def test_a_hung_up_terminal_does_not_take_the_daemon_along(machine: Machine):
    machine.ok("daemon", "start")
    pid = machine.pid("daemon")
    assert os.getsid(pid) == pid
    links = {Path(f"/proc/{pid}/fd/{n}").readlink().name for n in (0, 1, 2)}
    assert links == {"null", "daemon.stderr.log"}


def test_the_daemon_logs_json_lines(served: Machine):
    lines = served.ok("daemon", "logs", "--lines", "5").out.splitlines()
    assert {"time", "level", "message"} <= set(json.loads(lines[-1]))


def test_an_interrupted_daemon_ends_what_it_started(machine: Machine):
    machine.ok("daemon", "start")
    os.kill(machine.pid("daemon"), signal.SIGINT)
    wait_until(lambda: machine.processes() == [])
