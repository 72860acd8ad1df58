"""What `azureml_inference_server_http.api` and `azureml.contrib.services` offer scripts. Loaded by `v1_shim` on demand.

Scripts that import flask too expect its classes, as with Azure's server: they are the bases where flask is installed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from werkzeug.wrappers import Request, Response
else:
    try:
        from flask import Request, Response
    except ImportError:
        from werkzeug.wrappers import Request, Response

_JSON = "application/json"
# Named as in Azure's module, since `user_code` looks at either.
_rawHttpRequested = False

Run = TypeVar("Run", bound=Callable[..., object])


def rawhttp(func: Run) -> Run:
    """Have run() called with the whole request."""
    global _rawHttpRequested
    _rawHttpRequested = True
    return func


class AMLRequest(Request):
    """The name that scripts give their request in annotations."""


class AMLResponse(Response):
    """An answer whose status and headers the script chooses.

    message: text, bytes, or an iterator over them, which is sent piece by piece; with json_str anything that is JSON;
    None: an empty object. A header's value is cut at commas into several headers.
    """

    default_mimetype = "text/html"  # flask's, not werkzeug's

    def __init__(
        self,
        message: Any,
        status_code: int,
        response_headers: Mapping[str, str] = {},
        json_str: bool = False,
        run_function_failed: bool = False,
    ) -> None:
        if message is None or json_str:
            super().__init__(json.dumps({} if message is None else message), status_code, mimetype=_JSON)
        else:
            body: str | bytes | Iterable[str] | Iterable[bytes] = message
            super().__init__(body, status_code)
            if any(name.lower() == "content-type" for name in response_headers):
                self.headers.remove("Content-Type")
        self.headers["x-ms-run-function-failed"] = str(run_function_failed)
        for name, value in response_headers.items():
            for part in value.split(","):
                self.headers.add(name, part.strip())
