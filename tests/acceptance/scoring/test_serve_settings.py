"""`mlctl serve`: where its settings come from, and what is said of bad ones."""

from __future__ import annotations

import json
import pickle

import pytest
from sklearn.linear_model import LogisticRegression

from tests.acceptance.scoring.serving import FINE, Servings
from tests.acceptance.scoring.serving import servings as servings

SHOW = """
import os
def init(): pass
def run(data): return os.environ.get(data)
"""
LOGGING = {
    "version": 1,
    "handlers": {"out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "mine"}},
    "formatters": {
        "mine": {
            "class": "azureml_inference_server_http.log_config.AMLLogFormatter",
            "format": "mine %(name)s %(message)s",
        }
    },
    "filters": {"root": {"()": "azureml_inference_server_http.log_config.RootAccessFilter"}},
    "loggers": {
        "azmlinfsrv": {"level": "INFO", "handlers": ["out"]},
        "gunicorn.access": {"level": "INFO", "handlers": ["out"], "filters": ["root"]},
    },
}


def test_underscores_are_taken_as_azures_own_server_does(servings: Servings) -> None:
    words = ("--entry_script", "sub/my.py", "--model_dir", "m", "--worker_count", "2")
    serving = servings.start(None, *words, files={"sub/my.py": SHOW, "m/x": ""}).wait_ready()
    assert serving.score("AZUREML_MODEL_DIR").json() == "m"
    assert serving.score("AZUREML_ENTRY_SCRIPT").json() == str((serving.folder / "sub/my.py").resolve())
    assert serving.score("AML_APP_ROOT").json() == str(serving.folder)
    assert serving.score("WORKER_COUNT").json() == "2"


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(servings: Servings) -> None:
    files = {"config.json": json.dumps({"WORKER_COUNT": 2, "WORKER_TIMEOUT": 77, "SCORING_TIMEOUT_MS": 5000})}
    environment = {"WORKER_COUNT": "3", "WORKER_TIMEOUT": "88"}
    serving = servings.start(SHOW, "--worker-count", "1", files=files, environment=environment).wait_ready()
    assert [serving.score(name).json() for name in ("WORKER_COUNT", "WORKER_TIMEOUT")] == ["1", "88"]
    assert "Scoring timeout is set to 5000" in serving.out()


def test_a_file_alone_names_script_and_model(servings: Servings) -> None:
    content = {"AZUREML_ENTRY_SCRIPT": "my.py", "AZUREML_MODEL_DIR": "m"}
    files = {"my.py": SHOW, "m/x": "", "c.json": json.dumps(content)}
    serving = servings.start(None, "--config_file", "c.json", files=files).wait_ready()
    assert serving.score("AZUREML_MODEL_DIR").json() == "m"


def test_a_file_beside_the_script_counts_last(servings: Servings) -> None:
    files = {"sub/my.py": SHOW, "sub/config.json": '{"SERVICE_NAME": "mine"}'}
    serving = servings.start(None, "--entry-script", "sub/my.py", files=files).wait_ready()
    assert serving.call("GET", "/swagger.json").json()["info"]["title"] == "mine"


def test_unknown_keys_only_warn_and_so_do_those_a_file_cannot_set(servings: Servings) -> None:
    files = {"config.json": json.dumps({"AML_CORS_ORIGINS": "a.com", "nonsense": 1, "HOSTNAME": "h"})}
    serving = servings.start(FINE, files=files).wait_ready()
    assert "Extra keys = ['AML_CORS_ORIGINS', 'nonsense']" in serving.out()
    assert "access-control-allow-origin" not in serving.score(Origin="a.com").headers


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCORING_TIMEOUT_MS", "soon"),
        ("SCORING_TIMEOUT_MS", "-1"),
        ("WORKER_COUNT", "0"),
        ("WORKER_COUNT", "two"),
        ("WORKER_TIMEOUT", "1.5"),
        ("AZUREML_DEBUG_PORT", "x"),
        ("AML_MDC_STORAGE_ENABLED", "maybe"),
    ],
)
def test_a_bad_value_is_a_configuration_error(servings: Servings, name: str, value: str) -> None:
    serving = servings.start(FINE, environment={name: value})
    assert serving.exit_code() == 3
    assert "===Configuration Error===" in serving.out()
    assert f"(environment variable: {name})" in serving.out()
    assert "Traceback" not in serving.out() + serving.err()


