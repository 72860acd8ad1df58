"""Cross-origin requests: the headers that let a browser's script read an answer, where AML_CORS_ORIGINS asks for them.

As flask-cors does it, which Azure's server uses: GET and POST, no credentials. Wrapped around the routes of `app`;
where the variable is not set, nothing of this is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from mlctl.scoring.user_code import ScriptRefused

_METHODS = ("GET", "POST")
# Whatever has one of these is a regular expression, except for `*` alone, which lets everyone in.
_HINTS = frozenset("*\\]?$^[]()")
_VARY = b"vary: Origin\r\n"

MakeHeaders = Callable[[str, Mapping[bytes, bytes]], bytes]


class BadOrigins(ScriptRefused):
    """AML_CORS_ORIGINS holds what is no regular expression, though it looks like one."""


class Origins(NamedTuple):
    """Who may read the answers."""

    patterns: tuple[re.Pattern[str], ...]
    literals: tuple[str, ...]
    lets_everyone: bool

    @property
    def varies(self) -> bool:
        """Say whether answers to different origins differ."""
        return len(self.patterns) + len(self.literals) > 1 or bool(self.patterns)

    def let_in(self, origin: str) -> bool:
        """Say whether a page of this origin may read the answers."""
        lower = origin.lower()
        return any(one.lower() == lower for one in self.literals) or any(one.match(origin) for one in self.patterns)


def read_origins(text: str) -> Origins:
    """Read the list, whose items commas part; raises BadOrigins."""
    names = [name.strip() for name in text.split(",")]
    try:
        patterns = [re.compile(".*" if name == "*" else name, re.IGNORECASE) for name in names if _is_pattern(name)]
    except re.error as error:
        raise BadOrigins(f"AML_CORS_ORIGINS: {error.pattern!r} is not a regular expression: {error}") from None
    literals = tuple(name for name in names if not _is_pattern(name))
    return Origins(tuple(patterns), literals, "*" in names or ".*" in names)


def _is_pattern(name: str) -> bool:
    return not _HINTS.isdisjoint(name)


def choose_cors(text: str | None) -> MakeHeaders | None:
    """Return what makes the headers for a method and a request's headers; None where nobody is let in."""
    return partial(make_headers, read_origins(text)) if text else None


def make_headers(origins: Origins, method: str, headers: Mapping[bytes, bytes]) -> bytes:
    """Render the headers for an answer; nothing for an origin that is not let in."""
    named = _name_origin(origins, headers.get(b"origin", b"").decode("latin-1"))
    if named is None:
        return b""
    lines = [f"access-control-allow-origin: {named}\r\n".encode("latin-1")] if named else []
    if headers.get(b"access-control-request-private-network") == b"true":
        lines.append(b"access-control-allow-private-network: false\r\n")
    if method == "OPTIONS" and headers.get(b"access-control-request-method", b"").decode("latin-1").upper() in _METHODS:
        lines += _answer_preflight(headers.get(b"access-control-request-headers", b"").decode("latin-1"))
    if named != "*" and origins.varies:
        lines.append(_VARY)
    return b"".join(lines)


def _name_origin(origins: Origins, origin: str) -> str | None:
    """Return the origin to name, None for none. A request that names none itself is told the first that is let in."""
    if origin:
        return origin if origins.let_in(origin) else None
    return "*" if origins.lets_everyone else min(origins.literals, default=None)


def _answer_preflight(asked: str) -> list[bytes]:
    allowed = ", ".join(sorted(name.strip() for name in asked.split(",")))
    named = [f"access-control-allow-headers: {allowed}\r\n".encode("latin-1")] if asked else []
    return [*named, f"access-control-allow-methods: {', '.join(_METHODS)}\r\n".encode()]
