"""Jobs of batch endpoints over HTTP: real daemon, Envoy, jobs service and jobs."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import requests

from mlctl.registry import jobs
from mlctl.registry.store import Store
from tests.acceptance.conftest import Machine, boot
from tests.waiting import wait_until

SCRIPT = """
import os, pathlib, time

def init():
    pass

def run(paths):
    while os.environ.get("WAITS") and not pathlib.Path(os.environ["WAITS"]).exists():
        time.sleep(0.01)
    return [os.path.basename(path) + os.environ.get("SCALE", "") for path in paths]
"""
NAME = ("-n", "fraud-batch")
DEADLINE_S = 60


@dataclass
class Api:
    """A client of the endpoint's scoring URI."""

    machine: Machine
    uri: str
    token: str

    def send(
        self,
        method: str = "POST",
        path: str = "",
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] = {},
    ) -> requests.Response:
        sent = {"Authorization": f"Bearer {token or self.token}", "Content-Type": "application/json", **headers}
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        with requests.Session() as http:
            http.trust_env = False
            return http.request(method, self.uri + path, data=data, headers=sent, timeout=DEADLINE_S)

    def start(self, *, headers: Mapping[str, str] = {}, **more: Any) -> requests.Response:
        given = {"InputData": {"in": {"JobInputType": "UriFolder", "Uri": str(self.machine.work / "tx")}}, **more}
        return self.send(body={"properties": given}, headers=headers)

    def wait(self, job: str) -> dict[str, Any]:
        def has_ended() -> bool:
            return self.send("GET", f"/{job}").json()["status"] in ("Completed", "Failed", "Canceled")

        wait_until(has_ended, DEADLINE_S)
        return self.send("GET", f"/{job}").json()

    def count(self) -> int:
        return len(self.send("GET", "?$top=1000").json()["value"])


def prepare(machine: Machine) -> Api:
    machine.write_script(SCRIPT)
    (machine.work / "tx").mkdir()
    for name in ("a", "b", "c"):
        (machine.work / "tx" / name).write_text(name)
    machine.ok("batch", "create", *NAME)
    for name, variables in (("classic", {}), ("slow", {"WAITS": str(machine.work / "go")}), ("other", {"SCALE": "!"})):
        document = {
            "name": name,
            "endpoint_name": "fraud-batch",
            "code_configuration": {"code": "./src", "scoring_script": "score.py"},
            "environment": {"image": "python:3.11"},
            "environment_variables": variables,
        }
        path = machine.work / f"{name}.yml"
        path.write_text(json.dumps(document))
        machine.ok("batch-deployment", "create", "-f", str(path), *(["--set-default"] if name == "classic" else []))
    uri = machine.ok("batch", "show", *NAME, "--query", "scoring_uri", "-o", "tsv").out.strip()
    return Api(machine, uri, get_token(machine))


def get_token(machine: Machine, name: str = "fraud-batch") -> str:
    return machine.ok("batch", "get-credentials", "-n", name, "--query", "accessToken", "-o", "tsv").out.strip()


@pytest.fixture(scope="module")
def _served() -> Iterator[Api]:
    with boot() as machine:
        yield prepare(machine)


@pytest.fixture
def api(_served: Api) -> Api:
    return _served


def scores(api: Api, job: str) -> list[str]:
    return (api.machine.home / "jobs" / job / "score" / "predictions.csv").read_text().splitlines()


def test_a_job_is_started_shown_and_listed(api: Api):
    answer = api.start()
    assert answer.status_code == 201
    made = answer.json()
    name = made["name"]
    assert made["id"].endswith(f"/jobs/{name}")
    assert (made["type"], made["status"]) == ("pipeline", made["properties"]["status"])
    assert answer.headers["location"] == f"{api.uri}/{name}"
    shown = api.wait(name)
    assert (shown["status"], shown["properties"]["status"]) == ("Completed", "Completed")
    assert scores(api, name) == ["a", "b", "c"]
    assert name in [found["name"] for found in api.send("GET").json()["value"]]
    assert name in [found["name"] for found in api.machine.ok("batch", "list-jobs", *NAME).json]


def test_the_header_names_a_deployment_and_the_body_overrides(api: Api):
    answer = api.start(
        miniBatchSize=1,
        outputFileName="rows.csv",
        OutputData={"score": {"JobOutputType": "UriFile", "Uri": str(api.machine.work / "out")}},
        headers={"azureml-model-deployment": "OTHER"},
    )
    assert answer.status_code == 201, answer.text
    shown = api.wait(answer.json()["name"])["properties"]
    assert shown["properties"]["azureml.deploymentname"] == "other"
    assert shown["properties"]["mlctl.mini_batches_total"] == "3"
    assert sorted((api.machine.work / "out" / "rows.csv").read_text().split()) == ["a!", "b!", "c!"]


