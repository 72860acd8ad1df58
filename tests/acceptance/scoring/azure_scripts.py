"""Scoring scripts that show what a server makes of requests and results; they run under Azure's server and mlctl's."""

from __future__ import annotations

PLAIN = """
import datetime, decimal, enum, os, sys, threading, time
import numpy as np
import pandas as pd

class Color(enum.IntEnum):
    RED = 1

RESULTS = {
    "dict": {"a": [1, 2.5, None, True], "b": {"c": "d/e<>&"}}, "list": [1, "x"], "int": 3, "float": 0.1, "bool": True,
    "str": "abc", "json text": '{"a": 1}', "none": None, "empty": "", "tuple": ({"a": 1}, 404), "nan": float("nan"),
    "infinity": [float("inf"), -float("inf")], "non-ascii": "h\\u00e9 \\u2713 \\U0001f600", "surrogate": "\\ud800",
    "float64": np.float64(0.1), "array": np.array([1]), "int64": np.int64(1), "float32": np.float32(1),
    "bool_": np.bool_(True), "bytes": b"x", "set": {1}, "datetime": datetime.datetime(2020, 1, 1),
    "decimal": decimal.Decimal("1.1"), "frame": pd.DataFrame({"a": [1]}), "generator": (x for x in [1]),
    "number keys": {1: 2, None: 3, 1.5: 5}, "numpy keys": {np.int64(1): 2}, "tuple keys": {(1, 2): 3},
    "enum": Color.RED, "big": 10**30, "nested array": {"a": [{"b": np.array([1])}]},
}
RESULTS["circular"] = [RESULTS]
deep = []
for _ in range(100_000):
    deep = [deep]
RESULTS["deep"] = deep

def init(): pass

def run(anything):
    if anything in RESULTS:
        return RESULTS[anything]
    match anything:
        case "raise": raise ValueError("no")
        case "own timeout": raise TimeoutError("the script's own")
        case "sleep": time.sleep(30)
        case "stop iteration": raise StopIteration
        case "recursion":
            def again(): again()
            again()
        case "exit": sys.exit(4)
        case "interrupt": raise KeyboardInterrupt
        case "kill": os._exit(5)
        case "place":
            return [__name__, os.path.basename(__file__), os.getcwd() == os.path.dirname(__file__),
                    threading.current_thread() is threading.main_thread(), "score" in sys.modules]
        case "entry_module": return "entry_module" in sys.modules
        case "folder in sys.path": return sys.path.count(os.path.dirname(__file__))
        case "packages before folder":
            packages = next(n for n, path in enumerate(sys.path) if "site-packages" in path)
            return packages < sys.path.index(os.path.dirname(__file__))
    return os.environ[anything[1:]] if anything.startswith("$") else [type(anything).__name__, anything]
"""
RESULTS = (
    *("dict", "list", "int", "float", "bool", "str", "json text", "none", "empty", "tuple", "nan", "infinity"),
    *("non-ascii", "surrogate", "float64", "array", "int64", "float32", "bool_", "bytes", "set", "datetime", "decimal"),
    *("frame", "generator", "number keys", "numpy keys", "tuple keys", "enum", "big", "nested array", "circular"),
    *("deep", "raise", "own timeout", "sleep", "stop iteration", "recursion", "place", "packages before folder"),
    *("$HTTP_X_MS_SERVER_VERSION", "$TRANSPORT_PROTOCOL", "$WORKER_COUNT"),
)

HEADERS = """
def init(): pass
def run(data, request_headers):
    return sorted(request_headers.items())
"""

TWO_REQUIRED = """
def init(): pass
def run(data, more): return data
"""

DRIVER = """
import types

def inner(data): return ["inner", data]

driver_module = types.ModuleType("driver")
driver_module.__file__ = "inner.py"
driver_module.run = inner
def init(): driver_module.ready = True
def run(data): return ["outer", data]
"""

_SCHEMA = """
import datetime
import numpy as np
import pandas as pd
from inference_schema.parameter_types.abstract_parameter_type import AbstractParameterType
from inference_schema.parameter_types.numpy_parameter_type import NumpyParameterType
from inference_schema.parameter_types.pandas_parameter_type import PandasParameterType
from inference_schema.parameter_types.standard_py_parameter_type import StandardPythonParameterType
from inference_schema.schema_decorators import input_schema, output_schema

def init(): pass
"""

