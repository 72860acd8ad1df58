"""Rows of the scoring contract that no other test is about, against `mlctl serve`: one short test for each.

What differs on purpose stands in docs/scoring.md, below "Differences"; that mlctl does so is checked here as well.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.acceptance.scoring.serving import Serving, Servings
from tests.acceptance.scoring.serving import servings as servings

SHOW = """
import os, sys

def init(): pass

def run(data):
    if data == "sys.path":
        return sys.path
    if data == "modules":
        return [name for name in ("entry_module", "score") if name in sys.modules]
    if data == "fail":
        raise RuntimeError("no")
    return os.environ.get(data)
"""
SIBLING = "NAME = 'from the source directory'"


@pytest.fixture(name="serving", scope="module")
def _serving() -> Iterator[Serving]:
    started = Servings()
    environment = {
        "SERVER_PORT": "1",
        "AZUREML_LOG_LEVEL": "nonsense",
        "AML_DBG_MODEL_INFO": "1",
        "AML_DBG_RESOURCE_INFO": "1",
        "WORKSPACE_NAME": "w",
        "AZUREML_SOURCE_DIRECTORY": "lib",
    }
    yield started.start(SHOW, environment=environment, files={"lib/sibling.py": SIBLING}).wait_ready()
    started.close()


def test_the_port_of_the_environment_has_no_effect(serving: Serving) -> None:
    assert serving.score("SERVER_PORT").json() == str(serving.port)


@pytest.mark.parametrize("name", ["AZUREML_LOG_LEVEL", "AML_DBG_MODEL_INFO", "WORKSPACE_NAME"])
def test_variables_that_mean_nothing_here_reach_the_script(serving: Serving, name: str) -> None:
    assert serving.score(name).json() in ("nonsense", "1", "w")


def test_the_source_directory_is_looked_at_after_installed_packages(serving: Serving) -> None:
    found = serving.score("sys.path").json()
    assert found[-1] == str(serving.folder / "lib")
    assert str(serving.folder) in found[found.index(next(path for path in found if "site-packages" in path)) :]


def test_the_script_is_a_module_of_azures_name(serving: Serving) -> None:
    assert serving.score("modules").json() == ["entry_module"]


def test_a_trace_id_comes_back(serving: Serving) -> None:
    assert serving.score(TraceId="abc").headers["TraceId"] == "abc"
    assert serving.call("GET", "/", TraceId="abc").headers["TraceId"] == "abc"
    assert serving.score().headers["TraceId"] is None


def test_a_script_that_fails_gets_the_ids_and_no_time(serving: Serving) -> None:
    reply = serving.score("fail", x_request_id="mine")
    assert (reply.status, reply.headers["x-request-id"]) == (500, "mine")
    assert reply.headers["x-ms-run-fn-exec-ms"] is None


def test_the_health_page_has_ids_and_version_but_nothing_of_run(serving: Serving) -> None:
    headers = serving.call("GET", "/", x_request_id="mine").headers
    assert headers["x-request-id"] == headers["x-ms-request-id"] == "mine"
    assert headers["x-ms-server-version"].startswith("azmlinfsrv/")
    assert headers["x-ms-run-function-failed"] is None


@pytest.mark.parametrize(("method", "status"), [("PUT", 405), ("DELETE", 405), ("PATCH", 405), ("HEAD", 405)])
def test_score_takes_no_other_methods_and_says_which_it_takes(serving: Serving, method: str, status: int) -> None:
    reply = serving.call(method, "/score")
    assert reply.status == status
    assert {word.strip() for word in reply.headers["allow"].split(",")} == {"GET", "POST", "OPTIONS"}


def test_head_comes_with_get_and_is_refused_by_the_route_itself(serving: Serving) -> None:
    headers = serving.call("HEAD", "/score", x_request_id="mine").headers
    assert (headers["x-request-id"], headers["content-length"]) == (
        "mine",
        str(len('{"message": "Method not allowed"}')),
    )
    serving.wait_for("azmlinfsrv - HEAD /score 405 ")


@pytest.mark.parametrize("path", ["/", "/swagger.json"])
def test_options_say_what_a_route_takes(serving: Serving, path: str) -> None:
    headers = serving.call("OPTIONS", path).headers
    assert (headers["allow"], headers["x-ms-run-function-failed"]) == ("GET, HEAD, OPTIONS", None)


@pytest.mark.parametrize("path", ["//score", "///score"])
def test_a_path_may_begin_with_several_slashes(serving: Serving, path: str) -> None:
    assert serving.call("POST", path, "HOME").status == 200


def test_only_requests_that_reach_a_route_have_a_line_of_the_server(serving: Serving) -> None:
    serving.call("GET", "/swagger.json?version=9")
    serving.call("POST", "/score?long", "x", x_request_id="x" * 101)
    serving.wait_for("POST /score?long HTTP/1.1")
    assert "azmlinfsrv - GET /swagger.json?version=9 404 " in serving.out()
    assert "azmlinfsrv - POST /score?long" not in serving.out()


def test_a_page_of_another_origin_may_read_why_its_ids_are_refused(servings: Servings) -> None:
    serving = servings.start(SHOW, "--access_control_allow_origins", "a.com,").wait_ready()
    headers = serving.score(Origin="a.com", x_request_id="x" * 101).headers
    assert headers["access-control-allow-origin"] == "a.com"
    assert serving.score().headers["access-control-allow-origin"] is None  # as for a list of two


def test_the_servers_own_version_wins_unless_it_is_not_to_be_told(servings: Servings) -> None:
    named = {"HTTP_X_MS_SERVER_VERSION": "mine"}
    serving = servings.start(SHOW, environment=named).wait_ready()
    assert serving.score("HTTP_X_MS_SERVER_VERSION").json() == "azmlinfsrv/1.5.1"
    serving = servings.start(SHOW, environment={**named, "SERVER_VERSION_LOG_RESPONSE_ENABLED": "no"}).wait_ready()
    assert serving.score().headers["x-ms-server-version"] == "mine"


def test_app_insights_are_off_for_anything_but_true(servings: Servings) -> None:
    serving = servings.start(SHOW, environment={"AML_APP_INSIGHTS_ENABLED": "maybe"}).wait_ready()
    assert serving.score("AML_APP_INSIGHTS_ENABLED").json() == "false"


@pytest.mark.parametrize("path", ["/score/", "/scores", "/score//", "/swagger.json/", "/Score"])
def test_other_paths_are_404_in_json(serving: Serving, path: str) -> None:
    reply = serving.call("POST", path, "x")
    assert reply.status == 404
    assert isinstance(json.loads(reply.body)["message"], str)


def test_a_flag_of_the_monitoring_has_to_be_a_yes_or_a_no(servings: Servings) -> None:
    serving = servings.start(SHOW, environment={"AML_MDC_STORAGE_ENABLED": "maybe"})
    assert serving.exit_code() == 3
    assert "AML_MDC_STORAGE_ENABLED" in serving.out()


def test_a_tree_of_the_models_folder_is_cut_after_200_lines(servings: Servings) -> None:
    files = {f"model/{number:03d}.bin": "x" for number in range(300)}
    serving = servings.start(
        "def init(): raise ValueError('no')\ndef run(data): pass", "--model-dir", "model", files=files
    )
    assert serving.exit_code() == 3
    shown = serving.out() + serving.err()
    assert "Model Directory Contents" in shown
    assert 150 < sum(f"{number:03d}.bin" in shown for number in range(300)) <= 200
