"""`mlctl serve`: answers, log lines and exit codes of Azure's inference server."""

from __future__ import annotations

import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.acceptance.scoring.replicas import DEADLINE_S, wait_until
from tests.acceptance.scoring.serving import FINE, Serving, Servings, find_free_port
from tests.acceptance.scoring.serving import servings as servings

STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"
MOODY = """
import logging, os, sys, time

def init():
    print("hello")
    logging.info("lost")
    logging.warning("seen")

def run(data):
    match data:
        case "text": return '{"a": 1}'
        case "tuple": return ({"a": 1}, 404)
        case "raise": raise ValueError("no")
        case "timeout": raise TimeoutError("script's own")
        case "exit": sys.exit(4)
        case "kill": os._exit(5)
        case "set": return {1}
        case "sleep": time.sleep(30)
    return data
"""


@pytest.fixture
def moody(servings: Servings) -> Serving:
    return servings.start(MOODY, environment={"SCORING_TIMEOUT_MS": "400"}).wait_ready()


def test_text_is_encoded_a_second_time_as_azure_does(moody: Serving) -> None:
    reply = moody.score("text")
    assert (reply.status, reply.body, reply.headers["content-type"]) == (200, b'"{\\"a\\": 1}"', "application/json")
    assert reply.headers["x-ms-run-function-failed"] == "False"
    assert re.fullmatch(r"\d+\.\d{3}", reply.headers["x-ms-run-fn-exec-ms"])
    assert reply.headers["x-ms-server-version"] == "azmlinfsrv/1.5.1"
    assert reply.headers["x-request-id"] == reply.headers["x-ms-request-id"]
    assert "azureml-model-deployment" not in reply.headers


def test_a_tuple_has_no_meaning_to_azures_server(moody: Serving) -> None:
    reply = moody.score("tuple")
    assert (reply.status, reply.json()) == (200, [{"a": 1}, 404])


def test_plain_serves_text_that_is_json_as_that_json(servings: Servings) -> None:
    plain = servings.start(MOODY, "--plain").wait_ready()
    assert plain.score("text").json() == {"a": 1}
    assert plain.score("tuple").status == 404
    assert plain.score("raise").status == 500


def test_run_that_raises_is_a_500(moody: Serving) -> None:
    reply = moody.score("raise")
    text = "An unexpected error occurred in scoring script. Check the logs for more info."
    assert (reply.status, reply.json()["message"]) == (500, text)
    assert reply.headers["x-ms-run-function-failed"] == "True"
    assert "x-ms-run-fn-exec-ms" not in reply.headers
    moody.wait_for("ValueError: no")


def test_run_that_takes_too_long_is_ended(moody: Serving) -> None:
    began = time.monotonic()
    reply = moody.score("sleep")
    assert (reply.status, reply.json()["message"]) == (500, "Scoring timeout after 400 ms")
    assert reply.headers["x-ms-run-function-failed"] == "True"
    assert 0.4 <= time.monotonic() - began < 10
    assert moody.score("x").json() == "x"


def test_a_timeout_error_of_the_scripts_own_has_the_same_answer(moody: Serving) -> None:
    assert moody.score("timeout").json()["message"] == "Scoring timeout after 400 ms"


def test_a_result_that_is_no_json_is_an_internal_error(moody: Serving) -> None:
    reply = moody.score("set")
    assert (reply.status, reply.headers["x-ms-run-function-failed"]) == (500, "False")
    assert reply.json()["message"] == "An unexpected internal error occurred. Check the logs for more info."


def test_sys_exit_has_gunicorns_page_and_the_worker_survives(moody: Serving) -> None:
    reply = moody.score("exit")
    assert (reply.status, reply.headers["content-type"]) == (500, "text/html")
    assert b"<h1><p>Internal Server Error</p></h1>" in reply.body
    assert moody.score("x").json() == "x"
    assert moody.err().count("Booting worker") == 1


def test_a_worker_that_dies_is_replaced(moody: Serving) -> None:
    with pytest.raises(OSError, match=r"."):
        moody.score("kill")
    assert moody.score("x").json() == "x"
    assert "exited with code 5." in moody.err()
    assert moody.out().count("Invoking user's init function") == 2


def test_no_request_is_refused_for_waiting_long(servings: Servings) -> None:
    serving = servings.start(FINE).wait_ready()
    with ThreadPoolExecutor(8) as pool:
        replies = list(pool.map(serving.score, ["sleep0.1"] * 8))
    assert [reply.status for reply in replies] == [200] * 8