SCHEMAS = {
    "numpy": _SCHEMA
    + """
@input_schema("data", NumpyParameterType(np.array([[1.0, 2.0]])))
@output_schema(NumpyParameterType(np.array([1.0])))
def run(data): return [type(data).__name__, str(data.dtype), data.tolist()]
""",
    "loose numpy": _SCHEMA
    + """
@input_schema("data", NumpyParameterType(np.array([[1, 2]]), enforce_column_type=False, enforce_shape=False))
def run(data): return [str(data.dtype), data.tolist()]
""",
    "pandas": _SCHEMA
    + """
SAMPLE = {"a": [1], "b": ["x"], "c": [1.5], "d": [pd.Timestamp("2020-01-01")], "e": [True]}
@input_schema("df", PandasParameterType(pd.DataFrame(SAMPLE)))
def run(df): return [list(map(str, df.dtypes)), str(df.values.tolist())]
""",
    "split pandas": _SCHEMA
    + """
@input_schema("df", PandasParameterType(pd.DataFrame({"a": [1], "b": ["x"]}), orient="split", enforce_shape=False))
@output_schema(PandasParameterType(pd.DataFrame({"a": [1]})))
def run(df, extra=3): return [df.to_dict("list"), extra]
""",
    "standard": _SCHEMA
    + """
T = StandardPythonParameterType
@input_schema("i", T(1))
@input_schema("f", T(1.0))
@input_schema("s", T("x"))
@input_schema("b", T(True))
@input_schema("l", T([1, "a"]))
@input_schema("d", T({"k": 1, "n": NumpyParameterType(np.array([1]))}))
@input_schema("t", T(datetime.datetime(2020, 1, 1)))
@input_schema("y", T(b"x"))
def run(i, f, s, b, l, d, t, y, request_headers): return [repr(x) for x in (i, f, s, b, l, d, t, y)]
""",
    "own type": _SCHEMA
    + """
class Own(AbstractParameterType):
    def __init__(self): super().__init__(sample_input="a,b")
    def deserialize_input(self, given): return given.split(",")
    def input_to_swagger(self): return {"type": "string", "example": "a,b"}
@input_schema("p", Own())
def run(p): return p
""",
    "mixed list": _SCHEMA
    + """
@input_schema("p", StandardPythonParameterType([1, "a", {"x": 1}]))
def run(p): return p
""",
    "undecorated parameters": _SCHEMA
    + """
@input_schema("p", StandardPythonParameterType([1, 2]))
def run(p, q, r=4): return [p, q, r]
""",
}