@pytest.mark.parametrize(
    ("content", "text"),
    [("{", "config.json:1:2: "), ("[1]", "it has to be a JSON object"), ("{1}", "config.json:1:2: ")],
)
def test_a_file_that_is_no_json_object_names_the_place(servings: Servings, content: str, text: str) -> None:
    serving = servings.start(FINE, files={"config.json": content})
    assert serving.exit_code() == 3
    assert "Invalid config file!" in serving.out()
    assert text in serving.out()


def test_neither_script_nor_file_is_exit_1(servings: Servings) -> None:
    serving = servings.start(None)
    assert serving.exit_code() == 1
    assert "Either provide an entry_script using --entry_script" in serving.out()


@pytest.mark.parametrize(
    "words", [("--port", "0"), ("--port", "x"), ("--worker_count", "0"), ("--health_port", "65536")]
)
def test_wrong_numbers_are_exit_1_and_named(servings: Servings, words: tuple[str, str]) -> None:
    serving = servings.start(FINE, *words)
    assert serving.exit_code() == 1
    assert f"'{words[1]}' is not a" in serving.err()


def test_an_unknown_option_is_a_usage_error(servings: Servings) -> None:
    serving = servings.start(FINE, "--entry-scrip")
    assert serving.exit_code() == 2
    assert "--entry-script" in serving.err()


@pytest.mark.parametrize(
    ("key", "texts"),
    [
        ("5bd0a5a0-0000-4000-8000-0123456789ab", ["Valid Application Insights instr", "mlctl sends nothing to App"]),
        ("secret", ["Invalid Application Insights", "Application Insights Enabled: false"]),
    ],
)
def test_a_key_of_app_insights_is_checked_and_never_shown(servings: Servings, key: str, texts: list[str]) -> None:
    serving = servings.start(FINE, "--appinsights_instrumentation_key", key).wait_ready()
    for text in texts:
        assert serving.out().count(text) == 1
    assert key not in serving.out() + serving.err()


def test_the_version_header_can_be_left_out(servings: Servings) -> None:
    serving = servings.start(FINE, environment={"SERVER_VERSION_LOG_RESPONSE_ENABLED": "no"}).wait_ready()
    assert "x-ms-server-version" not in serving.score().headers
    assert "Inferencing HTTP server version: None" in serving.out()


def test_a_logging_file_says_how_lines_are_written(servings: Servings) -> None:
    files = {"logging.json": json.dumps(LOGGING)}
    serving = servings.start("print('hello')\n" + FINE, files=files).wait_ready()
    serving.score()
    serving.wait_for("mine gunicorn.access 127.0.0.1")
    assert "mine azmlinfsrv.print hello\n" in serving.out()
    assert "mine azmlinfsrv POST /score 200 " in serving.out()
    assert f"Loaded logging config from {serving.folder}/logging.json" in serving.out()


def test_a_logging_file_that_cannot_be_followed_is_named(servings: Servings) -> None:
    serving = servings.start(FINE, files={"logging.json": '{"version": 7}'})
    assert serving.exit_code() == 3
    assert f"{serving.folder}/logging.json cannot be used: Unsupported version: 7" in serving.out()
    assert "Traceback" not in serving.out() + serving.err()


def test_a_model_without_a_script_that_nobody_can_load_is_refused(servings: Servings) -> None:
    serving = servings.start(None, "--model-dir", "m", files={"m/weights.bin": "x"})
    assert serving.exit_code() == 3
    assert "Use --entry-script" in serving.out()


def test_a_model_without_a_script_is_served_by_what_can_load_it(servings: Servings) -> None:
    serving = servings.start(None, "--model-dir", "m", files={"m/readme": ""})
    assert serving.exit_code() == 3
    model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
    (serving.folder / "m" / "model.pkl").write_bytes(pickle.dumps(model))
    again = servings.start(None, "--model-dir", str(serving.folder / "m")).wait_ready()
    assert again.score('{"features": [[5.0]]}').json()["prediction"] == [1]
    refused = again.score('{"features": "x"}')
    assert refused.status == 400
    assert "$.features" in refused.body.decode()