@pytest.mark.parametrize("header", ["repeatability-request-id", "repeatability_request-id"])
def test_a_repeated_request_is_one_job(api: Api, header: str):
    before = api.count()
    found: list[str] = []

    def start() -> None:
        found.append(api.start(headers={header: f"id of {header}"}).json()["name"])

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 1
    assert api.count() == before + 1
    assert api.start(headers={header: "another one"}).json()["name"] != found[0]


def test_a_given_name_is_one_job(api: Api):
    first, again = api.start(name="november"), api.start(name="november")
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["name"] == again.json()["name"] == "november"
    other = api.start(name="november", miniBatchSize=1)
    assert (other.status_code, other.json()["error"]["code"]) == (409, "Conflict")
    assert "it does something else" in other.json()["error"]["message"]


PIPELINE: dict[str, Any] = {
    "type": "pipeline",
    "inputs": {
        "folder": {"type": "uri_folder"},
        "count": {"type": "integer"},
        "word": {"type": "string", "default": "x"},
    },
    "outputs": {"text": {"type": "uri_folder"}},
    "jobs": {
        "write": {
            "type": "command",
            "command": "echo $(ls ${{inputs.folder}}) ${{inputs.count}} ${{inputs.word}} > ${{outputs.out}}/text.txt",
            "inputs": {
                "folder": "${{parent.inputs.folder}}",
                "count": "${{parent.inputs.count}}",
                "word": "${{parent.inputs.word}}",
            },
            "outputs": {"out": "${{parent.outputs.text}}"},
        }
    },
}


def test_a_pipeline_is_given_literals_and_data(api: Api):
    machine = api.machine
    (machine.work / "pipeline.yml").write_text(json.dumps(PIPELINE))
    document = {"name": "dpl", "endpoint_name": "fraud-batch", "type": "pipeline", "component": "./pipeline.yml"}
    (machine.work / "dpl.yml").write_text(json.dumps(document))
    machine.ok("batch-deployment", "create", "-f", str(machine.work / "dpl.yml"))
    given: dict[str, Any] = {
        "inputData": {
            "folder": {"jobInputType": "UriFolder", "uri": str(machine.work / "tx")},
            "count": {"jobInputType": "Literal", "value": 3},
            "word": {"jobInputType": "Literal", "value": "no"},
        },
        "outputData": {"text": {"jobOutputType": "UriFolder", "uri": str(machine.work / "texts")}},
        "name": "piped",
    }
    header = {"azureml-model-deployment": "dpl"}
    for _ in range(2):
        answer = api.send(body={"properties": given}, headers=header)
        assert (answer.status_code, answer.json().get("name")) == (201, "piped"), answer.text
    assert api.wait("piped")["status"] == "Completed"
    assert (machine.work / "texts" / "text.txt").read_text() == "a b c 3 no\n"
    given["inputData"]["count"]["value"] = "many"
    answer = api.send(body={"properties": {**given, "name": None}}, headers=header)
    assert answer.status_code == 400
    assert "count" in answer.json()["error"]["message"]


def test_without_a_token_there_is_nothing(api: Api):
    api.machine.create_endpoint()
    key = api.machine.key()
    for token in ("nonsense", key, api.token[:-3] + "abc"):
        assert api.send("GET", token=token).status_code == 401
    with requests.Session() as http:
        http.trust_env = False
        assert http.get(api.uri, timeout=DEADLINE_S).status_code == 401
        unknown = api.uri.replace("fraud-batch", "nothing")
        assert (
            http.get(unknown, headers={"Authorization": f"Bearer {api.token}"}, timeout=DEADLINE_S).status_code == 401
        )


def test_a_token_opens_its_own_endpoint_only(api: Api):
    api.machine.ok("batch", "create", "-n", "other-batch")
    other = get_token(api.machine, "other-batch")
    answer = api.send("GET", token=other)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "Forbidden")
    mine = Api(api.machine, api.uri.replace("fraud-batch", "other-batch"), other)
    assert mine.send("GET").json() == {"value": []}
    job = api.start().json()["name"]
    assert mine.send("GET", f"/{job}").status_code == 404


