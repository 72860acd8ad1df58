"""The request that a @rawhttp script is given: flask's where flask is installed, else werkzeug's, which it is made of.

Loaded for such scripts only.
"""

from __future__ import annotations

import importlib
import io
import sys
from collections.abc import Callable, Mapping
from typing import Any

from mlctl.scoring.dispatch import Ticket

Environ = dict[str, Any]
# As gunicorn, which believes what a front on the same machine says of its clients.
_FRONTS = frozenset({"", "127.0.0.1", "::1"})
_TELL_OF_TLS = ((b"x-forwarded-proto", b"https"), (b"x-forwarded-protocol", b"ssl"), (b"x-forwarded-ssl", b"on"))
_OWN_NAMES = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}


def make_environ(ticket: Ticket) -> Environ:
    """Write a request as WSGI does. Its body is there as a whole, whatever its headers say of its length."""
    scope = ticket.scope
    path = scope["path"].encode().decode("latin-1")
    query = scope["query_string"].decode("latin-1")
    client, client_port = scope.get("client") or ("", 0)
    host, _, port = ticket.headers.get(b"host", b"").decode("latin-1").partition(":")
    return {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "RAW_URI": f"{scope['raw_path'].decode('latin-1')}{'?' if query else ''}{query}",
        "REMOTE_ADDR": client,
        "REMOTE_PORT": str(client_port),
        "SERVER_NAME": host or "localhost",
        "SERVER_PORT": port or "80",
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_SOFTWARE": "mlctl",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": _find_scheme(client, ticket.headers),
        "wsgi.input": io.BytesIO(ticket.body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **name_headers(scope["headers"]),
    }


def _find_scheme(client: str, headers: Mapping[bytes, bytes]) -> str:
    is_secure = client in _FRONTS and any(headers.get(name) == value for name, value in _TELL_OF_TLS)
    return "https" if is_secure else "http"


def name_headers(headers: list[tuple[bytes, bytes]]) -> dict[str, str]:
    """Name headers as WSGI does. Those with an underscore are left out: they would pass for others."""
    named: dict[str, str] = {}
    for name, value in headers:
        if b"_" in name:
            continue
        key = _OWN_NAMES.get(name) or f"HTTP_{name.decode('latin-1').upper().replace('-', '_')}"
        text = value.decode("latin-1").rstrip()
        named[key] = f"{named[key]},{text}" if key in named else text
    return named


def adapt_run(run: Callable[..., object]) -> Callable[..., object]:
    """Return what calls a @rawhttp script's run() with the request that an environment describes."""
    try:
        flask = importlib.import_module("flask")
    except ImportError:
        return _with_werkzeug(run)
    return _with_flask(run, flask.Flask("azmlinfsrv", static_folder=None))


def _with_werkzeug(run: Callable[..., object]) -> Callable[..., object]:
    from werkzeug.wrappers import Request

    def call(environ: Environ, *headers: dict[str, str]) -> object:
        return run(Request(environ), *headers)

    return call


def _with_flask(run: Callable[..., object], app: Any) -> Callable[..., object]:
    # What flask offers besides, such as jsonify() and the global request, works inside a context only.
    def call(environ: Environ, *headers: dict[str, str]) -> object:
        with app.request_context(environ) as context:
            return run(context.request, *headers)

    return call