RAW = """
import werkzeug.exceptions
from azureml.contrib.services.aml_request import AMLRequest, rawhttp
from azureml.contrib.services.aml_response import AMLResponse
from azureml_inference_server_http.api.aml_response import AMLResponse as Other
from werkzeug.wrappers import Response

def init(): pass

def make(fail_after=None):
    for number, piece in enumerate([b"one,", "two,", b"", "three"]):
        if number == fail_after:
            raise ValueError("in the middle")
        yield piece

def make_nothing():
    return
    yield

def describe(r):
    return {
        "method": r.method, "path": r.path, "args": r.args.to_dict(flat=False), "data": r.get_data().decode("latin-1"),
        "form": r.form.to_dict(flat=False), "headers": sorted(r.headers.items()), "cookies": r.cookies,
        "files": {name: [f.filename, f.content_type, f.read().decode()] for name, f in r.files.items()},
        "json": r.get_json(silent=True), "is_json": r.is_json, "url": r.url, "base_url": r.base_url, "host": r.host,
        "full_path": r.full_path, "query": r.query_string.decode(), "root": r.url_root, "mimetype": r.mimetype,
        "content": [r.content_type, r.content_length], "remote": r.remote_addr, "agent": str(r.user_agent),
        "accept": str(r.accept_mimetypes), "authorization": str(r.authorization), "environ": sorted(
            name for name in r.environ if name.isupper()),
    }

ANSWERS = {
    "dict": lambda: {"a": 1}, "none": lambda: None, "tuple": lambda: ("x", 404), "text": lambda: AMLResponse("hi", 200),
    "bytes": lambda: AMLResponse(b"\\xff", 201), "json": lambda: AMLResponse({"a": 1}, 200, json_str=True),
    "json text": lambda: AMLResponse("x", 200, json_str=True), "nothing": lambda: AMLResponse(None, 202),
    "headers": lambda: AMLResponse("x", 200, {"X-A": "1, 2,3", "Content-Type": "text/csv"}),
    "json of a type": lambda: AMLResponse({"a": 1}, 200, {"Content-Type": "application/foo"}, json_str=True),
    "failed": lambda: AMLResponse("x", 200, run_function_failed=True), "404": lambda: AMLResponse("x", 404),
    "500": lambda: AMLResponse("x", 500), "503": lambda: AMLResponse("x", 503, {"Retry-After": "1"}),
    "500 that says it worked": lambda: AMLResponse("x", 500, {"x-ms-run-function-failed": "False"}),
    "204": lambda: AMLResponse("", 204), "204 with a body": lambda: AMLResponse("x", 204),
    "304": lambda: AMLResponse("", 304, {"ETag": "1"}), "299": lambda: AMLResponse("x", 299),
    "status as text": lambda: AMLResponse("x", "404 NOPE"), "no status": lambda: AMLResponse("x", None),
    "redirect": lambda: AMLResponse("x", 302, {"Location": "a/b"}), "stream": lambda: AMLResponse(make(), 200),
    "stream of a type": lambda: AMLResponse(make(), 200, {"Content-Type": "text/event-stream"}),
    "stream of a length": lambda: AMLResponse(make(), 200, {"Content-Length": "13"}),
    "stream that fails": lambda: AMLResponse(make(), 503), "empty stream": lambda: AMLResponse(make_nothing(), 200),
    "list": lambda: AMLResponse(["a", b"b"], 200), "own ids": lambda: AMLResponse("x", 200, {"x-request-id": "mine"}),
    "own version": lambda: AMLResponse("x", 200, {"x-ms-server-version": "v", "x-ms-run-fn-exec-ms": "1"}),
    "own trace": lambda: AMLResponse("x", 200, {"TraceId": "tt"}), "other class": lambda: Other("x", 200),
    "cookie": lambda: AMLResponse("x", 200, {"Set-Cookie": "a=1; Path=/, b=2"}),
    "number as header": lambda: AMLResponse("x", 200, {"X-A": 1}), "check mark": lambda: AMLResponse("\\u2713", 200),
    "latin header": lambda: AMLResponse("x", 200, {"X-A": "\\xe9"}), "abort": lambda: werkzeug.exceptions.abort(404),
    "header of two lines": lambda: AMLResponse("x", 200, {"X-A": "a\\nb"}), "empty header": lambda: AMLResponse(
        "x", 200, {"X-A": ""}), "own chunks": lambda: AMLResponse("x", 200, {"Transfer-Encoding": "chunked"}),
    "upgrade": lambda: AMLResponse("x", 200, {"Upgrade": "h2c", "Connection": "upgrade"}), "raise": lambda: 1 / 0,
    "dict as a body": lambda: AMLResponse({"a": 1}, 200), "large": lambda: AMLResponse("x" * 300_000, 200),
    # These differ, see the table.
    "type in lower case": lambda: AMLResponse("x", 200, {"content-type": "text/csv"}),
    "199": lambda: AMLResponse("x", 199), "600": lambda: AMLResponse("x", 600),
    "wrong length": lambda: AMLResponse("abc", 200, {"Content-Length": "2"}), "werkzeug": lambda: Response("x"),
    "own client id": lambda: AMLResponse("x", 200, {"x-ms-client-request-id": "m"}),
    "name of two words": lambda: AMLResponse("x", 200, {"a b": "1"}),
    "arrow header": lambda: AMLResponse("x", 200, {"X-A": "\\u2192"}),
    "control header": lambda: AMLResponse("x", 200, {"X-A": "\\x07"}),
    "number as a body": lambda: AMLResponse(5, 200), "stream that never begins": lambda: AMLResponse(make(0), 200),
    "stream cut short": lambda: AMLResponse(make(1), 200),
}
READS = {
    "data, then form": lambda r: [r.data.decode(), r.form.to_dict()],
    "form, then data": lambda r: [r.form.to_dict(), r.data.decode()],
    "read stream": lambda r: [r.stream.read(3).decode(), r.stream.read().decode(), r.data.decode()],
    "get_json": lambda r: r.get_json(), "json": lambda r: r.json, "form key": lambda r: r.form["nope"],
}

@rawhttp
def run(request: AMLRequest):
    asked = request.args.get("m")
    if asked in READS:
        return READS[asked](request)
    return ANSWERS[asked]() if asked in ANSWERS else describe(request)
"""
RAW_ANSWERS = (
    *("dict", "none", "tuple", "text", "bytes", "json", "json text", "nothing", "headers", "json of a type", "failed"),
    *("404", "500", "503", "500 that says it worked", "204", "204 with a body", "304", "299", "status as text"),
    *("no status", "redirect", "stream", "stream of a type", "stream of a length", "stream that fails"),
    *("empty stream", "list", "own ids", "own version", "own trace", "other class", "cookie", "number as header"),
    *("check mark", "latin header", "abort", "header of two lines", "empty header", "own chunks", "upgrade", "raise"),
    *("dict as a body", "large"),
)
RAW_READS = ("show", "data, then form", "form, then data", "read stream", "get_json", "json", "form key")

CORS = """
from azureml_inference_server_http.api.aml_response import AMLResponse

def init(): pass
def run(data):
    if data == "own":
        return AMLResponse("x", 200, {"Access-Control-Allow-Origin": "mine", "Vary": "Accept"})
    return 1 / 0 if data == "fail" else 1
"""

LOGS = """
import logging, sys
def init():
    print("in", "init", sep="-")
    print("to stderr", file=sys.stderr)
    logging.info("lost")
    logging.warning("seen")
    logging.getLogger("azmlinfsrv").info("under the server's name")
    logging.getLogger("mine").error("under a name of its own")
def run(data):
    print("got", data)
    return 1 / 0 if data == "fail" else data
"""