def test_an_online_endpoint_may_be_called_the_same_and_keeps_its_own_tokens(api: Api):
    flags = ("-n", "same-name")
    api.machine.ok("endpoint", "create", *flags, "--auth-mode", "aad_token")
    api.machine.ok("batch", "create", *flags)
    online = api.machine.ok("endpoint", "get-credentials", *flags).json["accessToken"]
    batch = get_token(api.machine, "same-name")
    jobs_of = Api(api.machine, api.uri.replace("fraud-batch", "same-name"), batch)
    assert jobs_of.send("GET").status_code == 200
    assert jobs_of.send("GET", token=online).status_code == 403
    score = f"http://127.0.0.1:{api.machine.port}/endpoints/same-name/score"
    with requests.Session() as http:
        http.trust_env = False
        statuses = [
            http.post(score, headers={"Authorization": f"Bearer {token}"}, timeout=DEADLINE_S).status_code
            for token in (batch, online)
        ]
    assert statuses == [403, 404]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "reason"),
    [
        ("POST", "", b"{", 400, "UserError", "not JSON"),
        ("POST", "", {}, 400, "UserError", "there is no input"),
        ("POST", "", {"properties": {"inputs": {}}}, 400, "UserError", "properties.inputs: unknown field"),
        (
            "POST",
            "",
            {"properties": {"InputData": {"a": {"JobInputType": "UriFile", "Uri": "/nowhere/rows.csv"}}}},
            400,
            "UserError",
            "/nowhere/rows.csv does not exist",
        ),
        ("POST", "", b" " * (1 << 21), 413, "PayloadTooLarge", "larger than 1 MiB"),
        ("GET", "/no-such-job", None, 404, "NotFound", "fraud-batch has no job no-such-job"),
        ("GET", "?$top=many", None, 400, "UserError", "$top: many is not a whole number"),
        ("DELETE", "", None, 405, "MethodNotAllowed", "DELETE"),
        ("GET", "/a/b", None, 404, "NotFound", "nothing here"),
    ],
)
def test_what_is_wrong_is_told_as_azure_tells_it(
    api: Api, method: str, path: str, body: Any, status: int, code: str, reason: str
):
    answer = api.send(method, path, body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert reason in answer.json()["error"]["message"]


def test_a_body_that_comes_in_pieces_is_bounded_as_well(api: Api):
    headers = {"Authorization": f"Bearer {api.token}"}
    with requests.Session() as http:
        http.trust_env = False
        answer = http.post(api.uri, data=(b" " * 65536 for _ in range(40)), headers=headers, timeout=DEADLINE_S)
    assert answer.status_code == 413


def test_the_message_is_the_commands(api: Api):
    api.machine.ok("batch", "create", "-n", "empty-batch")
    empty = Api(api.machine, api.uri.replace("fraud-batch", "empty-batch"), get_token(api.machine, "empty-batch"))
    answer = empty.start()
    ran = api.machine.run("batch", "invoke", "-n", "empty-batch", "--input", str(api.machine.work / "tx"))
    assert answer.status_code == 400
    assert answer.json()["error"]["message"] in ran.err


def test_a_list_comes_in_pages(api: Api):
    for _ in range(3 - min(3, api.count())):
        api.start()
    every = [found["name"] for found in api.send("GET", "?$top=1000").json()["value"]]
    seen: list[str] = []
    page = api.send("GET", "?$top=2").json()
    while True:
        seen += [found["name"] for found in page["value"]]
        if "nextLink" not in page:
            break
        page = api.send("GET", page["nextLink"].removeprefix(api.uri)).json()
    assert seen == every


def pid_of_service(machine: Machine) -> int:
    return machine.pid("jobs")


def test_jobs_are_shown_whatever_is_started_anew(api: Api):
    machine = api.machine
    job = api.start(headers={"azureml-model-deployment": "slow"}).json()["name"]
    before = pid_of_service(machine)
    machine.ok("daemon", "restart")
    # Asked at once: the request waits for the new service.
    assert api.send("GET", f"/{job}").json()["name"] == job
    wait_until(lambda: pid_of_service(machine) != before, DEADLINE_S)
    os.kill(pid_of_service(machine), signal.SIGKILL)
    assert api.send("GET", f"/{job}").json()["name"] == job
    machine.kill("daemon")
    assert api.send("GET", f"/{job}").json()["name"] == job
    machine.ok("daemon", "start")
    (machine.work / "go").touch()
    assert api.wait(job)["status"] == "Completed"


def test_a_job_outlives_the_daemon(api: Api):
    machine = api.machine
    (machine.work / "go").unlink(missing_ok=True)
    job = api.start(headers={"azureml-model-deployment": "slow"}).json()["name"]
    machine.ok("daemon", "stop")
    (machine.work / "go").touch()
    with Store(machine.home / "registry.db") as store:
        wait_until(lambda: jobs.get(store, job).state == "Completed", DEADLINE_S)
    api.token = get_token(machine)
    assert api.send("GET", f"/{job}").json()["status"] == "Completed"


def test_a_deleted_endpoint_answers_no_more(api: Api):
    machine = api.machine
    machine.ok("batch", "create", "-n", "short-lived")
    gone = Api(machine, api.uri.replace("fraud-batch", "short-lived"), get_token(machine, "short-lived"))
    assert gone.send("GET").status_code == 200
    machine.ok("batch", "delete", "-n", "short-lived", "--yes")
    wait_until(lambda: gone.send("GET").status_code == 401, DEADLINE_S)


def test_no_token_is_in_a_log(api: Api):
    api.start()
    for path in (api.machine.home / "logs").rglob("*.log"):
        assert api.token not in path.read_text(errors="replace")
