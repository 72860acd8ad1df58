"""What run() is given, by kind of script, method, body and content type; contract 2.4 and 2.5."""

from __future__ import annotations

from typing import Any

import pytest

from tests.acceptance.scoring.conftest import StartReplica
from tests.acceptance.scoring.replicas import Replica

TEXT = """
def init():
    return "ignored"

def run(*, request_headers, anything, more=3):
    return {"given": anything, "more": more, "headers": request_headers}
"""
SCHEMA = """
import numpy as np
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

def init():
    pass

@input_schema("rows", NumpyParameterType(np.array([[1.5, 2.5]])))
@input_schema("factor", StandardPythonParameterType(2.0))
@output_schema(StandardPythonParameterType([1.5]))
def run(rows, request_headers, factor=2.0):
    return {"sums": (rows.sum(axis=1) * factor).tolist(), "type": request_headers.get("Content-Type")}
"""
JSON = {"Content-Type": "application/json"}
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
RUN_FAILED = "An unexpected error occurred in scoring script. Check the logs for more info."


@pytest.fixture(scope="module")
def text(start_shared_replica: StartReplica) -> Replica:
    return start_shared_replica(TEXT).wait_ready()


@pytest.fixture(scope="module")
def exact_text(start_shared_replica: StartReplica) -> Replica:
    return start_shared_replica(TEXT, "--azure-exact").wait_ready()


@pytest.fixture(scope="module")
def schema(start_shared_replica: StartReplica) -> Replica:
    return start_shared_replica(SCHEMA).wait_ready()


@pytest.fixture(scope="module")
def exact_schema(start_shared_replica: StartReplica) -> Replica:
    return start_shared_replica(SCHEMA, "--azure-exact").wait_ready()


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "image/png", FORM, f"{MULTIPART}; boundary=x", ""])
def test_undecorated_script_gets_the_body_as_text_whatever_its_type(text: Replica, kind: str) -> None:
    body = '{"ä": [1, 2.50]} x'
    assert text.call("POST", "/score", body.encode(), {"Content-Type": kind} if kind else {}).json()["given"] == body


@pytest.mark.parametrize(
    "kind", [FORM, f"{FORM}; charset=utf-8", f"{MULTIPART}; boundary=x", "MULTIPART/Form-Data; Boundary=x"]
)
def test_exact_mode_eats_forms(exact_text: Replica, kind: str) -> None:
    assert exact_text.score("a=1", {"Content-Type": kind}).json()["given"] == ""


@pytest.mark.parametrize("kind", ["application/json", "text/plain", MULTIPART, "application/x-www-form"])
def test_exact_mode_leaves_other_types_alone(exact_text: Replica, kind: str) -> None:
    assert exact_text.score("a=1", {"Content-Type": kind}).json()["given"] == "a=1"


def test_exact_mode_reads_the_query_of_a_get_that_is_announced_as_a_form(exact_text: Replica) -> None:
    assert exact_text.call("GET", "/score?a=1", headers={"Content-Type": FORM}).json()["given"] == '{"a": 1}'


@pytest.mark.parametrize(
    ("query", "given"),
    [
        ("", "{}"),
        ("?a=1&b=null&c=true&d=[1,2]&e=x&f=", '{"a": 1, "b": null, "c": true, "d": [1, 2], "e": "x", "f": ""}'),
        ("?a=1&b=2&a=x", '{"a": [1, "x"], "b": 2}'),
        ("?a=%C3%A4+b&g=%FF", '{"a": "\\u00e4 b", "g": "%FF"}'),
        ("?a&=1", '{"a": "", "": 1}'),
        ('?a={"b":1.50}', '{"a": {"b": 1.5}}'),
    ],
)
def test_undecorated_script_gets_the_query_as_json_text(text: Replica, query: str, given: str) -> None:
    query = query.replace('"', "%22").replace("{", "%7B").replace("}", "%7D")
    assert text.call("GET", f"/score{query}").json()["given"] == given


def test_headers_are_there_by_flasks_names_and_the_first_other_parameter_takes_the_body(text: Replica) -> None:
    reply = text.score("x", {"x-ms-thing": "1", "x_thing": "spoofed", "X-Two": "a"}).json()
    assert (reply["given"], reply["more"]) == ("x", 3)
    headers = reply["headers"]
    assert (headers["X-Ms-Thing"], headers["X-Two"], headers["Content-Length"]) == ("1", "a", "1")
    assert "X-Thing" not in headers


