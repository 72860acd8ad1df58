"""Deployments that come up, do not come up, change and scale."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from mlctl.control.reconciler import IDLE_S
from mlctl.registry import events
from mlctl.registry.store import Store
from tests.acceptance.conftest import ECHO, Machine
from tests.load import Load
from tests.waiting import wait_until

NAME = ("-n", "fraud-endpoint")
BLUE = ("-n", "blue", "-e", "fraud-endpoint")
BROKEN = "def init():\n    open('/nowhere/model.pkl')\n\ndef run(raw_data):\n    return raw_data\n"


def test_an_init_that_raises_shows_the_cause_and_changes_no_traffic(served: Machine):
    served.write_script(BROKEN, folder="broken")
    code = {"code": "./broken", "scoring_script": "score.py"}
    path = served.write_deployment("red", code_configuration=code)
    ran = served.run("deployment", "create", "-f", path, "--all-traffic")
    assert ran.code == 7
    given_up = r"red failed 3 times in init\(\), gave up after \d+\.\d s; fraud-endpoint keeps its traffic as it was"
    assert re.search(given_up, ran.err)
    assert "score.py:2 in init" in ran.err
    assert "FileNotFoundError" in ran.err
    assert "mlctl deployment get-logs -n red -e fraud-endpoint" in ran.err
    red = ("-n", "red", "-e", "fraud-endpoint")
    shown = served.ok("deployment", "show", *red).json
    assert shown["provisioning_state"] == "Failed"
    cause = r"failed 3 times in init\(\).*: FileNotFoundError: .*/nowhere/model\.pkl"
    assert re.search(cause, shown["properties"]["mlctl.error"])
    assert shown["properties"]["mlctl.error.traceback"].startswith("score.py:2 in init\n    ")
    assert shown["properties"]["mlctl.error.see"] == "mlctl deployment get-logs -n red -e fraud-endpoint"
    assert re.search(rf"fraud-endpoint/red {cause}", served.run("doctor", "-o", "json").out)
    found = served.ok("deployment", "events", *red).json
    ended = [event["at"] for event in found if event["kind"] == "replica.exited"]
    began = [event["at"] for event in found if event["kind"] == "replica.started"]
    told = [event["message"] for event in found if event["kind"] == "replica.exited"]
    assert len(told) == 3
    assert all("did not start: init() raised FileNotFoundError" in message for message in told)
    assert not any("exit code" in message for message in told)
    # The next try comes when the back-off ends, not with the next idle look.
    assert max(later - earlier for earlier, later in zip(ended, began[1:], strict=False)) < IDLE_S
    assert "User's init function failed" in served.ok("deployment", "get-logs", *red).out
    assert served.ok("endpoint", "show", *NAME).json["traffic"] == {"blue": 100, "green": 0, "red": 0}
    again = served.run("deployment", "create", "-f", path)
    assert (again.code, "exists already" in again.err) == (1, True)
    served.ok("deployment", "delete", *red, "--yes")


def test_an_init_that_ends_the_process_is_told_with_its_exit_code(served: Machine):
    served.write_script("import os\ndef init():\n    os._exit(9)\n\ndef run(raw_data):\n    return 1\n", folder="ended")
    code = {"code": "./ended", "scoring_script": "score.py"}
    ran = served.run("deployment", "create", "-f", served.write_deployment("red", code_configuration=code))
    assert ran.code == 7
    assert "its process ended with exit code 9" in ran.err
    served.ok("deployment", "delete", "-n", "red", "-e", "fraud-endpoint", "--yes")


def test_without_traffic_invoke_names_a_deployment_that_can_take_it(served: Machine):
    # Before blue and green in the alphabet.
    served.write_script(BROKEN, folder="broken")
    code = {"code": "./broken", "scoring_script": "score.py"}
    assert served.run("deployment", "create", "-f", served.write_deployment("amber", code_configuration=code)).code == 7
    served.ok("endpoint", "update", *NAME, "--traffic", "blue=0")
    (served.work / "body.json").write_text("{}")
    ran = served.run("endpoint", "invoke", *NAME, "-r", str(served.work / "body.json"))
    assert ran.code == 1
    assert ran.err.endswith('\n  mlctl endpoint update -n fraud-endpoint --traffic "blue=100"\n')
    served.ok("deployment", "delete", "-n", "amber", "-e", "fraud-endpoint", "--yes")


def test_an_init_that_never_ends_is_given_up_by_its_probe(served: Machine):
    served.write_script(
        "import time\ndef init():\n    time.sleep(600)\n\ndef run(raw_data):\n    return 1\n", folder="hung"
    )
    code = {"code": "./hung", "scoring_script": "score.py"}
    probe = {"initial_delay": 0, "period": 1, "timeout": 1, "failure_threshold": 1}
    path = served.write_deployment("red", code_configuration=code, liveness_probe=probe, readiness_probe=probe)
    ran = served.run("deployment", "create", "-f", path)
    assert ran.code == 7
    assert "it was never ready within the 0 s of its liveness_probe" in ran.err
    found = served.ok("deployment", "events", "-n", "red", "-e", "fraud-endpoint").json
    told = [event["message"] for event in found if event["kind"] == "replica.exited"]
    assert all("was ended: it was never ready" in message for message in told[-3:]), told
    served.ok("deployment", "delete", "-n", "red", "-e", "fraud-endpoint", "--yes")


def test_what_a_whole_file_leaves_out_can_be_set(served: Machine):
    path = served.write_deployment("blue")
    served.ok("deployment", "update", "-f", path, "--set", "environment_variables.WHO=you", "tags.team=risk")
    shown = served.ok("deployment", "show", *BLUE).json
    assert (shown["environment_variables"], shown["tags"]) == ({"WHO": "you"}, {"team": "risk"})


def test_updates_at_once_are_applied_one_after_the_other(served: Machine):
    command = [str(Path(sys.executable).with_name("mlctl")), "deployment", "update", *BLUE, "--set"]
    running = [
        subprocess.Popen(
            [*command, f"environment_variables.K{number}={number}"],
            env={**os.environ, **served.environ, "MLCTL_HOME": str(served.home)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(6)
    ]
    ended = [(process.communicate(timeout=120)[1], process.returncode) for process in running]
    assert [code for _, code in ended] == [0] * 6, ended
    variables = served.ok("deployment", "show", *BLUE).json["environment_variables"]
    assert {key: variables[key] for key in variables if key != "WHO"} == {f"K{number}": number for number in range(6)}


def test_a_replica_that_an_update_replaced_is_told_to_have_ended(served: Machine):
    served.ok("deployment", "update", *BLUE, "--set", "environment_variables.X=1")

    def has_ended() -> bool:
        found = served.ok("deployment", "events", *BLUE).json
        return any("takes the place of" in event["message"] for event in found)

    wait_until(has_ended, what="the end of the old replica is told")


def test_the_end_of_replicas_that_nobody_wants_any_more_is_told_with_its_reason(served: Machine):
    def told(reason: str) -> bool:
        with Store(served.home / "registry.db") as store:
            found = events.list_events(store, endpoint="fraud-endpoint", deployment="red")
        return any(event.kind == "replica.stopped" and reason in event.message for event in found)

    served.ok("deployment", "create", "-f", served.write_deployment("red", instances=2))
    served.ok("deployment", "update", "-n", "red", "-e", "fraud-endpoint", "--set", "instance_count=1")
    wait_until(lambda: told("fewer instances are wanted") or told("takes the place of"), what="the end of one is told")
    served.ok("deployment", "delete", "-n", "red", "-e", "fraud-endpoint", "--yes")
    assert told("its deployment is deleted")


def test_a_failed_deployment_can_be_mended_by_an_update(served: Machine):
    served.write_script(BROKEN, folder="mended")
    code = {"code": "./mended", "scoring_script": "score.py"}
    path = served.write_deployment("red", code_configuration=code)
    assert served.run("deployment", "create", "-f", path).code == 7
    served.write_script(ECHO, folder="mended")
    updated = served.ok("deployment", "update", "-f", path)
    assert updated.json["provisioning_state"] == "Succeeded"
    assert served.score(azureml_model_deployment="red").status_code == 200
    served.ok("deployment", "delete", "-n", "red", "-e", "fraud-endpoint", "--yes")


def test_an_update_rolls_over_without_a_failed_request(served: Machine):
    path = served.write_deployment("blue", instances=2)
    key = served.key()
    with Load(served.uri, lambda: key, threads=3) as load:
        for version in (2, 3):
            served.write_script(ECHO.replace("VERSION = 1", f"VERSION = {version}"))
            served.ok("deployment", "update", "-f", path)
            assert served.score().json()["version"] == version
    assert load.bad == []
    served.write_script()


def test_a_failed_update_leaves_the_old_generation_serving(served: Machine):
    path = served.write_deployment("blue")
    served.ok("deployment", "update", "-f", path)
    served.write_script(BROKEN)
    key = served.key()
    with Load(served.uri, lambda: key, threads=2) as load:
        ran = served.run("deployment", "update", "-f", path)
    assert ran.code == 7
    assert "the former one serves on" in ran.err
    assert load.bad == []
    served.write_script()
    served.ok("deployment", "update", "-f", path)


def count_blue(machine: Machine) -> int:
    return len([row for row in machine.replicas("ready") if row.deployment == "blue"])


def test_scaling_keeps_the_replicas_that_serve(served: Machine):
    served.ok("deployment", "update", "-f", served.write_deployment("blue"))
    wait_until(lambda: len([row for row in served.replicas() if row.deployment == "blue"]) == 1)
    before = {row.pid for row in served.replicas() if row.deployment == "blue"}
    key = served.key()
    with Load(served.uri, lambda: key, threads=2) as load:
        for count in (3, 1):
            served.ok("deployment", "update", *BLUE, "--set", f"instance_count={count}")
            wait_until(lambda count=count: count_blue(served) == count)
    assert load.bad == []
    assert {row.pid for row in served.replicas("ready") if row.deployment == "blue"} == before


def test_a_partial_document_is_merged_and_said_so(served: Machine):
    path = served.work / "settings.yml"
    path.write_text("request_settings:\n  max_concurrent_requests_per_instance: 20\n  request_timeout_ms: 5000\n")
    ran = served.ok("deployment", "update", *BLUE, "-f", str(path))
    assert "merged into blue (request_settings)" in ran.err
    assert ran.json["request_settings"]["max_concurrent_requests_per_instance"] == 20
    assert ran.json["code_configuration"]["scoring_script"] == "score.py"


def test_a_killed_replica_is_replaced(served: Machine):
    blue = next(row for row in served.replicas("ready") if row.deployment == "blue")
    os.kill(blue.pid or 0, signal.SIGKILL)
    # Its place is taken on the same socket: the request waits for it.
    assert served.score().status_code == 200
    wait_until(lambda: blue.id not in {row.id for row in served.replicas("ready")})


def test_a_replica_that_ends_itself_is_replaced(served: Machine):
    script = ECHO.replace(
        '    if body.get("raise")', '    if body.get("exit"):\n        os._exit(3)\n    if body.get("raise")'
    )
    served.write_script(script, folder="exiting")
    code = {"code": "./exiting", "scoring_script": "score.py"}
    served.ok("deployment", "create", "-f", served.write_deployment("red", code_configuration=code))
    assert served.score({"exit": True}, azureml_model_deployment="red").status_code == 503
    assert served.score(azureml_model_deployment="red").status_code == 200
    served.ok("deployment", "delete", "-n", "red", "-e", "fraud-endpoint", "--yes")


def test_slow_models_are_408_and_crowded_ones_429(served: Machine):
    settings = {"request_timeout_ms": 300, "max_concurrent_requests_per_instance": 1, "max_queue_wait_ms": 100}
    served.ok("deployment", "create", "-f", served.write_deployment("red", request_settings=settings))
    assert served.score({"sleep_s": 1}, azureml_model_deployment="red").status_code == 408
    served.ok("deployment", "delete", "-n", "red", "-e", "fraud-endpoint", "--yes")


def test_a_timeout_of_the_command_leaves_the_work_going(served: Machine):
    served.write_script(ECHO.replace("    pass\n", "    time.sleep(1)\n", 1), folder="slow")
    code = {"code": "./slow", "scoring_script": "score.py"}
    path = served.write_deployment("red", code_configuration=code)
    ran = served.run("deployment", "create", "-f", path, "--timeout", "0.2")
    assert ran.code == 5
    assert "it goes on" in ran.err
    red = ("-n", "red", "-e", "fraud-endpoint")
    state = ("deployment", "show", *red, "--query", "provisioning_state", "-o", "tsv")
    wait_until(lambda: served.ok(*state).out == "Succeeded\n")
    served.ok("deployment", "delete", *red, "--yes")


def test_no_wait_returns_at_once_and_prints_nothing(served: Machine):
    ran = served.ok("deployment", "create", "-f", served.write_deployment("red"), "--no-wait", "--all-traffic")
    assert ran.out == ""
    assert "--all-traffic is ignored with --no-wait" in ran.err
    red = ("-n", "red", "-e", "fraud-endpoint")
    state = ("deployment", "show", *red, "--query", "provisioning_state", "-o", "tsv")
    wait_until(lambda: served.ok(*state).out == "Succeeded\n")
    served.ok("deployment", "delete", *red, "--yes")


def test_a_shown_deployment_can_be_fed_back(served: Machine):
    shown = served.ok("deployment", "show", *BLUE).out
    path = served.work / "shown.json"
    path.write_text(shown)
    assert served.ok("deployment", "update", "-f", str(path)).json["name"] == "blue"
