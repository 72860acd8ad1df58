"""@rawhttp scripts and response objects; contract 2.5 to 2.7. One replica for most: the query says what to do."""

from __future__ import annotations

import importlib.util
import json
from typing import Any

import pytest

from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.replicas import Replica, Reply

SCRIPT = """
import io, json
from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse

try:
    import flask
except ImportError:
    flask = None

def echo(request):
    return {
        "method": request.method,
        "args": request.args.to_dict(flat=False),
        "text": request.get_data().decode("latin-1"),
        "path": request.path,
        "type": request.content_type,
        "length": request.content_length,
        "thing": request.headers.get("X-Thing"),
        "cookies": dict(request.cookies),
        "is_json": request.is_json,
    }

def form(request):
    files = {name: [file.filename, file.read().decode()] for name, file in request.files.items()}
    return {"form": request.form.to_dict(flat=False), "files": files, "data": request.data.decode()}

def fail():
    raise ValueError("no")
    yield b""

OWN = {"x-request-id": "mine", "X-Ms-Request-Id": "mine", "Connection": "close", "Content-Length": "77",
       "azureml-model-deployment": "mine", "X-Kept": "yes"}
CASES = {
    "echo": echo,
    "form": form,
    "json": lambda request: request.get_json(),
    "text": lambda request: AMLResponse("hällo", 200),
    "bytes": lambda request: AMLResponse(b"\\x00\\xff", 200, {"Content-Type": "image/jpeg"}),
    "lower case type": lambda request: AMLResponse("a,b", 200, {"content-type": "text/csv"}),
    "dumped": lambda request: AMLResponse({"a": [1, "ä"]}, 201, json_str=True),
    "dumped text": lambda request: AMLResponse("a", 200, {}, True),
    "none": lambda request: AMLResponse(None, 404),
    "not found": lambda request: AMLResponse("gone", 404),
    "failed": lambda request: AMLResponse("x", 200, {}, False, True),
    "broken": lambda request: AMLResponse({"m": 1}, 503, json_str=True),
    "headers": lambda request: AMLResponse("x", 200, {"X-Several": "1, 2,3"}),
    "own": lambda request: AMLResponse("four", 200, OWN),
    "no content": lambda request: AMLResponse("x", 204),
    "not modified": lambda request: AMLResponse("x", 304),
    "no status": lambda request: AMLResponse("x", 99),
    "no name": lambda request: AMLResponse("x", 200, {"a b": "1"}),
    "control": lambda request: AMLResponse("x", 200, {"X-A": "\\x07"}),
    "place": lambda request: [request.url, request.environ["REMOTE_PORT"]],
    "no header": lambda request: AMLResponse("x", 200, {"X-A": "\\u20ac"}),
    "two lines": lambda request: AMLResponse("x", 200, {"X-A": "a\\r\\nX-B: b"}),
    "unmade": lambda request: AMLResponse(fail(), 200, {"Content-Length": "0"}),
    "dict": lambda request: {"a": 1},
    "pair": lambda request: ({"a": 1}, 409),
    "generator": lambda request: (number for number in range(2)),
    "raise": lambda request: 1 / 0,
    "flask response": lambda request: flask.Response("f", 202, {"X-B": "1"}, mimetype="text/x"),
    "flask failure": lambda request: flask.Response("f", 500),
    "flask json": lambda request: flask.jsonify({"method": flask.request.method}),
    "flask file": lambda request: flask.send_file(io.BytesIO(b"file body"), mimetype="image/png"),
    "flask abort": lambda request: flask.abort(418),
    "flask stream": lambda request: flask.Response(flask.stream_with_context(iter([flask.request.method, "!"]))),
}

def init():
    pass

@rawhttp
def run(request):
    return CASES[request.args["case"]](request)
"""
EMPTY = "no content", "not modified"
needs_flask = pytest.mark.skipif(importlib.util.find_spec("flask") is None, reason="flask is not installed")


@pytest.fixture(scope="module")
def replica(start_shared_replica: StartReplica) -> Replica:
    return start_shared_replica(SCRIPT).wait_ready()


@pytest.fixture(scope="module")
def exact(start_shared_replica: StartReplica) -> Replica:
    return start_shared_replica(SCRIPT, "--azure-exact").wait_ready()