@pytest.mark.parametrize("path", ["/score", "/score?a=1"])
def test_options_are_answered_without_the_script(text: Replica, schema: Replica, path: str) -> None:
    for replica in (text, schema):
        reply = replica.call("OPTIONS", path)
        assert (reply.status, reply.body, reply.headers["x-ms-run-function-failed"]) == (200, b"", "False")
        assert reply.headers["x-ms-run-fn-exec-ms"] is None


@pytest.mark.parametrize(
    "kind", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.a+json"]
)
def test_values_are_taken_by_name_and_converted(schema: Replica, kind: str) -> None:
    reply = schema.score('{"rows": [[1, 2], [3, 4.5]], "more": 1}', {"Content-Type": kind})
    assert reply.json() == {"sums": [6.0, 15.0], "type": kind}
    assert reply.headers["x-ms-run-fn-exec-ms"]
    assert schema.score('{"factor": 3, "rows": [[1, 2]]}').json()["sums"] == [9.0]


def test_values_are_taken_from_the_query_of_a_get(schema: Replica) -> None:
    assert schema.call("GET", "/score?rows=[[1,2]]&factor=10").json() == {"sums": [30.0], "type": None}
    assert schema.call("GET", "/score?rows=[1,2]&rows=[3,4]").json()["sums"] == [6.0, 14.0]


REFUSALS = [
    (415, "text/plain", '{"rows": [[1, 2]]}', "Expects Content-Type to be application/json"),
    (415, FORM, '{"rows": [[1, 2]]}', "Expects Content-Type to be application/json"),
    (415, "text/json", '{"rows": [[1, 2]]}', "Expects Content-Type to be application/json"),
    (400, "application/json", "", "POST body is empty. Expecting a JSON dictionary."),
    (400, "application/json", " ", "POST body could not be decoded as JSON: Expecting value: line 1 column 2 (char 1)"),
    (400, "application/json", "{'a': 1}", "POST body could not be decoded as JSON: Expecting property name enclosed"),
    (400, "application/json", b"\xff", "POST body could not be decoded as JSON: 'utf-8' codec can't decode byte 0xff"),
    (400, "application/json", "[" * 100_000, "POST body could not be decoded as JSON: "),
    (400, "application/json", "[[1, 2]]", "POST body should be a JSON dictionary."),
    (400, "application/json", "null", "POST body should be a JSON dictionary."),
    (400, "application/json", '{"factor": 1}', "A value is not provided for the 'rows' parameter."),
    (400, "application/json", '{"request_headers": 1}', "A value is not provided for the 'rows' parameter."),
]


@pytest.mark.parametrize(("status", "kind", "body", "message"), REFUSALS)
def test_what_run_cannot_be_called_with_is_refused(
    schema: Replica, status: int, kind: str, body: Any, message: str
) -> None:
    reply = schema.score(body, {"Content-Type": kind})
    assert (reply.status, reply.headers["x-ms-run-function-failed"]) == (status, "False")
    assert reply.json()["message"].startswith(message)
    assert reply.headers["x-ms-run-fn-exec-ms"] is None


def test_missing_value_in_a_query_is_refused(schema: Replica) -> None:
    reply = schema.call("GET", "/score?factor=1")
    assert (reply.status, reply.json()["message"]) == (400, "A value is not provided for the 'rows' parameter.")


@pytest.mark.parametrize("kind", ["text/plain", "application/json"])
def test_refusal_passes_azures_front_as_a_424_in_exact_mode(exact_schema: Replica, kind: str) -> None:
    status = {"text/plain": "415", "application/json": "400"}[kind]
    reply = exact_schema.score("{", {"Content-Type": kind})
    assert (reply.status, reply.headers["ms-azureml-model-error-statuscode"]) == (424, status)
    assert reply.headers["ms-azureml-model-error-reason"] == "model_error"
    assert reply.headers["x-ms-run-function-failed"] == "False"
    assert "message" in reply.json()
    assert exact_schema.score('{"rows": [[1, 2]]}').status == 200