def test_health_is_answered_while_run_is_busy(servings: Servings) -> None:
    serving = servings.start(FINE).wait_ready()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(serving.score, "sleep1")
        wait_until(lambda: not running.running() or serving.is_healthy(), "health")
        assert not running.done()


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nope", 404), ("DELETE", "/score", 405)])
def test_unknown_paths_and_methods_have_no_ids(moody: Serving, method: str, path: str, status: int) -> None:
    reply = moody.call(method, path)
    assert (reply.status, "x-request-id" in reply.headers, "x-ms-server-version" in reply.headers) == (
        status,
        False,
        False,
    )


def test_metrics_are_no_route_of_azures(moody: Serving) -> None:
    assert moody.call("GET", "/metrics").status == 404


def test_start_lines_are_those_of_azures_server(moody: Serving) -> None:
    out = moody.out()
    assert "Azure ML Inferencing HTTP server v" in out
    settings = out[out.index("Server Settings\n---------------\n") :].splitlines()[2:14]
    assert settings == [
        f"Entry Script Name: {moody.folder.resolve()}/score.py",
        "Model Directory: None",
        "Config File: None",
        "Worker Count: 1",
        "Worker Timeout (seconds): None",
        f"Server Port: {moody.port}",
        f"Health Port: {moody.port}",
        "Application Insights Enabled: false",
        "Application Insights Key: None",
        "Inferencing HTTP server version: azmlinfsrv/1.5.1",
        "CORS for the specified origins: None",
        "Create dedicated endpoint for health: None",
    ]
    assert f"Liveness Probe: GET   127.0.0.1:{moody.port}/\nScore:          POST  127.0.0.1:{moody.port}/score" in out
    assert re.search(rf"(?m)^{STAMP} I \[(\d+)\] azmlinfsrv - Scoring timeout is set to 400$", out)
    assert re.search(rf"(?m)^{STAMP} I \[(\d+)\] azmlinfsrv - Worker with pid \1 ready for serving traffic$", out)
    assert "The environment variable 'AZUREML_MODEL_DIR' has not been set." in out


def test_each_request_has_the_servers_line_and_gunicorns(moody: Serving) -> None:
    moody.call("GET", "/score?a=1", User_Agent="probe/1")
    moody.call("GET", "/", User_Agent="probe/1")
    moody.call("GET", "/nope", User_Agent="probe/1")
    moody.wait_for("GET /nope")
    lines = [line for line in moody.out().splitlines() if "GET /" in line and "Liveness" not in line]
    assert re.fullmatch(rf"{STAMP} I \[\d+\] azmlinfsrv - GET /score\?a=1 200 \d+\.\d{{3}}ms 12", lines[0])
    at = r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000\]"
    access = rf'{STAMP} I \[\d+\] gunicorn.access - 127.0.0.1 - - {at} "GET /score\?a=1 HTTP/1.1" 200 12 "-" "probe/1"'
    assert re.fullmatch(access, lines[1])
    assert '"GET /nope HTTP/1.1" 404 ' in lines[2]
    assert len(lines) == 3  # none for the probe, and for what is no route only gunicorn's


def test_a_client_cannot_forge_lines(moody: Serving) -> None:
    moody.call("GET", "/score", User_Agent='x" 200 "\\\tend')
    moody.wait_for("tend")
    assert r'"x\" 200 \"\\\tend"' in moody.out()


def test_prints_are_log_lines_and_the_root_logger_is_left_alone(moody: Serving) -> None:
    assert re.search(rf"(?m)^{STAMP} I \[\d+\] azmlinfsrv.print - hello$", moody.out())
    assert "WARNING:root:seen" in moody.err()
    assert "lost" not in moody.out() + moody.err()


def test_log_level_shows_what_the_root_logger_is_given(servings: Servings) -> None:
    serving = servings.start(MOODY, "--log-level", "info").wait_ready()
    assert " root - lost\n" in serving.out()


def test_a_second_health_port_is_served(servings: Servings) -> None:
    health = find_free_port()
    environment = {"SEPERATE_HEALTH_ENDPOINT": "true"}
    serving = servings.start(FINE, "--health_port", str(health), environment=environment).wait_ready()
    assert serving.call("GET", "/", port=health).body == b"Healthy"


