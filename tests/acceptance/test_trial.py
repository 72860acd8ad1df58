"""`mlctl deployment validate`: a deployment is tried without being served."""

from xml.etree import ElementTree

import pytest

from tests.acceptance.conftest import ECHO, Machine

BROKEN = "def init():\n    raise ValueError('no model')\n\ndef run(raw_data):\n    return raw_data\n"


@pytest.fixture
def trial(machine: Machine) -> Machine:
    machine.write_script()
    (machine.work / "request.json").write_text("{}")
    (machine.work / "bad.json").write_text('{"raise": true}')
    return machine


def leftovers(machine: Machine) -> list[str]:
    return [path.name for path in machine.home.parent.glob("mlctl-*")]


def test_a_good_deployment_passes_every_step_and_leaves_nothing(trial: Machine):
    request = str(trial.work / "request.json")
    ran = trial.ok("deployment", "validate", "-f", trial.write_deployment(), "--request-file", request)
    assert ran.json["valid"] is True
    assert [step["name"] for step in ran.json["steps"]] == [
        *("environment", "start", "init() and probe", "score", "stop"),
    ]
    assert trial.processes() == []
    assert leftovers(trial) == []
    assert not (trial.home / "logs" / ".trials").exists()


def test_neither_endpoint_nor_daemon_is_needed(trial: Machine):
    trial.ok("deployment", "validate", "-f", trial.write_deployment())
    assert trial.ok("daemon", "status").json["state"] == "stopped"


def test_an_init_that_raises_is_shown_with_its_cause(trial: Machine):
    trial.write_script(BROKEN)
    ran = trial.run("deployment", "validate", "-f", trial.write_deployment())
    assert ran.code == 7
    assert "score.py:2 in init" in ran.err
    assert "ValueError: no model" in ran.err
    assert ran.json["valid"] is False
    assert trial.processes() == []
    assert leftovers(trial) == []


def test_a_run_that_raises_fails_the_score_and_is_stopped_all_the_same(trial: Machine):
    ran = trial.run(
        "deployment", "validate", "-f", trial.write_deployment(), "--request-file", str(trial.work / "bad.json")
    )
    assert ran.code == 7
    assert [step["passed"] for step in ran.json["steps"]] == [True, True, True, False, True]
    assert "424" in ran.err


def test_an_init_that_hangs_ends_at_the_timeout(trial: Machine):
    trial.write_script(ECHO.replace("    pass\n", "    time.sleep(60)\n", 1))
    ran = trial.run("deployment", "validate", "-f", trial.write_deployment(), "--timeout", "1")
    assert ran.code == 5
    assert trial.processes() == []


def test_the_outcome_is_written_as_junit(trial: Machine):
    trial.write_script(BROKEN)
    path = trial.work / "out.xml"
    trial.run("deployment", "validate", "-f", trial.write_deployment(), "--junit", str(path))
    suite = ElementTree.parse(path).getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("4", "1")
    assert [case.get("name") for case in suite][:2] == ["environment", "start"]


def test_a_bad_document_is_refused_as_in_create(trial: Machine):
    path = trial.work / "bad.yml"
    path.write_text("name: blue\nendpoint_name: e\n")
    assert trial.run("deployment", "validate", "-f", str(path)).code == 1