@pytest.mark.parametrize(
    "body",
    [
        '{"rows": [[1, 2, 3]]}',
        '{"rows": [1, 2]}',
        '{"rows": 5}',
        '{"rows": null}',
        '{"rows": [["x", 1]]}',
        '{"rows": [[1, 2]], "factor": "3"}',
        '{"rows": [[1, 2]], "factor": null}',
    ],
)
def test_value_that_cannot_be_converted_is_a_failure_of_run(schema: Replica, body: str) -> None:
    reply = schema.score(body)
    assert (reply.status, reply.json()["message"]) == (424, RUN_FAILED)
    assert reply.headers["x-ms-run-function-failed"] == "True"
    assert reply.headers["ms-azureml-model-error-statuscode"] == "500"


def test_log_says_what_could_not_be_converted(schema: Replica) -> None:
    schema.score('{"rows": [[1, 2, 3]]}')
    schema.wait_for_log("ValueError: Invalid input array: array has size 3 on dimension #1, while expected value is 2")
    assert "mlctl/scoring" not in schema.log()


@pytest.mark.parametrize(
    ("script", "line"),
    [
        (TEXT, "run() is not decorated. Server will invoke it with the input in JSON string."),
        (
            SCHEMA,
            "run() is decorated with @input_schema. Server will invoke it with the following arguments: rows, factor.",
        ),
    ],
)
def test_log_says_how_run_is_called(start_replica: StartReplica, script: str, line: str) -> None:
    start_replica(script).wait_ready().wait_for_log(line)


def test_script_with_two_required_parameters_starts_and_fails_each_call(start_replica: StartReplica) -> None:
    replica = start_replica("def init(): pass\ndef run(a, b): return 1").wait_ready()
    assert replica.score("x").status == 424
    replica.wait_for_log("TypeError: run() missing 1 required positional argument: 'b'")


def test_coroutine_is_not_awaited(start_replica: StartReplica) -> None:
    replica = start_replica("def init(): pass\nasync def run(raw_data): return 1").wait_ready()
    reply = replica.score("x")
    assert (reply.status, reply.headers["x-ms-run-function-failed"]) == (424, "False")
    replica.wait_for_log("TypeError: Object of type coroutine is not JSON serializable")


def test_script_with_an_output_schema_only_takes_values_by_name(start_replica: StartReplica) -> None:
    script = """
    from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
    from inference_schema.schema_decorators import output_schema

    def init():
        pass

    @output_schema(StandardPythonParameterType(1))
    def run(data, request_headers, count=5):
        return [data, count]
    """
    replica = start_replica(script).wait_ready()
    assert replica.score('{"data": {"a": 1}, "request_headers": 2}').json() == [{"a": 1}, 5]


def test_script_with_a_type_of_its_own_below_a_decorator_of_its_own(start_replica: StartReplica) -> None:
    script = """
    from inference_schema.parameter_types.abstract_parameter_type import AbstractParameterType
    from inference_schema.schema_decorators import input_schema

    class Shout(AbstractParameterType):
        def deserialize_input(self, input_data):
            return str(input_data).upper()

        def input_to_swagger(self):
            return {"type": "string", "example": "hello"}

    def hide(function):
        def inner(data, count):
            return function(data=data, count=count)
        return inner

    def init():
        pass

    @hide
    @input_schema("data", Shout(5.5))
    @input_schema("count", Shout(5.5), optional=True)
    def run(data, count=None):
        return [data, count]
    """
    replica = start_replica(script).wait_ready()
    # The outer function has no default: it is what is called.
    assert replica.score('{"data": "a"}').status == 400
    assert replica.score('{"data": "a", "count": "b"}').json() == ["A", "B"]
    assert replica.score('{"data": [1], "count": 0}').json() == ["[1]", 0]
    schema = replica.call("GET", "/swagger.json").json()["definitions"]["ServiceInput"]
    assert schema["properties"] == {"data": {"type": "string"}, "count": {"type": "string"}}


def test_script_whose_schema_names_no_parameter_does_not_start(start_replica: StartReplica) -> None:
    failure = start_replica(SCHEMA.replace('"factor", Standard', '"fcator", Standard')).failure()
    assert failure["phase"] == "import"
    assert failure["message"] == 'ValueError: Error, provided param_name "fcator" is not in the decorated function.'
    assert failure["frames"][-1]["file"] == "score.py"


def test_both_decorators_are_refused(start_replica: StartReplica) -> None:
    script = SCHEMA.replace("@output_schema", "@rawhttp\n@output_schema").replace(
        "def init", "from azureml_inference_server_http.api.aml_request import rawhttp\n\ndef init"
    )
    assert (
        start_replica(script).failure()["message"] == "run() cannot be decorated with both @rawhttp and @input_schema"
    )
