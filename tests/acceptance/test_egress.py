"""`egress_public_network_access: disabled`: kept, or refused; never ignored."""

import os

import pytest

from mlctl.ops import resolving
from mlctl.runtimes.process import can_isolate_network
from tests.acceptance.conftest import ECHO, Machine

# Asks for a connection to the gateway of this machine: loopback is as far away as anything else.
REACHES_OUT = ECHO.replace("def run(", "def reach(port):\n    import socket\n    try:\n"
    "        socket.create_connection(('127.0.0.1', port), timeout=2).close()\n"
    "        return True\n    except OSError:\n        return False\n\ndef run(").replace(
    '"version": VERSION', '"reached": reach(body["port"])'
)  # fmt: skip


@pytest.mark.parametrize("at_endpoint", [True, False], ids=["set on the endpoint", "set on the deployment"])
def test_a_deployment_without_egress_serves_and_reaches_nothing(machine: Machine, at_endpoint: bool):
    if not can_isolate_network(os.environ):
        pytest.skip("this machine lets nobody make a network namespace")
    setting = ("--set", "egress_public_network_access=disabled")
    machine.ok("endpoint", "create", "-n", "fraud-endpoint", *(setting if at_endpoint else ()))
    machine.write_script(REACHES_OUT)
    extra = {} if at_endpoint else {"egress_public_network_access": "disabled"}
    machine.deploy("blue", "--all-traffic", **extra)
    machine.deploy("green", egress_public_network_access="enabled")
    assert machine.score({"port": machine.port}).json()["reached"] is False
    assert machine.score({"port": machine.port}, azureml_model_deployment="green").json()["reached"] is True


def test_where_it_cannot_be_kept_it_is_refused(machine: Machine, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(resolving, "can_isolate_network", lambda _: False)
    machine.create_endpoint()
    machine.write_script()
    document = machine.write_deployment(egress_public_network_access="disabled")
    ran = machine.run("deployment", "create", "-f", document)
    assert ran.code == 1
    assert "egress_public_network_access: disabled cannot be kept" in ran.err
    assert machine.run("deployment", "show", "-n", "blue", "-e", "fraud-endpoint").code == 1
