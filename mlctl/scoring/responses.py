"""Answers of scripts that return a response object: AMLResponse, flask's or werkzeug's. Used by `scorer`.

Nothing here imports werkzeug: a script that returns one of its responses has.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from mlctl.scoring.answers import Answer
from mlctl.scoring.streaming import Stream

if TYPE_CHECKING:
    from werkzeug.wrappers import Response

_LEAST_STATUS, _LARGEST_STATUS = 200, 599
_LEAST_ERROR = 500
_NOT_MODIFIED = 304
_BODILESS = frozenset({204, _NOT_MODIFIED})
# What the server alone says: of this connection, of the request's ids, and of who it is.
_OWN = frozenset(
    {
        "azureml-model-deployment",
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-ms-client-request-id",
        "x-ms-request-id",
        "x-request-id",
    }
)
_FAILED = "x-ms-run-function-failed"
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")


class ResponseRefused(Exception):
    """The response cannot be sent as HTTP."""


def is_response(result: object) -> bool:
    """Say whether a script returned a response object."""
    wrappers: Any = sys.modules.get("werkzeug.wrappers")
    return wrappers is not None and isinstance(result, wrappers.Response)


def answer_response(response: Response, method: str, took_ms: float) -> Answer:
    """Build the answer that a response object stands for; its pieces, if it is a stream, are not looked at yet.

    Raises whatever the making of the body raises, and ResponseRefused.
    """
    status = response.status_code
    if not _LEAST_STATUS <= status <= _LARGEST_STATUS:
        raise ResponseRefused(f"the response's status is {status}, not one from {_LEAST_STATUS} to {_LARGEST_STATUS}")
    if status >= _LEAST_ERROR:
        response.headers[_FAILED] = "True"
    if status == _NOT_MODIFIED:
        sys.modules["werkzeug.http"].remove_entity_headers(response.headers)
    headers = b"%bx-ms-run-fn-exec-ms: %.3f\r\n" % (_render_headers(response), took_ms)
    if status in _BODILESS or (method == "HEAD" and response.is_streamed):
        response.close()
        return Answer(status, b"", headers)
    if not response.is_streamed:
        body = b"".join(response.iter_encoded())
        response.close()
        return Answer(status, body, headers)
    length = response.content_length
    return Answer(status, b"", headers, Stream(_skip_empty(response), length, response.close))


def _render_headers(response: Response) -> bytes:
    kept = [(name, value) for name, value in response.headers if name.lower() not in _OWN]
    for name, value in kept:
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise ResponseRefused(f"the response's header {name!r} cannot be sent: {value!r}")
    return b"".join([f"{name}: {value}\r\n".encode("latin-1") for name, value in kept])


def _skip_empty(response: Response) -> Iterator[bytes]:
    for piece in response.iter_encoded():
        if piece:  # an empty one would end a chunked body
            yield piece
