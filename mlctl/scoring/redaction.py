"""Exceptions of run() as log lines that never quote the request."""

from __future__ import annotations

import json
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

_SHORTEST_RUN = 12
_LONGEST_MESSAGE = 2000
_LONGEST_CHAIN = 5
# Characters of message times characters of body that are compared: about 50 ms.
_EFFORT = 50_000_000
_LARGEST_COMPARED_BYTES = 1_000_000
_GAP = "[...]"
_IGNORED = frozenset(" \t\r\n\"'\\")
_OWN_FOLDER = str(Path(__file__).parent)


def redact(message: str, body: bytes) -> str:
    """Drop from `message` each run of 12 or more characters that occurs in `body`.

    Compared twice: as it is, and without white space, quotes and backslashes, since a message may quote the body as
    Python would write it. The longer the body, the less of the message is kept; beside a large one nothing is.
    """
    if len(body) > _LARGEST_COMPARED_BYTES:
        return _GAP if message else ""
    text = _unescape(body.decode("utf-8", "replace"))
    kept = min(_LONGEST_MESSAGE, _EFFORT // (len(text) + 1))
    if len(message) > kept:
        message = message[:kept] + _GAP
    drop = bytearray(len(message))
    _mark_runs(drop, list(range(len(message))), message, text)
    squeezed = [at for at, char in enumerate(message) if char not in _IGNORED]
    _mark_runs(drop, squeezed, "".join(message[at] for at in squeezed), _squeeze(text))
    return _cut(message, drop)


def _squeeze(text: str) -> str:
    return text.translate({ord(char): None for char in _IGNORED})


def _unescape(text: str) -> str:
    """Add what JSON's escapes stand for, which is what a script sees and may quote."""
    if "\\u" not in text:
        return text
    try:
        return text + "\n" + json.dumps(json.loads(text), ensure_ascii=False)
    except (ValueError, RecursionError):
        return text


def _mark_runs(drop: bytearray, positions: list[int], message: str, body: str) -> None:
    """Mark in `drop` the runs of `message` that occur in `body`; `positions` maps its characters to those of drop."""
    for start in range(len(message) - _SHORTEST_RUN + 1):
        if message[start : start + _SHORTEST_RUN] in body:
            first, last = positions[start], positions[start + _SHORTEST_RUN - 1]
            drop[first : last + 1] = b"\1" * (last + 1 - first)


def _cut(message: str, drop: bytearray) -> str:
    pieces: list[str] = []
    for char, is_dropped in zip(message, drop, strict=True):
        if not is_dropped:
            pieces.append(char)
        elif not pieces or pieces[-1] != _GAP:
            pieces.append(_GAP)
    return "".join(pieces)


def script_frames(trace: TracebackType | None) -> traceback.StackSummary:
    """Return the frames of a traceback without those of this package and of the import machinery."""
    frames = traceback.extract_tb(trace)
    return traceback.StackSummary.from_list([frame for frame in frames if not _is_own(frame.filename)])


def _is_own(filename: str) -> bool:
    return filename.startswith((_OWN_FOLDER, "<frozen importlib"))


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """Yield the exception and then what it came from, at most a few."""
    seen: BaseException | None = exc
    for _ in range(_LONGEST_CHAIN):
        if seen is None:
            return
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def render_exception(exc: BaseException, body: bytes = b"") -> str:
    """Write an exception and what it came from as tracebacks, oldest first, without anything of `body`."""
    parts = [_render_one(seen, body) for seen in _chain(exc)]
    return "\nThe exception above led to this one:\n\n".join(reversed(parts)).rstrip("\n")


def _render_one(exc: BaseException, body: bytes) -> str:
    frames = script_frames(exc.__traceback__).format()
    return "".join(["Traceback (most recent call last):\n", *frames, describe_exception(exc, body), "\n"])


def describe_exception(exc: BaseException, body: bytes = b"") -> str:
    """Write type and message, as the last line of a traceback has them, without anything of `body`."""
    message = redact(_message_of(exc), body)
    return f"{type(exc).__name__}: {message}" if message else type(exc).__name__


def _message_of(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception as broken:  # __str__ is the script's code as well
        return f"<no message: {type(broken).__name__}>"
