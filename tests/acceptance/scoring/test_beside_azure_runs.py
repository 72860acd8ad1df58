"""How `mlctl serve` and Azure's own server start, log and end: both on the same files, side by side.

What docs/scoring.md lists as different is asserted to be so, on both sides. Answers: `test_beside_azure`.
"""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from tests.acceptance.scoring.azure_scripts import LOGS
from tests.acceptance.scoring.beside_azure import (
    FREE_PORT,
    SERVES,
    Ask,
    Broken,
    Heard,
    Pair,
    Pairs,
    keep_places,
    read_lines,
    send,
    start_pairs,
)
from tests.acceptance.scoring.replicas import DEADLINE_S, wait_until
from tests.acceptance.scoring.serving import Serving

# The first test of a process makes Azure's venv.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
pairs = pytest.fixture(start_pairs, scope="module", name="pairs")
FINE = "def init(): pass\ndef run(data): return data\n"
SHOW = """
import os, pathlib, time
def init(): print("in init")
def run(data):
    if data.startswith("sleep"):
        pathlib.Path("began").touch()
        time.sleep(float(data[5:]))
    return os.environ.get(data)
"""
BOTH = """
from azureml.contrib.services.aml_request import rawhttp
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema
def init(): pass
@rawhttp
@input_schema("a", StandardPythonParameterType(1))
def run(a): pass
"""
KEY = "5bd0a5a0-0000-4000-8000-0123456789ab"
VARIABLES = (
    *("AZUREML_MODEL_DIR", "AZUREML_ENTRY_SCRIPT", "AML_APP_ROOT", "WORKER_COUNT", "WORKER_TIMEOUT", "SERVER_PORT"),
    *("HEALTH_PORT", "AML_APP_INSIGHTS_ENABLED", "AML_APP_INSIGHTS_KEY", "AML_CORS_ORIGINS", "AZUREML_CONFIG_FILE"),
    *("SCORING_TIMEOUT_MS", "HTTP_X_MS_SERVER_VERSION", "TRANSPORT_PROTOCOL", "SERVICE_NAME", "AZUREML_DEBUG_PORT"),
)


def score(serving: Serving, body: str, *headers: tuple[str, str]) -> Heard:
    return send(serving.port, Ask(body=body.encode(), headers=(("Content-Type", "application/json"), *headers)))


def show(serving: Serving, name: str) -> str:
    return keep_places(serving, score(serving, name).body.decode())


def assert_serve_alike(pair: Pair) -> None:
    """Compare what the script finds in its environment, and what the documents say of the service."""
    assert {name: show(pair.mlctl, name) for name in VARIABLES} == {name: show(pair.azure, name) for name in VARIABLES}
    for ask in (Ask("GET", "/swagger.json"), Ask(body=b"x", headers=(("Origin", "a.com"),))):
        azure, mlctl = pair.ask(ask)
        assert mlctl == azure


# Starts that fail