def test_cors_is_answered(servings: Servings) -> None:
    serving = servings.start(FINE, "--access_control_allow_origins", "www.a.com, www.b.com").wait_ready()
    reply = serving.score(Origin="www.b.com")
    assert reply.headers["access-control-allow-origin"] == "www.b.com"
    assert "CORS for the specified origins: Enabling CORS for www.a.com, www.b.com" in serving.out()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_stop_it_finishes_what_runs_and_exits_zero(servings: Servings, number: signal.Signals) -> None:
    serving = servings.start(
        "import pathlib\n" + FINE.replace("time.sleep", "pathlib.Path('began').touch(); time.sleep")
    )
    serving.wait_ready()
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(serving.score, "sleep1")
        wait_until((serving.folder / "began").exists, "run()")
        assert serving.stop(number) == 0
        assert running.result().status == 200
    assert "Traceback" not in serving.out() + serving.err()
    with pytest.raises(ConnectionRefusedError), socket.socket() as client:
        client.connect(("127.0.0.1", serving.port))


def test_ctrl_c_while_init_runs_prints_no_traceback(servings: Servings) -> None:
    serving = servings.start("import time\nprint('loading', flush=True)\ntime.sleep(60)\n" + FINE)
    serving.wait_for("loading")
    assert serving.stop(signal.SIGINT) == 0
    assert "Traceback" not in serving.out() + serving.err()


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("def init(): pass", "does not have a run() function defined."),
        ("import nowhere_to_be_found\n" + FINE, "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        (FINE.replace("pass", "raise OSError('gone')"), "User's init function failed"),
        ("import sys\n" + FINE.replace("pass", "sys.exit(0)"), "User's init function failed"),
        ("def init(:", "SyntaxError"),
    ],
)
def test_a_script_that_does_not_start_ends_the_server_with_3(servings: Servings, script: str, text: str) -> None:
    serving = servings.start(script)
    assert serving.exit_code() == 3
    assert text in serving.out()
    assert "Worker failed to boot." in serving.err()


def test_a_port_in_use_is_tried_for_a_while_and_then_named(servings: Servings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        serving = servings.start(FINE, port=port)
        assert serving.process.wait(DEADLINE_S) == 1
    assert serving.err().count("Retrying in 1 second.") == 4
    assert f"Can't connect to ('127.0.0.1', {port}): another process listens there. Try --port" in serving.err()


def test_another_address_is_warned_of(servings: Servings) -> None:
    serving = servings.start(FINE, "--host", "0.0.0.0").wait_ready()
    assert "--host 0.0.0.0: whoever reaches this machine can score" in serving.out()


def test_a_debug_port_without_a_debugger_is_exit_minus_one(servings: Servings) -> None:
    serving = servings.start(FINE, environment={"AZUREML_DEBUG_PORT": "5678"})
    assert serving.exit_code() == 255
    assert "** Cannot connect to a debugger because debugpy is not installed." in serving.out()


def test_a_debugger_is_connected_before_the_script_is_loaded(servings: Servings) -> None:
    fake = """
        def connect(port): print("connected to", port)
        def wait_for_client(): print("client is there")
    """
    files = {"lib/debugpy.py": fake}
    environment = {"AZUREML_DEBUG_PORT": "5678", "PYTHONPATH": "lib"}
    serving = servings.start("print('loading')\n" + FINE, files=files, environment=environment).wait_ready()
    lines = [line for line in serving.out().splitlines() if "** Conn" in line or "print" in line]
    assert [line.rpartition(" - ")[2] for line in lines] == [
        "** Connecting to debugger at port 5678...",
        "connected to 5678",
        "client is there",
        "loading",
    ]


def test_a_module_that_lies_beside_a_script_elsewhere_is_explained(servings: Servings) -> None:
    files = {"src/my.py": "import helper\n" + FINE, "src/helper.py": ""}
    serving = servings.start(None, "--entry-script", "src/my.py", files=files)
    assert serving.exit_code() == 3
    assert "helper lies beside the script, but modules are looked for in AML_APP_ROOT" in serving.out()


def test_an_active_environment_that_has_no_part_in_it_is_named(servings: Servings) -> None:
    serving = servings.start(FINE, environment={"VIRTUAL_ENV": "/elsewhere"}).wait_ready()
    assert "where mlctl is installed, not in /elsewhere" in serving.err()
