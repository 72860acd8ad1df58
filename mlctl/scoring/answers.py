"""What a request is answered: status, body and the headers that depend on the outcome. Texts are Azure's."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mlctl.scoring.streaming import Stream

JSON_TYPE = b"content-type: application/json\r\n"
HTML_TYPE = b"content-type: text/html; charset=utf-8\r\n"
FUNCTION_SUCCEEDED = b"x-ms-run-function-failed: False\r\n"
FUNCTION_FAILED = b"x-ms-run-function-failed: True\r\n"
_OK = 200
_MODEL_ERROR = b"ms-azureml-model-error-statuscode: 500\r\nms-azureml-model-error-reason: model_error\r\n"


class Answer(NamedTuple):
    """An answer without the headers that every route adds: ids, deployment, version, length.

    headers: as they go over the wire, each with its line end. stream: where the body comes from, in place of `body`.
    """

    status: int
    body: bytes
    headers: bytes
    stream: Stream | None = None


def answer_result(status: int, body: bytes, took_ms: float) -> Answer:
    """Build the answer that carries a result of run()."""
    return Answer(status, body, b"%b%bx-ms-run-fn-exec-ms: %.3f\r\n" % (JSON_TYPE, FUNCTION_SUCCEEDED, took_ms))


def refuse(status: int, message: str, headers: bytes = b"") -> Answer:
    """Build an answer that tells in JSON why there is no result."""
    return Answer(status, json.dumps({"message": message}).encode(), JSON_TYPE + FUNCTION_SUCCEEDED + headers)


def answer_as_front(answer: Answer) -> Answer:
    """Turn a container's answer into that of Azure's front: all but 200 is a 424 that names the status."""
    if answer.status == _OK:
        return answer
    error = f"ms-azureml-model-error-statuscode: {answer.status}\r\nms-azureml-model-error-reason: model_error\r\n"
    return answer._replace(status=424, headers=answer.headers + error.encode())


def refuse_method(*allowed: str, message: str = "The method is not allowed for the requested URL.") -> Answer:
    """Build the answer to a method that the route does not know."""
    return refuse(405, message, _allow(*allowed))


def answer_options(*allowed: str) -> Answer:
    """Build the answer that says which methods a route knows."""
    return Answer(200, b"", HTML_TYPE + _allow(*allowed))


def _allow(*methods: str) -> bytes:
    return f"allow: {', '.join(methods)}\r\n".encode()


def refuse_late(max_queue_wait_s: float) -> Answer:
    """Build the answer to a request that waited too long for its turn."""
    return refuse(
        429,
        f"Too many requests: run() could not begin within {max_queue_wait_s * 1000:.0f} ms. Try again.",
        b"retry-after: 1\r\nms-azureml-model-error-reason: too_many_pending_request\r\n",
    )


HEALTHY = Answer(200, b"Healthy", HTML_TYPE)
STARTING = refuse(503, "The replica is starting: init() has not finished yet.")
EMPTY = Answer(200, b"", HTML_TYPE + FUNCTION_SUCCEEDED)
NOT_FOUND = refuse(
    404,
    "The requested URL was not found on the server. If you entered the URL manually please check your spelling"
    " and try again.",
)
TOO_LARGE = refuse(413, "The data value transmitted exceeds the capacity limit of 100 MiB.")
_RUN_FAILED = b'{"message": "An unexpected error occurred in scoring script. Check the logs for more info."}'
RUN_FAILED = Answer(424, _RUN_FAILED, JSON_TYPE + FUNCTION_FAILED + _MODEL_ERROR)
SERVER_RUN_FAILED = Answer(500, _RUN_FAILED, JSON_TYPE + FUNCTION_FAILED)
_RESULT_REFUSED = "An unexpected internal error occurred. Check the logs for more info."
RESULT_REFUSED = refuse(424, _RESULT_REFUSED, _MODEL_ERROR)
SERVER_RESULT_REFUSED = refuse(500, _RESULT_REFUSED)
# Not the server's own words, but those of gunicorn, which runs it.
SERVER_EXITED = Answer(
    500,
    b"<html>\n  <head>\n    <title>Internal Server Error</title>\n  </head>\n  <body>\n"
    b"    <h1><p>Internal Server Error</p></h1>\n    \n  </body>\n</html>\n",
    b"content-type: text/html\r\n",
)

# Nobody reads this one: the status stands in the log only, as nginx writes it.
CLIENT_LEFT = Answer(499, b"", b"")
