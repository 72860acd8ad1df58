"""Answers of `mlctl serve` and of Azure's own server, asked the same things side by side.

Equal: status, body, headers. What docs/scoring.md lists as different is asserted to be so, on both sides. How the two
start, log and end: `test_beside_azure_runs`.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from tests.acceptance.scoring.azure_scripts import (
    CORS,
    DRIVER,
    HEADERS,
    PLAIN,
    RAW,
    RAW_ANSWERS,
    RAW_READS,
    RESULTS,
    SCHEMAS,
    TWO_REQUIRED,
)
from tests.acceptance.scoring.beside_azure import Ask, Broken, Heard, Pair, Pairs, send, start_pairs
from tests.acceptance.scoring.raw_clients import receive_all
from tests.acceptance.scoring.replicas import DEADLINE_S
from tests.acceptance.scoring.serving import Serving, Servings

# The first test of a process makes Azure's venv.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
pairs = pytest.fixture(start_pairs, scope="module", name="pairs")
INTERNAL = b'{"message": "An unexpected internal error occurred. Check the logs for more info."}'
JSON = (("Content-Type", "application/json"),)
FORM = (("Content-Type", "application/x-www-form-urlencoded"),)
PARTS = (("Content-Type", "multipart/form-data; boundary=b"),)
PARTS_BODY = (
    b'--b\r\nContent-Disposition: form-data; name="f"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\nhello\r\n'
    b'--b\r\nContent-Disposition: form-data; name="x"\r\n\r\n1\r\n--b--\r\n'
)


def post(body: str | bytes, *headers: tuple[str, str], path: str = "/score", kind: Any = JSON) -> Ask:
    return Ask("POST", path, body.encode() if isinstance(body, str) else body, (*kind, *headers))


def get(path: str, *headers: tuple[str, str]) -> Ask:
    return Ask("GET", path, None, headers)


def assert_same(pair: Pair, ask: Ask) -> Heard:
    azure, mlctl = pair.ask(ask)
    assert mlctl == azure
    return mlctl


def _start(pairs: Pairs, script: str, **options: Any) -> Pair:
    return pairs.start(script, **options).wait_ready()


@pytest.fixture(name="plain", scope="module")
def _plain(pairs: Pairs) -> Pair:
    return _start(pairs, PLAIN, environment={"SCORING_TIMEOUT_MS": "700"})


@pytest.fixture(name="raw", scope="module")
def _raw(pairs: Pairs) -> Pair:
    return _start(pairs, RAW)


@pytest.fixture(name="headers", scope="module")
def _headers(pairs: Pairs) -> Pair:
    return _start(pairs, HEADERS)


@pytest.fixture(name="numpy", scope="module")
def _numpy(pairs: Pairs) -> Pair:
    return _start(pairs, SCHEMAS["numpy"])


@pytest.fixture(name="as_endpoint", scope="module")
def _as_endpoint() -> Iterator[Serving]:
    """What a replica answers, but for statuses that the gateway is there for."""
    servings = Servings()
    yield servings.start(PLAIN, "--plain").wait_ready()
    servings.close()


# What run() returns and raises


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_of_run(plain: Pair, name: str) -> None:
    heard = assert_same(plain, post(name))
    if name not in ("sleep", "own timeout", "raise", "stop iteration", "recursion"):
        assert heard.status == 200 or heard.body == INTERNAL


@pytest.mark.parametrize("name", ["exit", "interrupt"])
def test_an_exit_has_gunicorns_page_here_with_ids(plain: Pair, name: str) -> None:
    azure, mlctl = plain.ask(post(name))
    assert (mlctl.status, mlctl.body) == (azure.status, azure.body)
    assert (azure.header("x-request-id"), mlctl.header("x-request-id")) == (None, "UUID")
    assert mlctl.header("x-ms-run-function-failed") is azure.header("x-ms-run-function-failed") is None


def test_a_worker_that_dies_gives_no_answer_and_is_replaced(plain: Pair) -> None:
    for serving in (plain.azure, plain.mlctl):
        with pytest.raises(OSError, match=r"."):
            send(serving.port, post("kill"))
    assert_same(plain, post("x"))


def test_where_the_script_lies_differs_in_two_things(plain: Pair) -> None:
    azure, mlctl = plain.ask(post("folder in sys.path"))
    assert (azure.body, mlctl.body) == (b"2", b"1")
    azure, mlctl = plain.ask(post("entry_module"))
    assert (azure.body, mlctl.body) == (b"false", b"true")


def test_a_second_required_parameter_fails_at_each_call(pairs: Pairs) -> None:
    assert assert_same(_start(pairs, TWO_REQUIRED), post("x")).status == 500


def test_run_of_a_driver_module(pairs: Pairs) -> None:
    assert assert_same(_start(pairs, DRIVER), post("x")).body == b'["inner", "x"]'


# Differences that are marked with a star: as Azure, but for --plain and endpoints


@pytest.mark.parametrize(
    ("name", "azures", "plains"),
    [
        ("json text", (200, b'"{\\"a\\": 1}"'), (200, b'{"a": 1}')),
        ("tuple", (200, b'[{"a": 1}, 404]'), (404, b'{"a": 1}')),
        ("array", (500, INTERNAL), (200, b"[1]")),
        ("int64", (500, INTERNAL), (200, b"1")),
        ("numpy keys", (500, INTERNAL), (200, b'{"1": 2}')),
        ("own timeout", (500, b'{"message": "Scoring timeout after 700 ms"}'), None),
    ],
)
def test_endpoints_here_answer_as_the_table_says(
    plain: Pair, as_endpoint: Serving, name: str, azures: tuple[int, bytes], plains: tuple[int, bytes] | None
) -> None:
    azure, mlctl, endpoint = *plain.ask(post(name)), send(as_endpoint.port, post(name))
    assert (azure.status, azure.body) == (mlctl.status, mlctl.body) == azures
    if plains is None:
        assert b"unexpected error occurred in scoring script" in endpoint.body
    else:
        assert (endpoint.status, endpoint.body) == plains


def test_forms_reach_run_at_endpoints_here(plain: Pair, as_endpoint: Serving) -> None:
    ask = post("a=1", kind=FORM)
    assert assert_same(plain, ask).body == b'["str", ""]'
    assert send(as_endpoint.port, ask).body == b'["str", "a=1"]'


# Requests to scripts that take text


@pytest.mark.parametrize(
    "kind",
    [
        *(
            "",
            "text/plain",
            "application/json; charset=utf-16",
            "application/octet-stream",
            "multipart/mixed; boundary=q",
        ),
        *("application/x-www-form-urlencoded", "Application/X-WWW-form-urlencoded; charset=utf-8"),
        *(" application/x-www-form-urlencoded ;x=y", "application/x-www-form-urlencoded, text/plain"),
        *("multipart/form-data; boundary=q", 'multipart/form-data; Boundary="q"', "multipart/form-data"),
        *("multipart/form-data; boundary=", 'multipart/form-data; boundary=""', "multipart/form-data; xboundary=q"),
    ],
)
def test_a_content_type(plain: Pair, kind: str) -> None:
    assert_same(plain, post("a=1", kind=(("Content-Type", kind),)))


@pytest.mark.parametrize(
    "body", [None, b"", b"\xff\xfe", b"abc\xc3", b"\xef\xbb\xbf{}", b"\0", b"a\r\nb", b"9" * 70_000]
)
def test_a_body(plain: Pair, body: bytes | None) -> None:
    assert_same(plain, Ask(body=body, headers=JSON))
    assert_same(plain, Ask(body=body))
    assert_same(plain, Ask(body=body, headers=FORM))


@pytest.mark.parametrize(
    "query",
    [
        *("", "?", "?a=1", "?a=1&a=2", "?a=[1,2]&b=x&c=null", "?a", "?a=&b", "?=1", "?a=%C3%A9", "?a=%FF", "?a=1;b=2"),
        *(
            "?a+b=c+d",
            "?a=NaN",
            "?a=1e400",
            "?a=%22x%22",
            "?a=%7B%22b%22%3A1%7D",
            "?a=1%23b",
            "?A=1&a=2",
            "?a=%",
            "?a=%zz",
        ),
        *("?a[]=1&a[]=2", "?a=1&&b=2", "?a=true&b=True", "?a==b", "?a=01&b=%201", "?a=%00", "?a=-Infinity"),
    ],
)
def test_a_query(plain: Pair, query: str) -> None:
    assert assert_same(plain, get(f"/score{query}")).status == 200


def test_a_query_too_deep_to_parse_stays_text_here(plain: Pair) -> None:
    azure, mlctl = plain.ask(get("/score?a=" + "[" * 2000))
    assert (azure.status, azure.body, mlctl.status) == (500, INTERNAL, 200)


# Routes and methods


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/score", "/swagger.json", "/nope", "/?a=1"])
@pytest.mark.parametrize("kind", ["plain", "raw"])
def test_a_method(request: pytest.FixtureRequest, kind: str, method: str, path: str) -> None:
    azure, mlctl = request.getfixturevalue(kind).ask(Ask(method, path, b"" if method == "POST" else None))
    if azure.status == 405:
        assert azure.header("allow") is None
        assert mlctl.allows >= {"GET", "OPTIONS"}
        azure, mlctl = azure.without("allow"), mlctl.without("allow")
    assert mlctl == azure


@pytest.mark.parametrize(
    "path",
    [
        *("/score/", "//score", "///score", "//", "//swagger.json", "/Score", "/score//", "/./score", "/%73core"),
        *(
            "/score%20",
            "/score;a",
            "/swagger.json/",
            "/metrics",
            "/static",
            "/static/x",
            "/favicon.ico",
            "/score%00",
            "/%",
        ),
        *("http://localhost/score", "//localhost/score", "/a%2Fb", "/swagger"),
    ],
)
def test_a_path(plain: Pair, path: str) -> None:
    assert_same(plain, get(path))


def test_flasks_own_route_for_files_is_not_there(plain: Pair) -> None:
    azure, mlctl = plain.ask(post("x", path="/static/x"))
    assert (azure.status, mlctl.status) == (405, 404)


# Ids, trace and other headers

LONG, TOO_LONG = "x" * 100, "x" * 101


@pytest.mark.parametrize(
    "sent",
    [
        {},
        *({"x-request-id": value} for value in ("abc", LONG, TOO_LONG, "a b/c;d", "\xe9")),
        *({"x-ms-request-id": value} for value in ("m", "", LONG, TOO_LONG)),
        *({"x-ms-client-request-id": value} for value in ("c-1_D", "", LONG, TOO_LONG)),
        {"x-ms-request-id": "m", "x-ms-client-request-id": "c"},
        {"x-request-id": "r", "x-ms-request-id": "m", "x-ms-client-request-id": "c"},
        {"x-request-id": TOO_LONG, "x-ms-request-id": TOO_LONG},
        {"x-request-id": "r", "x-ms-request-id": TOO_LONG},
        {"x-ms-client-request-id": TOO_LONG, "x-ms-request-id": "m"},
        *({"TraceId": value} for value in ("t", "")),
        {"traceid": "t"},
    ],
)
@pytest.mark.parametrize("route", ["POST /score", "GET /", "GET /swagger.json", "GET /nope", "POST /score that fails"])
def test_ids(plain: Pair, sent: dict[str, str], route: str) -> None:
    method, path = route.split()[:2]
    body = (b"raise" if "fails" in route else b"x") if method == "POST" else None
    heard = assert_same(plain, Ask(method, path, body, tuple(sent.items())))
    assert path == "/nope" or heard.status in (200, 431, 500)


@pytest.mark.parametrize(
    ("sent", "name", "azures", "mlctls"),
    [
        ([("x-request-id", "")], "x-request-id", None, "UUID"),
        ([("x-request-id", "a"), ("x-request-id", "b")], "x-request-id", "a,b", "b"),
        ([("TraceId", "a"), ("TraceId", "b")], "traceid", "a,b", "b"),
        ([("x-ms-client-request-id", "a b/c_d")], "x-ms-client-request-id", "a b/c_d", "abc_d"),
        ([("x-ms-client-request-id", "!!")], "x-ms-client-request-id", "!!", None),
    ],
)
def test_ids_that_are_told_otherwise_here(
    plain: Pair, sent: list[tuple[str, str]], name: str, azures: str | None, mlctls: str | None
) -> None:
    azure, mlctl = plain.ask(post("x", *sent))
    assert (azure.header(name), mlctl.header(name)) == (azures, mlctls)


@pytest.mark.parametrize(
    "sent",
    [
        [("X-A", "1"), ("X-A", "2")],
        [("Cookie", "a=1"), ("Cookie", "b=2")],
        [("X_A", "1")],
        [("X-A", "  1  ")],
        [("X-A", "")],
        [("X-A", "\xe9")],
        [("x-FOO-bar", "1"), ("x-1a", "1"), ("accept", "*/*"), ("user-agent", "u")],
        [("X-Forwarded-Proto", "https"), ("X-Forwarded-For", "1.2.3.4"), ("Authorization", "Bearer x")],
        [("TE", "trailers"), ("Content-Encoding", "gzip")],
    ],
)
def test_request_headers(headers: Pair, sent: list[tuple[str, str]]) -> None:
    assert assert_same(headers, post("x", *sent)).status == 200
    assert_same(headers, get("/score", *sent))


def test_a_wish_for_another_protocol_is_not_passed_on_here(headers: Pair) -> None:
    azure, mlctl = headers.ask(post("x", ("Connection", "Upgrade"), ("Upgrade", "h2c")))
    assert [item for item in json.loads(azure.body) if item not in json.loads(mlctl.body)] == [["Upgrade", "h2c"]]


# What is no HTTP, or more of it than gunicorn takes


@pytest.mark.parametrize(
    ("head", "azures", "mlctls"),
    [
        ("FOO /score HTTP/1.1", 405, 400),
        ("get /score HTTP/1.1", 400, 400),
        ("GET * HTTP/1.1", 400, 404),
        ("GET /score?a=" + "9" * 5000 + " HTTP/1.1", 414, 200),
        ("GET /score HTTP/1.1\r\n" + "\r\n".join(f"X-{number}: 1" for number in range(110)), 431, 200),
        ("GET /score HTTP/1.1\r\nX-A: " + "9" * 9000, 431, 200),
        ("GET /score HTTP/1.1\r\nExpect: x", 417, 200),
        ("GET /score HTTP/1.1\r\nContent-Type: a/b\r\nContent-Type: c/d", 400, 200),
        ("GET /score HTTP/1.1\r\nno colon", 400, 400),
    ],
)
def test_what_the_servers_below_make_of_odd_http(plain: Pair, head: str, azures: int, mlctls: int) -> None:
    found = [_send_head(serving.port, head) for serving in (plain.azure, plain.mlctl)]
    assert [status for status, _ in found] == [azures, mlctls]
    if mlctls >= 400:
        assert "message" in json.loads(found[1][1])


def _send_head(port: int, head: str) -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", port), DEADLINE_S) as client:
        client.sendall(f"{head}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        answer, _, body = receive_all(client).partition(b"\r\n\r\n")
    return int(answer.split()[1]), body


# @input_schema

BODIES: dict[str, list[Any]] = {
    "numpy": [
        *(
            {"data": value}
            for value in ([[1, 2]], [[1, 2], [3, 4]], [[1]], [1, 2], "x", [["a", "b"]], None, [], {"a": 1})
        ),
        *({"data": value} for value in ([[1.5, float("nan")]], [[10**400, 1]], [[True, False]])),
        *({}, {"x": 1}, {"data": [[1, 2]], "more": 1}, [], 1, "x", None),
    ],
    "loose numpy": [{"data": value} for value in ([[1.5]], [1, 2], "x", [["a"]], [[1], [2, 3]])],
    "pandas": [
        {"df": [{"a": 1, "b": "y", "c": 2.5, "d": "2020-01-02", "e": False}]},
        {"df": [{"a": 1.5, "b": 1, "c": 2, "d": "2020-01-02", "e": 0}]},
        {"df": [{"a": 1, "b": "y", "c": 2.5, "d": "nonsense", "e": False}]},
        *({"df": value} for value in ([{"a": "q"}], [{"a": 1}], [], {"columns": ["a"], "data": [[1]]}, "x", None)),
    ],
    "split pandas": [
        {"df": {"columns": ["a", "b"], "index": [0], "data": [[1, "z"]]}},
        {"df": {"columns": ["a", "b"], "data": [[1, "z"]]}, "extra": 9},
        {"df": [{"a": 1, "b": "x"}]},
    ],
    "own type": [{"p": "x,y"}, {"p": 1}],
    "mixed list": [{"p": [1]}, {"p": [1, "b", {"x": 2}]}, {"p": ["z", 1, 3]}],
    "undecorated parameters": [{"p": [1]}, {"p": [1], "q": 2}, {"p": [1], "q": None, "r": None}],
}
STANDARD: dict[str, Any] = {
    **{"i": 1, "f": 1.5, "s": "x", "b": True, "l": [1], "d": {"k": 2, "n": [1, 2]}},
    **{"t": "2020-01-01 10:00:00", "y": "eA=="},
}
CHANGES: list[dict[str, Any]] = [
    {},
    *({"i": value} for value in (1.0, "1", True, None)),
    *({"f": value} for value in (1, "x")),
    *({"s": 1}, {"b": 1}, {"l": {}}, {"l": [1, "b"]}, {"d": {"k": "x"}}, {"d": {"n": ["x"]}}, {"d": {"new": 1}}),
    *({"t": value} for value in ("2020-01-01T10:00:00.5", "2020-01-01T10:00:00+02:00", "no", 1)),
    *({"y": value} for value in ("%%", 1)),
    {"request_headers": {"a": 1}},
]
BODIES["standard"] = [*({**STANDARD, **change} for change in CHANGES), {"i": 1}]


@pytest.mark.parametrize("name", BODIES)
def test_bodies_and_documents_of_a_schema(pairs: Pairs, name: str) -> None:
    pair = _start(pairs, SCHEMAS[name])
    statuses = [assert_same(pair, post(json.dumps(body))).status for body in BODIES[name]]
    assert 200 in statuses
    for version in ("2", "3", "3.1"):
        assert_same(pair, get(f"/swagger.json?version={version}"))


@pytest.mark.parametrize(
    "kind",
    [
        *(
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON",
            "application/vnd.x+json",
            "text/json",
        ),
        *(
            "text/plain",
            "application/jsonx",
            "application/json;",
            "application/x+json+xml",
            "image/svg+json",
            "json",
            "",
        ),
        *("application/json, text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"),
    ],
)
def test_a_content_type_for_a_schema(numpy: Pair, kind: str) -> None:
    assert_same(numpy, post('{"data": [[1, 2]]}', kind=(("Content-Type", kind),)))


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"  ", b"nul", b"'x'", b"\0", b'\xef\xbb\xbf{"data": [[1, 2]]}', b'{"data": [[1, 2]]} x'),
        *('{"data": [[1, 2]]}'.encode("utf-16"), b'{"data": [[1]], "data": [[3, 4]]}', b'{"data": [[1e999, NaN]]}'),
    ],
)
def test_json_for_a_schema(numpy: Pair, body: bytes) -> None:
    assert_same(numpy, post(body))


@pytest.mark.parametrize("body", [b"\xff", b"[" * 100_000, b"9" * 5000])
def test_json_that_cannot_be_read_is_the_clients_fault_here(numpy: Pair, body: bytes) -> None:
    azure, mlctl = numpy.ask(post(body))
    assert (azure.status, azure.body, mlctl.status) == (500, INTERNAL, 400)
    assert b"could not be decoded as JSON" in mlctl.body


@pytest.mark.parametrize(
    "ask",
    [
        *(get(f"/score{query}") for query in ("", "?data=[[1,2]]", "?data=[[1,2]]&data=[[3,4]]", "?x=1", "?data=x")),
        *(Ask(), Ask("OPTIONS"), Ask(body=b'{"data": [[1, 2]]}')),
    ],
)
def test_other_requests_to_a_schema(numpy: Pair, ask: Ask) -> None:
    assert_same(numpy, ask)


# Swagger


@pytest.mark.parametrize(
    "query",
    [
        *("", "?version=2", "?version=2.0", "?version=3", "?version=3.0", "?version=3.1", "?version=9", "?version="),
        *("?version=3&version=2", "?Version=3", "?version=%33", "?version=3.1.0", "?version=a%22b", "?version=%FF"),
    ],
)
def test_a_version_of_swagger(plain: Pair, query: str) -> None:
    assert_same(plain, get(f"/swagger.json{query}"))


# @rawhttp


@pytest.mark.parametrize("name", RAW_ANSWERS)
def test_an_answer_of_a_raw_script(raw: Pair, name: str) -> None:
    assert_same(raw, _ask_raw(name, headers=(*JSON, ("TraceId", "t"), ("x-ms-client-request-id", "c"))))


@pytest.mark.parametrize("name", ["dict", "text", "404", "json", "raise", "204", "304"])
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "GET"])
def test_a_raw_script_takes_other_methods(raw: Pair, method: str, name: str) -> None:
    assert_same(raw, _ask_raw(name, method=method, body=None))


@pytest.mark.parametrize("name", RAW_READS)
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b'{"a": 1}', JSON),
        (b"a=1&b=%C3%A9&a=2", FORM),
        (PARTS_BODY, PARTS),
        (b"\xff{", JSON),
        (None, ()),
        (
            b"x",
            (("Cookie", "a=1; b=2"), ("Authorization", "Basic dTpw"), ("User-Agent", "u/1"), ("Accept", "a/b;q=0.5")),
        ),
        (b"x", (("X-A", "1"), ("X-A", "2"), ("X_B", "3"), ("X-C", " 4 "), ("Content-Type", "a/b; c=d"))),
        (b"x", (("X-Forwarded-For", "9.9.9.9"), ("X-Forwarded-Proto", "https"))),
        (b"x", (("X-Forwarded-Proto", "http"),)),
    ],
)
def test_what_a_raw_script_reads(
    raw: Pair, name: str, body: bytes | None, headers: tuple[tuple[str, str], ...]
) -> None:
    assert_same(raw, _ask_raw(name, body=body, headers=headers))
    assert_same(raw, _ask_raw(name, method="GET", body=None, headers=headers))


@pytest.mark.parametrize("path", ["/score?a=1&a=%C3%A9&b=%FF&c", "/score?", "/%73core?a=%2F"])
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_the_query_of_a_raw_request(raw: Pair, method: str, path: str) -> None:
    assert assert_same(raw, Ask(method, path, b"z")).status == 200


def _ask_raw(
    name: str, method: str = "POST", body: bytes | None = b"x", headers: tuple[tuple[str, str], ...] = ()
) -> Ask:
    return Ask(method, f"/score?m={quote(name)}", body, headers)


@pytest.mark.parametrize(
    ("name", "azures", "mlctls"),
    [
        ("199", 199, 500),
        ("600", 600, 500),
        ("werkzeug", 500, 200),
        ("wrong length", Broken, 200),
        ("name of two words", 500, 500),
        ("arrow header", 500, 500),
        ("control header", 500, 500),
        ("number as a body", 500, 500),
        ("stream that never begins", 500, 500),
        ("stream cut short", Broken, Broken),
    ],
)
def test_responses_that_cannot_be_sent_as_they_are(raw: Pair, name: str, azures: Any, mlctls: Any) -> None:
    found = [_status_of(serving, _ask_raw(name)) for serving in (raw.azure, raw.mlctl)]
    assert found == [azures, mlctls]


def _status_of(serving: Serving, ask: Ask) -> Any:
    try:
        return send(serving.port, ask).status
    except Broken:
        return Broken


def test_responses_that_are_sent_otherwise_here(raw: Pair) -> None:
    azure, mlctl = raw.ask(_ask_raw("type in lower case"))
    assert sorted(value for name, value in azure.headers if name == "content-type") == [
        "text/csv",
        "text/html; charset=utf-8",
    ]
    assert [value for name, value in mlctl.headers if name == "content-type"] == ["text/csv"]
    azure, mlctl = raw.ask(_ask_raw("own client id"))
    assert (azure.header("x-ms-client-request-id"), mlctl.header("x-ms-client-request-id")) == ("m", None)
    azure, mlctl = raw.ask(_ask_raw("stream", method="HEAD", body=None))
    assert (azure.header("content-length"), mlctl.header("content-length")) == (None, "0")


# CORS


@pytest.mark.parametrize(
    "origins",
    [
        "www.a.com, www.b.com",
        "*",
        "www.a.com",
        "https://.*\\.a\\.com",
        " www.a.com ,, ",
        "www.a.com,*",
        ".*",
        "WWW.A.com",
    ],
)
def test_cors(pairs: Pairs, origins: str) -> None:
    pair = _start(pairs, CORS, environment={"AML_CORS_ORIGINS": origins})
    for origin in (None, "www.a.com", "www.b.com", "https://x.a.com", "evil", "null", "WWW.a.COM"):
        sent = (("Origin", origin),) if origin else ()
        for ask in _ask_across_origins(sent):
            assert_same(pair, ask)


def _ask_across_origins(sent: tuple[tuple[str, str], ...]) -> Iterator[Ask]:
    yield from (post(body, *sent) for body in ("1", "own", "fail"))
    yield from (get(path, *sent) for path in ("/", "/score", "/swagger.json", "/swagger.json?version=9", "/nope"))
    yield post("1", *sent, ("x-request-id", TOO_LONG))
    yield Ask("HEAD", "/", headers=sent)
    for path in ("/", "/score", "/swagger.json", "/nope"):
        yield Ask("OPTIONS", path, headers=sent)
        for method in ("GET", "post", "PUT"):
            asked = (("Access-Control-Request-Method", method), ("Access-Control-Request-Headers", "Content-Type, x-a"))
            yield Ask("OPTIONS", path, headers=(*sent, *asked))
    private = (("Access-Control-Request-Method", "POST"), ("Access-Control-Request-Private-Network", "true"))
    yield Ask("OPTIONS", headers=(*sent, *private))