@pytest.mark.parametrize(
    ("script", "text"),
    [
        ("def run(d): pass", "score.py does not have a init() function defined."),
        ("def init(): pass", "score.py does not have a run() function defined."),
        ("def init(): pass\ndef run(): pass", "run() needs to accept an argument for input data."),
        ("def init(): pass\ndef run(request_headers): pass", 'an argument other than "request_headers".'),
        ("def init(): pass\ndef run(*a): pass", "cannot accept positional-only arguments, *args, or **kwargs."),
        ("def init(): pass\ndef run(a, **k): pass", "cannot accept positional-only arguments, *args, or **kwargs."),
        ("def init(): pass\ndef run(a, /): pass", "cannot accept positional-only arguments, *args, or **kwargs."),
        (BOTH, "run() cannot be decorated with both @rawhttp and @input_schema"),
        ("def init(:", "SyntaxError: invalid syntax"),
        ("def init():\n  x\n y", "IndentationError: unindent"),
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("open('/nowhere/to/be/found')", "FileNotFoundError: [Errno 2] No such file"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("def init(): raise OSError('gone')\ndef run(a): pass", "User's init function failed"),
        ("import sys\ndef init(): sys.exit(0)\ndef run(a): pass", "User's init function failed"),
        ("def init(a): pass\ndef run(a): pass", "User's init function failed"),
        ("def init(): pass\nrun = 3", ""),
        (None, "No such file"),
    ],
)
def test_a_script_that_does_not_start_ends_both_with_3(pairs: Pairs, script: str | None, text: str) -> None:
    words = ("--model_dir", "m") if script else ("--entry_script", "nope.py")
    pair = pairs.start(script, *words, files={"m/x": "", "m/d/y": ""})
    assert pair.outcomes() == (3, 3)
    for serving in (pair.azure, pair.mlctl):
        assert text in serving.out()
        for line in ("exited with code 3.", "Shutting down: Master", "Worker failed to boot."):
            assert line in serving.err()
    trees = [_find_tree(serving) for serving in (pair.azure, pair.mlctl)]
    assert trees[0] == trees[1]
    assert bool(trees[0]) == ("init function failed" in text)


def _find_tree(serving: Serving) -> list[str]:
    _, _, found = serving.out().partition("Model Directory Contents:\n")
    return [line.partition("azmlinfsrv - ")[2] for line in found.splitlines()]


def test_a_process_that_ends_in_init_is_not_started_for_ever_here(pairs: Pairs) -> None:
    pair = pairs.start("import os\ndef init(): os._exit(7)\ndef run(a): pass")
    pair.azure.wait_for("exited with code 7.", 3)
    assert pair.azure.process.poll() is None
    assert pair.mlctl.exit_code() == 3


# The command line

WRONG = [
    *(("--port", value) for value in ("0", "65536", "x", "", "1.5", "-1")),
    *(("--worker_count", value) for value in ("0", "x", "-1", "")),
    *(("--health_port", value) for value in ("0", "x")),
]


@pytest.mark.parametrize("words", WRONG, ids=" ".join)
def test_a_number_that_is_none_ends_both_with_1(pairs: Pairs, words: tuple[str, ...]) -> None:
    assert pairs.start(FINE, *words).outcomes() == (1, 1)


@pytest.mark.parametrize(
    "words",
    [
        (),
        *(("--worker_count", "2"), ("--worker_count=1",), ("--health_port", "9")),
        *(("--model_dir", "m"), ("--model_dir", ""), ("--model_dir", "nope"), ("--config_file", "c.json")),
        *(("--access_control_allow_origins", ""), ("--access_control_allow_origins", "a.com")),
        *(("--appinsights_instrumentation_key", ""), ("--appinsights_instrumentation_key", "x")),
    ],
    ids=" ".join,
)
def test_words_that_both_take(pairs: Pairs, words: tuple[str, ...]) -> None:
    pair = pairs.start(SHOW, *words, files={"m/x": "", "c.json": "{}", "main.py": SHOW}).wait_ready()
    assert_serve_alike(pair)


@pytest.mark.parametrize(
    ("words", "azures", "mlctls"),
    [
        (("--nope",), 1, 2),
        (("extra",), 1, 2),
        (("--help",), 1, 0),
        (("--model_dir",), 1, 2),
        (("--worker_c", "1"), SERVES, 2),
        (("--rest",), SERVES, 2),
        (("--worker_count", "+1"), SERVES, 1),
        (("--config_file", "nope.json"), SERVES, 3),
    ],
)
def test_words_that_are_taken_otherwise_here(
    pairs: Pairs, words: tuple[str, ...], azures: int | str, mlctls: int | str
) -> None:
    assert pairs.start(FINE, *words).outcomes() == (azures, mlctls)


def test_nothing_to_serve_ends_both_with_1(pairs: Pairs) -> None:
    for words in ((), ("--entry_script", "")):
        pair = pairs.start(None, *words)
        assert pair.outcomes() == (1, 1)
    for serving in (pair.azure, pair.mlctl):
        assert "Either provide an entry_script using --entry_script or provide a path to the c" in serving.out()


def test_main_is_looked_for_where_no_script_is_named(pairs: Pairs) -> None:
    pair = pairs.start(None, "--config_file", "c.json", files={"c.json": "{}"})
    assert pair.outcomes() == (3, 3)
    for serving in (pair.azure, pair.mlctl):
        for text in ("No score script found. Expected score script main.py.", "Current contents of AML_APP_ROOT: ["):
            assert text in serving.out()
    pair = pairs.start(None, "--config_file", "c.json", files={"c.json": "{}", "main.py": SHOW}).wait_ready()
    assert_serve_alike(pair)


# Variables


@pytest.mark.parametrize(
    "environment",
    [
        *({"SCORING_TIMEOUT_MS": value} for value in ("0", " 50000 ", "99999999999")),
        *({"SERVER_VERSION_LOG_RESPONSE_ENABLED": value} for value in ("no", "TRUE", "")),
        *({"AML_APP_INSIGHTS_ENABLED": value} for value in ("maybe", "true", "TRUE", "")),
        *({"AML_APP_INSIGHTS_ENABLED": "true", "AML_APP_INSIGHTS_KEY": key} for key in ("secret", "")),
        *({"WORKER_PRELOAD": value} for value in ("True", "x")),
        *(
            {"HTTP_X_MS_SERVER_VERSION": "mine", "SERVER_VERSION_LOG_RESPONSE_ENABLED": value}
            for value in ("no", "true")
        ),
        *(
            {"WORKER_COUNT": "2"},
            {"WORKER_TIMEOUT": "0"},
            {"SEPERATE_HEALTH_ENDPOINT": "True"},
            {"AML_CORS_ORIGINS": ""},
        ),
        *({"AML_CORS_ORIGINS": "a.com"}, {"SERVER_PORT": "x", "HEALTH_PORT": "x"}, {"AZUREML_ENTRY_SCRIPT": "nope.py"}),
        *({"AZUREML_MODEL_DIR": "m", "AZUREML_SOURCE_DIRECTORY": "nope"}, {"AML_APP_ROOT": "/nope"}),
        {"SERVICE_NAME": "", "SERVICE_VERSION": "", "SERVICE_PATH_PREFIX": "/a/b/"},
        {"SERVICE_NAME": "n", "SERVICE_VERSION": "9", "SERVICE_PATH_PREFIX": "p", "WORKSPACE_NAME": "w"},
        *({"AML_MDC_STORAGE_ENABLED": "1"}, {"AZUREML_LOG_LEVEL": "x"}, {"TRANSPORT_PROTOCOL": "x"}),
        *({"AML_MODEL_DC_STORAGE_ENABLED": "maybe"}, {"AML_DBG_MODEL_INFO": "1"}),
    ],
    ids=str,
)
def test_variables_that_both_take(pairs: Pairs, environment: Mapping[str, str]) -> None:
    assert_serve_alike(pairs.start(SHOW, environment=environment).wait_ready())


@pytest.mark.parametrize(
    "environment",
    [
        *({"SCORING_TIMEOUT_MS": value} for value in ("soon", "1.5")),
        *({name: "maybe"} for name in ("APP_INSIGHTS_LOG_RESPONSE_ENABLED", "AML_MDC_STORAGE_ENABLED")),
        {"AZUREML_DEBUG_PORT": "x"},
    ],
    ids=str,
)
def test_variables_that_end_both_with_3(pairs: Pairs, environment: Mapping[str, str]) -> None:
    pair = pairs.start(FINE, environment=environment)
    assert pair.outcomes() == (3, 3)
    for serving in (pair.azure, pair.mlctl):
        assert "===Configuration Error===" in serving.out()
    if "AML_MDC_STORAGE_ENABLED" not in environment:  # which Azure's server calls by another name
        shown = [line for line in pair.azure.out().splitlines() if "(environment variable: " in line]
        assert shown == [line for line in pair.mlctl.out().splitlines() if "(environment variable: " in line]


@pytest.mark.parametrize(
    ("environment", "azures", "mlctls"),
    [
        ({"SCORING_TIMEOUT_MS": "-1"}, SERVES, 3),
        ({"SCORING_TIMEOUT_MS": "1.0"}, SERVES, 3),
        ({"SCORING_TIMEOUT_MS": ""}, 3, SERVES),
        ({"WORKER_COUNT": "two"}, 1, 3),
        ({"WORKER_TIMEOUT": "x"}, 2, 3),
        ({"WORKER_TIMEOUT": "-1"}, 1, 3),
        ({"WORKER_TIMEOUT": ""}, 2, SERVES),
        ({"AZUREML_DEBUG_PORT": "0"}, SERVES, 3),
        ({"AZUREML_CONFIG_FILE": "nope"}, SERVES, 3),
        ({"SERVICE_NAME": 'q"uote'}, 3, SERVES),
    ],
    ids=str,
)
def test_variables_that_are_taken_otherwise_here(
    pairs: Pairs, environment: Mapping[str, str], azures: int | str, mlctls: int | str
) -> None:
    assert pairs.start(FINE, environment=environment).outcomes() == (azures, mlctls)


def test_no_workers_are_refused_here_and_a_missing_debugger_is_named_once(pairs: Pairs) -> None:
    pair = pairs.start(FINE, environment={"WORKER_COUNT": "0"})
    pair.azure.wait_for("Using worker")
    assert pair.mlctl.exit_code() == 3
    assert "Booting worker" not in pair.azure.err()
    pair = pairs.start(FINE, environment={"AZUREML_DEBUG_PORT": "5678"})
    pair.azure.wait_for("because debugpy is not installed", 2)
    assert pair.azure.process.poll() is None
    assert pair.mlctl.exit_code() == 255


def test_a_path_prefix_of_nothing_makes_no_path_of_two_slashes_here(pairs: Pairs) -> None:
    azure, mlctl = (
        pairs.start(FINE, environment={"SERVICE_PATH_PREFIX": "/"}).wait_ready().ask(Ask("GET", "/swagger.json"))
    )
    assert ("//score" in json.loads(azure.body)["paths"], "//score" in json.loads(mlctl.body)["paths"]) == (True, False)


# The config file


@pytest.mark.parametrize(
    "content",
    [
        *(
            {"AML_CORS_ORIGINS": "a.com"},
            {"AML_APP_INSIGHTS_ENABLED": "maybe"},
            {"nonsense": 1, "HOSTNAME": "h"},
            {},
            None,
        ),
        *(
            {"APP_INSIGHTS_LOG_RESPONSE_ENABLED": False},
            {"SCORING_TIMEOUT_MS": None},
            {"AZUREML_ENTRY_SCRIPT": "nope.py"},
        ),
    ],
    ids=str,
)
def test_files_that_both_take(pairs: Pairs, content: Any) -> None:
    text = json.dumps(content) if content is not None else ""
    assert_serve_alike(pairs.start(SHOW, files={"config.json": text}).wait_ready())


@pytest.mark.parametrize(
    "text",
    [
        *("{", "{'a': 1}", "[1]", "1", '{"SCORING_TIMEOUT_MS": "x"}', '{"SCORING_TIMEOUT_MS": 1.5}'),
        *(
            '{"SCORING_TIMEOUT_MS": [1]}',
            '{"APP_INSIGHTS_LOG_RESPONSE_ENABLED": "maybe"}',
            '{"AZUREML_DEBUG_PORT": "x"}',
        ),
    ],
)
def test_files_that_end_both_with_3(pairs: Pairs, text: str) -> None:
    pair = pairs.start(FINE, files={"config.json": text})
    assert pair.outcomes() == (3, 3)
    for serving in (pair.azure, pair.mlctl):
        assert ("===Configuration Error===" if "_" in text else "Invalid config file!") in serving.out()


@pytest.mark.parametrize(
    ("content", "azures", "mlctls"),
    [
        ({"SCORING_TIMEOUT_MS": 5.0}, SERVES, 3),
        ({"SCORING_TIMEOUT_MS": True}, SERVES, 3),
        ({"WORKER_COUNT": "x"}, SERVES, 3),
        ({"SERVICE_NAME": 5}, 3, SERVES),
    ],
    ids=str,
)
def test_files_that_are_taken_otherwise_here(pairs: Pairs, content: Any, azures: int | str, mlctls: int | str) -> None:
    assert pairs.start(FINE, files={"config.json": json.dumps(content)}).outcomes() == (azures, mlctls)


@pytest.mark.parametrize(
    ("place", "words", "title"),
    [
        ({"config.json": "root"}, (), "root"),
        ({"sub/config.json": "beside"}, (), "beside"),
        ({"config.json": "root", "sub/config.json": "beside"}, (), "root"),
        ({"config.json": "root", "c.json": "named"}, ("--config_file", "c.json"), "named"),
        ({"config.json": "root", "c.json": ""}, ("--config_file", "c.json"), "root"),
    ],
)
def test_which_file_counts(pairs: Pairs, place: Mapping[str, str], words: tuple[str, ...], title: str) -> None:
    files = {name: json.dumps({"SERVICE_NAME": text}) if text else "" for name, text in place.items()}
    pair = pairs.start(None, "--entry_script", "sub/my.py", *words, files={"sub/my.py": FINE, **files}).wait_ready()
    azure, mlctl = pair.ask(Ask("GET", "/swagger.json"))
    assert mlctl == azure
    assert json.loads(mlctl.body)["info"]["title"] == title


def test_more_of_the_file_counts_here_and_scripts_see_it(pairs: Pairs) -> None:
    content = {"WORKER_COUNT": 2, "WORKER_TIMEOUT": 77, "AZUREML_MODEL_DIR": "m", "SCORING_TIMEOUT_MS": 5000}
    files = {"config.json": json.dumps({**content, "SERVER_VERSION_LOG_RESPONSE_ENABLED": "no"})}
    pair = pairs.start(SHOW, files=files).wait_ready()
    azure, mlctl = ([show(serving, name) for name in content] for serving in (pair.azure, pair.mlctl))
    assert (azure, mlctl) == (['"1"', "{}", "{}", "{}"], ['"2"', '"77"', '"m"', '"5000"'])
    azures, mlctls = pair.ask(Ask(body=b"x"))
    assert (azures.header("x-ms-server-version"), mlctls.header("x-ms-server-version")) == ("azmlinfsrv/1.5.1", None)
    for serving in (pair.azure, pair.mlctl):
        assert "Scoring timeout is set to 5000" in serving.out()


def test_the_file_names_the_script(pairs: Pairs) -> None:
    files = {"c.json": '{"AZUREML_ENTRY_SCRIPT": "s.py"}', "s.py": FINE}
    azure, mlctl = pairs.start(None, "--config_file", "c.json", files=files).wait_ready().ask(Ask(body=b"x"))
    assert mlctl == azure


# Swagger files, logging files


@pytest.mark.parametrize(
    "files",
    [
        *({f"swagger{version}.json": '{"a": 1}'} for version in ("", "2", "3", "3.1")),
        {"swagger.json": '{"a": 1}', "swagger2.json": '{"a": 2}'},
        {"swagger.json": "{}", "swagger2.json": '{"a": 2}'},
    ],
    ids=str,
)
def test_files_replace_the_documents(pairs: Pairs, files: Mapping[str, str]) -> None:
    pair = pairs.start(FINE, files=files).wait_ready()
    for version in ("2", "3", "3.1", "9"):
        azure, mlctl = pair.ask(Ask("GET", f"/swagger.json?version={version}"))
        assert mlctl == azure


def test_a_swagger_file_that_is_none_is_left_out_here(pairs: Pairs) -> None:
    assert pairs.start(FINE, files={"swagger.json": "{"}).outcomes() == (3, SERVES)
    azure, mlctl = pairs.start(FINE, files={"swagger.json": "[1]"}).wait_ready().ask(Ask("GET", "/swagger.json"))
    assert azure.body == b"[1]"
    assert json.loads(mlctl.body)["swagger"] == "2.0"


@pytest.mark.parametrize("text", ['{"version": 7}', "{", "[]", ""])
def test_a_logging_file_that_is_none_ends_both_with_3(pairs: Pairs, text: str) -> None:
    assert pairs.start(FINE, files={"logging.json": text}).outcomes() == (3, 3)


def test_a_logging_file_is_followed(pairs: Pairs) -> None:
    loggers = {name: {"level": "INFO", "handlers": ["out"]} for name in ("azmlinfsrv", "gunicorn.access")}
    content = {
        "version": 1,
        "handlers": {"out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "mine"}},
        "formatters": {"mine": {"format": "mine %(name)s %(message)s"}},
        "loggers": loggers,
    }
    pair = pairs.start(LOGS, files={"logging.json": json.dumps(content)}).wait_ready()
    pair.ask(Ask(body=b"x", headers=(("Content-Type", "a/b"),)))
    for serving in (pair.azure, pair.mlctl):
        serving.wait_for("mine gunicorn.access 127.0.0.1 - - ")
        for line in (
            "mine azmlinfsrv.print got x",
            "mine azmlinfsrv POST /score 200 ",
            "mine azmlinfsrv.print in-init",
        ):
            assert line in serving.out()


# The log

ABOUT_ITSELF = (
    *("Loaded logging config from", "Starting up app insights client", "Found extra keys in the config file"),
    *("azmlinfsrv.trace - Model directory is not set", "Swaggers are prepared for", "header has been deprecated"),
    *(
        "Starting gunicorn",
        "Using worker: sync",
        "Control socket listening",
        "Worker exiting",
        "debuggability features",
    ),
    *('"GET /?x=1 ', '"HEAD / ', '"POST / ', '"OPTIONS / '),
)
ASKED = (
    *(Ask(body=b"abc", headers=(("Content-Type", "a/b"),)), Ask("GET", "/score?a=%C3%A9&b=%22"), Ask("GET", "/")),
    *(Ask("GET", "/?x=1"), Ask("GET", "/nope"), Ask("PUT"), Ask("GET", "/swagger.json"), Ask("OPTIONS"), Ask("HEAD")),
    *(
        Ask("GET", "/swagger.json?version=9"),
        Ask("HEAD", "/"),
        Ask("POST", "/"),
        Ask("OPTIONS", "/"),
        Ask(body=b"fail"),
    ),
    *(
        Ask(body=b"\xff"),
        Ask(body=b"x", headers=(("x-request-id", "y" * 101),)),
        Ask("HEAD", "/nope"),
        Ask("PUT", "/nope"),
    ),
    Ask(body=b"x", headers=(("Referer", "http://r/"), ("User-Agent", 'a "b" c'), ("x-ms-request-id", "m"))),
    Ask("GET", "/score?last"),
)


def test_lines_of_the_log(pairs: Pairs) -> None:
    pair = pairs.start(LOGS, environment={"AML_DBG_MODEL_INFO": "1"}).wait_ready()
    for ask in ASKED:
        pair.ask(ask)
    for serving in (pair.azure, pair.mlctl):
        serving.wait_for("GET /score?last HTTP/1.1")
        assert serving.stop() == 0
    for azure, mlctl in ((pair.azure.out(), pair.mlctl.out()), (pair.azure.err(), pair.mlctl.err())):
        assert _keep_stamped(pair.mlctl, mlctl) == _keep_stamped(pair.azure, azure)
    assert _find_banner(pair.mlctl) == _find_banner(pair.azure)
    for serving in (pair.azure, pair.mlctl):
        assert "in run\n" in serving.out()  # of the traceback
        assert "ZeroDivisionError: division by zero\n" in serving.out()
        for line in ("to stderr\n", "WARNING:root:seen\n", "ERROR:mine:under a name of its own\n"):
            assert line in serving.err()
        assert "lost" not in serving.out() + serving.err()


def test_lines_that_only_azures_server_writes(pairs: Pairs) -> None:
    pair = pairs.start(LOGS, environment={"AML_DBG_MODEL_INFO": "1"}).wait_ready()
    for ask in ASKED:
        pair.ask(ask)
    for serving in (pair.azure, pair.mlctl):
        serving.wait_for("GET /score?last HTTP/1.1")
        serving.stop()
    for text in ABOUT_ITSELF:
        assert text in pair.azure.out() + pair.azure.err()
        assert text not in pair.mlctl.out() + pair.mlctl.err()


def _keep_stamped(serving: Serving, text: str) -> list[str]:
    lines = [line for line in read_lines(serving, text) if line.startswith("TIME ")]
    return [line for line in lines if not any(text in line for text in ABOUT_ITSELF)]


def _find_banner(serving: Serving) -> list[str]:
    lines = [line.replace(" (as mlctl serves it)", "") for line in read_lines(serving, serving.out())]
    begin = next(number for number, line in enumerate(lines) if line.startswith("Azure ML Inferencing HTTP server"))
    return lines[begin : next(number for number, line in enumerate(lines) if line.startswith("Score:"))]


def test_prints_that_end_otherwise(pairs: Pairs) -> None:
    script = """
        import sys
        def init():
            print("a", end="")
            print("b")
            print("c\\nd")
            sys.stdout.write("e\\n")
        def run(data): pass
    """
    pair = pairs.start(script).wait_ready()
    azure, mlctl = (
        [line.rpartition(" - ")[2] for line in serving.out().splitlines() if "print - " in line or line in ("d", "e")]
        for serving in (pair.azure, pair.mlctl)
    )
    assert (azure, mlctl) == (["a", "b", "c", "d", "e"], ["ab", "c", "d", "e"])
    assert "\nd\n" in pair.azure.out()


# Time, signals, processes


def _while_it_runs(serving: Serving, pool: ThreadPoolExecutor) -> Future[Heard]:
    (serving.folder / "began").unlink(missing_ok=True)
    running = pool.submit(score, serving, "sleep1")
    wait_until((serving.folder / "began").exists, "run()")
    return running


@pytest.mark.parametrize(
    ("number", "azures"), [(signal.SIGTERM, 200), (signal.SIGINT, 500), (signal.SIGQUIT, 500)], ids=str
)
def test_told_to_stop(pairs: Pairs, number: signal.Signals, azures: int) -> None:
    pair = pairs.start(SHOW).wait_ready()
    with ThreadPoolExecutor(2) as pool:
        for serving, status in ((pair.azure, azures), (pair.mlctl, 200)):
            running = _while_it_runs(serving, pool)
            assert serving.stop(number) == 0
            assert running.result().status == status


def test_told_to_begin_anew(pairs: Pairs) -> None:
    pair = pairs.start(SHOW).wait_ready()
    for serving in (pair.azure, pair.mlctl):
        serving.process.send_signal(signal.SIGHUP)
        serving.wait_for("Invoking user's init function", 2)
        assert serving.wait_ready().score("x").status == 200
        assert "Handling signal: hup" in serving.err()


def test_a_worker_that_is_silent_for_too_long_is_replaced(pairs: Pairs) -> None:
    pair = pairs.start(SHOW, environment={"WORKER_TIMEOUT": "2"}).wait_ready()
    for serving in (pair.azure, pair.mlctl):
        try:
            assert score(serving, "sleep30").status == 500
            assert serving is pair.azure
        except Broken:
            pass
        serving.wait_for("WORKER TIMEOUT (pid:")
        assert score(serving, "x").status == 200


@pytest.mark.parametrize(
    ("environment", "inits", "workers"),
    [({"WORKER_COUNT": "2"}, 2, 2), ({"WORKER_COUNT": "2", "WORKER_PRELOAD": "true"}, 1, 2)],
    ids=str,
)
def test_init_is_called_as_often(pairs: Pairs, environment: Mapping[str, str], inits: int, workers: int) -> None:
    pair = pairs.start(SHOW, environment=environment).wait_ready()
    for serving in (pair.azure, pair.mlctl):
        serving.wait_for("Booting worker with pid", workers)
        serving.wait_for("Users's init has completed", inits)
        assert serving.out().count("azmlinfsrv.print - in init") == inits
        serving.stop()


def test_probes_wait_for_run_in_azures_server_only(pairs: Pairs) -> None:
    pair = pairs.start(SHOW).wait_ready()
    with ThreadPoolExecutor(2) as pool:
        for serving, is_first in ((pair.azure, False), (pair.mlctl, True)):
            running = _while_it_runs(serving, pool)
            assert serving.is_healthy()
            assert running.done() != is_first


def test_a_second_port_for_probes(pairs: Pairs) -> None:
    pair = pairs.start(SHOW, "--health_port", FREE_PORT, environment={"SEPERATE_HEALTH_ENDPOINT": "true"}).wait_ready()
    for serving in (pair.azure, pair.mlctl):
        port = int(json.loads(show(serving, "HEALTH_PORT")))
        assert port != serving.port
        assert send(port, Ask("GET", "/")).body == b"Healthy"


def test_a_port_in_use_ends_both_with_1(pairs: Pairs) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        pair = pairs.start(FINE, "--port", str(port))
        assert [serving.process.wait(DEADLINE_S) for serving in (pair.azure, pair.mlctl)] == [1, 1]
    for serving in (pair.azure, pair.mlctl):
        assert serving.err().count(f"Connection in use: ('127.0.0.1', {port})") == 5
        assert f"Can't connect to ('127.0.0.1', {port})" in serving.err()


def test_connections_are_kept_here(pairs: Pairs) -> None:
    pair = pairs.start(FINE).wait_ready()
    assert [_ask_twice(serving.port) for serving in (pair.azure, pair.mlctl)] == [1, 2]


def _ask_twice(port: int) -> int:
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as client, client.makefile("rb") as file:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        found = file.read(17)
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        try:
            return (found + file.read()).count(b"HTTP/1.1 200 OK")
        except ConnectionResetError:
            return 1
