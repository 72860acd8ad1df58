"""From a request, an answer or a script's data to a CloudEvent: one line of JSON. Pure."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from typing import NamedTuple, NoReturn

from mlctl.scoring.request_ids import make_id

# What is larger lies in a file of its own, which the event points to.
LARGEST_DATA_BYTES = 4 * 1024 * 1024
AGENT = "azureml-ai-monitoring/1.0.0"
_CONTENT_TYPE = re.compile(rb"^content-type:[ \t]*([^;\r\n]*)", re.IGNORECASE | re.MULTILINE)
_JSON, _TEXT, _BINARY = "application/json", "text/plain", "application/octet-stream"
_quote = json.encoder.encode_basestring
_dumps = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


# Made once: json.loads would make one for each text.
_parse = json.JSONDecoder(parse_constant=_refuse_constant).decode


class Data(NamedTuple):
    """A body on its way into an event. text: the JSON that stands for it, None for a file of its own."""

    text: str | None
    content_type: str
    size_bytes: int


def find_content_type(headers: bytes) -> str:
    """Return the media type among rendered headers, empty for none."""
    found = _CONTENT_TYPE.search(headers)
    return found.group(1).strip().decode("latin-1") if found else ""


def read_media_type(value: bytes) -> str:
    """Return a Content-Type without its parameters."""
    return value.partition(b";")[0].strip().decode("latin-1")


def render_data(body: bytes | None, content_type: str) -> Data:
    """Turn a body into JSON: JSON as it is, other text as a string; null for a body that nobody read."""
    if body is None:
        return Data("null", content_type or _JSON, 0)
    if len(body) > LARGEST_DATA_BYTES:
        return Data(None, content_type or _BINARY, len(body))
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return Data(None, content_type or _BINARY, len(body))
    parsed = _as_line(text)
    kind = content_type or (_TEXT if parsed is None else _JSON)
    return Data(_dumps_text(text) if parsed is None else parsed, kind, len(body))


def _as_line(text: str) -> str | None:
    """Return JSON text as one line; None for what is no legal JSON, as with a bare NaN."""
    try:
        value = _parse(text)
        return json.dumps(value, ensure_ascii=False) if "\n" in text or "\r" in text else text
    except (ValueError, RecursionError):
        return None


def _dumps_text(text: str) -> str:
    return _dumps(text).encode("utf-8", "backslashreplace").decode()


class EventBuilder:
    """Writes events of one deployment."""

    def __init__(self, source: str) -> None:
        self._head = f'{{"specversion":"1.0","source":{_dumps(source)},"type":"azureml.inference.'
        self._second = -1
        self._stamp = ""

    def build(
        self, kind: str, at: float, data: Data, extra: Mapping[str, object], *, event_id: str, url: str = ""
    ) -> bytes:
        """Return the line. extra: further attributes. url: of the file that holds the data, where it is no text."""
        shown = _dumps(url) if data.text is None else data.text
        pointer = ',"datainblob":"true"' if data.text is None else ""
        size = f',"contentrange":"bytes 0-{data.size_bytes - 1}/*"' if data.size_bytes else ""
        more = _dumps(extra)[1:-1]
        return (
            f'{self._head}{kind}","id":"{event_id}","datacontenttype":{_quote(data.content_type)}'
            f',"time":"{self._show_time(at)}","data":{shown}'
            f"{pointer}{size},{more}}}\n"
        ).encode("utf-8", "backslashreplace")

    def _show_time(self, at: float) -> str:
        second = int(at)
        if second != self._second:
            self._second, self._stamp = second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))
        return f"{self._stamp}.{int((at - second) * 1000):03d}Z"


def make_event_id() -> str:
    """Make a UUID for an event."""
    return make_id().decode()
