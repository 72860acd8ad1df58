"""From a request to what run() is given, for scripts that take text and for those with an @input_schema.

Rules: scoring contract 2.5. Used by `scorer`, in the thread that calls run(). A request that run() cannot be called
with raises InputRefused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from inspect import Parameter
from typing import Any, NoReturn, cast

from mlctl.scoring.answers import refuse
from mlctl.scoring.dispatch import Ticket
from mlctl.scoring.user_code import Kind, Script

# werkzeug parses bodies of these types as forms; Azure's server then finds nothing left of them.
_MULTIPART = b"multipart/form-data"
_FORMS = frozenset({b"application/x-www-form-urlencoded", _MULTIPART})
_BOUNDARY = re.compile(rb';\s*boundary="?[^\s;"]', re.IGNORECASE)

Read = Callable[[Ticket], Any]
ReadJoined = Callable[[str, Ticket], Any]


class InputRefused(Exception):
    """The request is none that the script takes; `answer` tells the client why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.answer = refuse(status, message)


def choose_reader(script: Script, *, eats_forms: bool) -> Read:
    """Return what makes run()'s input of a ticket. eats_forms: a body that is a form is empty text, as in Azure."""
    match script.kind:
        case Kind.RAW:
            from mlctl.scoring.raw_request import make_environ

            return make_environ
        case Kind.SCHEMA:
            return SchemaReader(script.parameters).read
        case Kind.TEXT:
            return _read_text_unless_form if eats_forms else _read_text


def choose_joined_reader(script: Script, *, eats_forms: bool) -> ReadJoined:
    """Return what makes run()'s input of the body of joined requests, and of one of them.

    It raises InputRefused for those that are to be looked at one by one. All have the same method and content type,
    where they matter (`minds_type`).
    """
    if script.kind is Kind.SCHEMA:
        reader = SchemaReader(script.parameters)
        return lambda body, ticket: reader.parse(body) if reader.takes_type(ticket) else _refuse_type()
    if eats_forms:
        return lambda body, ticket: _refuse_type() if _is_form(ticket) else body
    return lambda body, ticket: body


def minds_type(script: Script, *, eats_forms: bool) -> bool:
    """Say whether method and content type change what run() is given."""
    return script.kind is Kind.SCHEMA or eats_forms


def _refuse_type() -> NoReturn:
    raise InputRefused(415, "Expects Content-Type to be application/json")


def _read_text(ticket: Ticket) -> str:
    try:
        return ticket.body.decode()
    except UnicodeDecodeError as exc:
        raise InputRefused(400, f"Input cannot be decoded as UTF-8: {exc}") from None


def _read_text_unless_form(ticket: Ticket) -> str:
    return "" if _is_form(ticket) else _read_text(ticket)


def _is_form(ticket: Ticket) -> bool:
    if ticket.scope["method"] != "POST" or (kind := _type_of(ticket.headers)) not in _FORMS:
        return False
    return kind != _MULTIPART or _BOUNDARY.search(ticket.headers[b"content-type"]) is not None


def _type_of(headers: Mapping[bytes, bytes]) -> bytes:
    """Return the content type without its parameters, in lower case."""
    return headers.get(b"content-type", b"").partition(b";")[0].strip().lower()


class SchemaReader:
    """Takes the values of run()'s parameters from an object in JSON; converting them is up to the decorators."""

    def __init__(self, parameters: tuple[Parameter, ...]) -> None:
        self._defaults = tuple((parameter.name, parameter.default) for parameter in parameters)

    def read(self, ticket: Ticket) -> dict[str, Any]:
        """Return the values by name."""
        if not self.takes_type(ticket):
            _refuse_type()
        values = self.parse(ticket.body)
        if ticket.rows is None:
            ticket.rows = _count_rows(values)
        return values

    def takes_type(self, ticket: Ticket) -> bool:
        """Say whether the body is JSON. That of a GET is made of its query, and is JSON by now."""
        return ticket.scope["method"] != "POST" or is_json(ticket.headers)

    def parse(self, body: bytes | str) -> dict[str, Any]:
        """Return the values by name."""
        if not body:
            raise InputRefused(400, "POST body is empty. Expecting a JSON dictionary.")
        try:
            values = json.loads(body)
        except (ValueError, RecursionError) as exc:
            raise InputRefused(400, f"POST body could not be decoded as JSON: {exc}") from None
        if not isinstance(values, dict):
            raise InputRefused(400, "POST body should be a JSON dictionary.")
        given = cast("dict[str, Any]", values)
        return {name: self._find(given, name, default) for name, default in self._defaults}

    def _find(self, given: dict[str, Any], name: str, default: Any) -> Any:
        value = given.get(name, default)
        if value is Parameter.empty:
            raise InputRefused(400, f"A value is not provided for the {name!r} parameter.")
        return value


def _count_rows(values: Mapping[str, Any]) -> int | None:
    """Return the length of the first list among the values, or of the one that a table is written with."""
    for value in values.values():
        rows = cast("dict[str, Any]", value).get("data") if isinstance(value, dict) else value
        if isinstance(rows, list):
            return len(cast("list[Any]", rows))
    return None


def is_json(headers: Mapping[bytes, bytes]) -> bool:
    """Say whether the body is announced as JSON of any kind."""
    kind = _type_of(headers)
    return kind == b"application/json" or (kind.startswith(b"application/") and kind.endswith(b"+json"))