def _ask(replica: Replica, case: str, method: str = "POST", body: Any = b"", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return replica.call(method, f"/score?case={case.replace(' ', '%20')}", body, named)


def test_script_gets_the_whole_request(replica: Replica) -> None:
    headers = {"Content_Type": "text/x", "X_Thing": "1", "Cookie": "a=b; c=d"}
    assert _ask(replica, "echo&x=%C3%A4&x=2", body=b"\xff{", **headers).json() == {
        "method": "POST",
        "args": {"case": ["echo"], "x": ["ä", "2"]},
        "text": "ÿ{",
        "path": "/score",
        "type": "text/x",
        "length": 2,
        "thing": "1",
        "cookies": {"a": "b", "c": "d"},
        "is_json": False,
    }


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_script_is_called_for_each_method(replica: Replica, method: str) -> None:
    assert _ask(replica, "echo", method).json()["method"] == method


def test_head_calls_the_script_and_drops_the_body(replica: Replica) -> None:
    reply = _ask(replica, "dumped", "HEAD", None)
    assert (reply.status, reply.body, reply.headers["content-type"]) == (201, b"", "application/json")
    assert reply.headers["content-length"] == str(len(_ask(replica, "dumped").body))


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_other_methods_are_405(replica: Replica, method: str) -> None:
    assert _ask(replica, "echo", method).status == 405


def test_forms_and_files_are_parsed(replica: Replica) -> None:
    part = 'Content-Disposition: form-data; name="{}"{}\r\n\r\n{}\r\n'
    body = f"--B\r\n{part.format('f', '; filename=a.txt', 'file body')}--B\r\n{part.format('k', '', 'v')}--B--\r\n"
    reply = _ask(replica, "form", body=body.encode(), Content_Type="multipart/form-data; boundary=B")
    assert reply.json() == {"form": {"k": ["v"]}, "files": {"f": ["a.txt", "file body"]}, "data": ""}
    reply = _ask(replica, "form", body=b"a=1&a=2&b=%20", Content_Type="application/x-www-form-urlencoded")
    assert reply.json() == {"form": {"a": ["1", "2"], "b": [" "]}, "files": {}, "data": ""}


def test_chunked_body_is_there_as_a_whole(replica: Replica) -> None:
    reply = replica.call("POST", "/score?case=echo", iter([b"ab", b"cd"]), {}, encode_chunked=True)
    assert reply.json()["text"] == "abcd"


def test_json_is_parsed_and_a_bad_one_is_a_failure_of_run(replica: Replica) -> None:
    assert _ask(replica, "json", body=b'{"a": 1}', Content_Type="application/json").json() == {"a": 1}
    assert _ask(replica, "json", body=b"{", Content_Type="application/json").status == 424


@pytest.mark.parametrize(
    ("case", "status", "kind", "body"),
    [
        ("text", 200, "text/html; charset=utf-8", "hällo".encode()),
        ("bytes", 200, "image/jpeg", b"\x00\xff"),
        ("lower case type", 200, "text/csv", b"a,b"),
        ("dumped", 201, "application/json", b'{"a": [1, "\\u00e4"]}'),
        ("dumped text", 200, "application/json", b'"a"'),
        ("none", 404, "application/json", b"{}"),
        ("not found", 404, "text/html; charset=utf-8", b"gone"),
        ("dict", 200, "application/json", b'{"a": 1}'),
        ("pair", 409, "application/json", b'{"a": 1}'),
    ],
)
def test_answer_is_what_the_script_returns(replica: Replica, case: str, status: int, kind: str, body: bytes) -> None:
    reply = _ask(replica, case)
    assert (reply.status, reply.headers.get_all("content-type"), reply.body) == (status, [kind], body)
    assert reply.headers["x-ms-run-function-failed"] == "False"
    assert float(reply.headers["x-ms-run-fn-exec-ms"]) >= 0


@pytest.mark.parametrize(("case", "status"), [("failed", 200), ("broken", 503)])
def test_script_says_that_it_failed_and_a_status_of_500_says_so_too(replica: Replica, case: str, status: int) -> None:
    reply = _ask(replica, case)
    assert (reply.status, reply.headers.get_all("x-ms-run-function-failed")) == (status, ["True"])


def test_value_of_a_header_is_cut_at_commas(replica: Replica) -> None:
    assert _ask(replica, "headers").headers.get_all("x-several") == ["1", "2", "3"]


def test_script_cannot_speak_for_the_server(replica: Replica) -> None:
    reply = _ask(replica, "own", x_request_id="abc")
    assert reply.headers.get_all("x-request-id") == reply.headers.get_all("x-ms-request-id") == ["abc"]
    assert reply.headers.get_all("azureml-model-deployment") == ["blue"]
    assert reply.headers.get_all("content-length") == ["4"]
    assert reply.headers.get_all("connection") is None
    assert (reply.headers["x-kept"], reply.body) == ("yes", b"four")


@pytest.mark.parametrize("case", EMPTY)
def test_status_without_content_has_no_body(replica: Replica, case: str) -> None:
    connection = replica.connect()
    for _ in range(2):  # a body would be taken for the next answer
        connection.request("POST", f"/score?case={case.replace(' ', '%20')}")
        response = connection.getresponse()
        assert (response.read(), response.headers["content-length"]) == (b"", None)


def test_not_modified_has_no_type(replica: Replica) -> None:
    assert _ask(replica, "not modified").headers["content-type"] is None


def test_script_knows_the_clients_scheme_from_a_front_on_this_machine(replica: Replica) -> None:
    url, port = _ask(replica, "place", Host="a.com", X_Forwarded_Proto="https").json()
    assert url.startswith("https://a.com/score")
    assert port.isdecimal()
    assert _ask(replica, "place", Host="a.com").json()[0].startswith("http://")


@pytest.mark.parametrize("case", ["no status", "no header", "no name", "control"])
def test_response_that_is_no_http_is_an_internal_error(replica: Replica, case: str) -> None:
    reply = _ask(replica, case)
    assert (reply.status, reply.headers["x-ms-run-function-failed"]) == (424, "False")
    assert reply.json()["message"].startswith("An unexpected internal error occurred.")


@pytest.mark.parametrize("case", ["raise", "two lines"])
def test_exception_is_a_failure_of_run(replica: Replica, case: str) -> None:
    reply = _ask(replica, case)
    assert (reply.status, reply.headers["x-ms-run-function-failed"]) == (424, "True")
    assert reply.headers["x-b"] is None


def test_generator_that_is_no_response_is_an_internal_error(replica: Replica) -> None:
    assert _ask(replica, "generator").status == 424
    replica.wait_for_log("TypeError: Object of type generator is not JSON serializable")


@pytest.mark.parametrize(
    ("case", "status"), [("dumped", "201"), ("not found", "404"), ("broken", "503"), ("no content", "204")]
)
def test_azures_front_passes_no_status_but_200_in_exact_mode(exact: Replica, case: str, status: str) -> None:
    reply = _ask(exact, case)
    assert (reply.status, reply.headers["ms-azureml-model-error-statuscode"]) == (424, status)
    assert reply.body == _ask(exact, case).body
    assert _ask(exact, "text").status == 200


def test_pair_is_a_list_in_exact_mode(exact: Replica) -> None:
    reply = _ask(exact, "pair")
    assert (reply.status, reply.json()) == (200, [{"a": 1}, 409])


def test_headers_are_given_beside_the_request(start_replica: StartReplica) -> None:
    script = """
    from azureml.contrib.services.aml_request import AMLRequest, rawhttp

    def init():
        pass

    @rawhttp
    def run(request_headers, req: AMLRequest):
        return [req.method, request_headers["X-Thing"]]
    """
    replica = start_replica(script).wait_ready()
    assert replica.score("x", {"X-Thing": "1"}).json() == ["POST", "1"]
    replica.wait_for_log("run() is decorated with @rawhttp. Server will invoke it with the flask request object.")


def test_response_object_of_a_script_that_is_not_raw(start_replica: StartReplica) -> None:
    script = """
    import json
    from azureml.contrib.services.aml_response import AMLResponse

    def init():
        pass

    def run(raw_data):
        return AMLResponse(json.loads(raw_data), 202, {"X-A": "1"}, json_str=True)
    """
    reply = start_replica(script).wait_ready().score('{"a": 1}')
    assert (reply.status, reply.json(), reply.headers["x-a"]) == (202, {"a": 1}, "1")


def test_input_is_not_parsed_whatever_its_size(replica: Replica) -> None:
    body = json.dumps({"a": "x" * 3_000_000}).encode()
    assert len(_ask(replica, "echo", body=body).json()["text"]) == len(body)


@needs_flask
@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize(
    ("case", "status", "kind", "body"),
    [
        ("flask response", 202, "text/x; charset=utf-8", b"f"),
        ("flask failure", 500, "text/html; charset=utf-8", b"f"),
        ("flask json", 200, "application/json", None),
        ("flask file", 200, "image/png", b"file body"),
        ("flask abort", 424, "application/json", None),
        ("flask stream", 200, "text/html; charset=utf-8", None),
    ],
)
def test_what_flask_offers_works(
    replica: Replica, method: str, case: str, status: int, kind: str, body: bytes | None
) -> None:
    reply = _ask(replica, case, method)
    assert (reply.status, reply.headers["content-type"]) == (status, kind)
    if body is not None:
        assert reply.body == body
    if status >= 424:
        assert reply.headers["x-ms-run-function-failed"] == "True"
    if case in ("flask json", "flask stream"):
        assert method in reply.body.decode()
