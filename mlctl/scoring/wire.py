"""Between bytes on the wire and what a script sees: the text that run() gets, the JSON that its result becomes."""

from __future__ import annotations

import codecs
import json
import sys
from collections.abc import Callable
from typing import Any, cast
from urllib.parse import parse_qs, quote_from_bytes

_ENDS = {"{": "}", "[": "]"}
_BODILESS = frozenset({204, 304})
_KEEP_ESCAPES = "mlctl.keep_escapes"

Encoded = tuple[int, bytes]


def _keep_escapes(error: UnicodeError) -> tuple[str, int]:
    """Leave what is not UTF-8 as it stands in the query, as werkzeug does."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return quote_from_bytes(error.object[error.start : error.end], safe=""), error.end


codecs.register_error(_KEEP_ESCAPES, _keep_escapes)


def query_to_text(query: bytes) -> bytes:
    """Turn the query of a GET into the JSON text that stands in for a body.

    A value is parsed as JSON where it parses; a repeated name becomes a list.
    """
    given = {name: [_parse_or_keep(text) for text in texts] for name, texts in read_query(query).items()}
    return json.dumps({name: items[0] if len(items) == 1 else items for name, items in given.items()}).encode()


def read_query(query: bytes) -> dict[str, list[str]]:
    """Return the values of a query by name."""
    return parse_qs(query.decode(errors="replace"), keep_blank_values=True, errors=_KEEP_ESCAPES)


def _parse_or_keep(value: str) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def _numpy_to_plain(value: Any) -> Any:
    """Turn numpy's arrays and scalars into Python's. numpy is never imported here: the script has, or has not."""
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        if isinstance(value, numpy.longdouble):  # its item() is a longdouble again
            return float(value)
        if isinstance(value, numpy.ndarray | numpy.generic):
            return value.tolist()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def _plain_keys(value: Any) -> Any:
    """Copy containers with numpy's scalars as keys turned into Python's."""
    if isinstance(value, dict):
        items = cast("dict[Any, Any]", value).items()
        return {_plain_key(key): _plain_keys(item) for key, item in items}
    if isinstance(value, list | tuple):
        return [_plain_keys(item) for item in cast("list[Any]", value)]
    return value


def _plain_key(key: Any) -> Any:
    return key if key is None or isinstance(key, str | int | float) else _numpy_to_plain(key)


_encode_json: Callable[[Any], str] = json.JSONEncoder(default=_numpy_to_plain).encode


def _encode_with_numpy(value: Any) -> str:
    try:
        return _encode_json(value)
    except TypeError:
        # The hook sees values only: a dict keyed by numpy.int64 needs this second, slower try.
        return _encode_json(_plain_keys(value))


def _encode_body(value: Any) -> bytes:
    if isinstance(value, str) and value[:1] in _ENDS and value[-1:] == _ENDS[value[:1]]:
        return value.encode()
    return _encode_with_numpy({} if value is None else value).encode()


def _split_status(result: Any) -> tuple[Any, int]:
    """Take `(body, status)` apart. 1xx is no answer in HTTP: such a pair is a list of two like any other."""
    if type(result) is tuple:
        pair = cast("tuple[Any, ...]", result)
        if len(pair) == 2 and type(pair[1]) is int and 200 <= pair[1] <= 599:
            return pair[0], pair[1]
    return cast("Any", result), 200


def encode_result(result: Any) -> Encoded:
    """Turn what run() returned into status and body; raises, TypeError mostly, where there is no JSON form.

    Text that looks like a JSON object or array is sent as it is, other text as a JSON string; `(body, status)` sets
    the status. NaN and Infinity stay bare, as Azure sends them.
    """
    body, status = _split_status(result)
    return status, b"" if status in _BODILESS else _encode_body(body)


def encode_result_exactly(result: Any) -> Encoded:
    """Turn what run() returned into status and body as Azure's server does: json.dumps of everything."""
    return 200, json.dumps({} if result is None else result).encode()
