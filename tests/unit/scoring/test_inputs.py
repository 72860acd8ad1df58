"""What a request makes of run()'s input, alone and joined with others."""

from __future__ import annotations

from inspect import Parameter
from typing import Any

import pytest

from mlctl.scoring.dispatch import Ticket
from mlctl.scoring.inputs import InputRefused, choose_joined_reader, choose_reader, minds_type
from mlctl.scoring.user_code import Kind, Script
from tests.unit.scoring.test_joining import make_ticket

KEYWORD = Parameter.POSITIONAL_OR_KEYWORD
TEXT = Script(lambda: None, lambda data: data, wants_headers=False)
SCHEMA = Script(
    lambda: None,
    lambda **given: given,
    wants_headers=False,
    kind=Kind.SCHEMA,
    parameters=(Parameter("rows", KEYWORD), Parameter("factor", KEYWORD, default=None)),
)
JSON, FORM = b"application/json", b"application/x-www-form-urlencoded"


def _ticket(body: bytes, kind: bytes | None, method: str = "POST") -> Ticket:
    ticket = make_ticket(body, {b"content-type": kind} if kind else {})
    ticket.scope = {**ticket.scope, "method": method}
    return ticket


@pytest.mark.parametrize("kind", [JSON, b"application/json;charset=utf-8", b" Application/JSON", b"application/x+json"])
def test_values_stand_by_name_with_defaults(kind: bytes) -> None:
    read = choose_reader(SCHEMA, eats_forms=False)
    assert read(_ticket(b'{"rows": [1], "other": 2}', kind)) == {"rows": [1], "factor": None}


@pytest.mark.parametrize("body", [b"\xff\xfe{\0}\0", b"\xef\xbb\xbf{}"])
def test_json_in_other_encodings_is_read_as_python_reads_it(body: bytes) -> None:
    with pytest.raises(InputRefused, match="A value is not provided for the 'rows' parameter"):
        choose_reader(SCHEMA, eats_forms=False)(_ticket(body, JSON))


@pytest.mark.parametrize("kind", [None, b"", b"text/plain", b"text/json", b"application/jsonp", b"x/y+json"])
def test_other_types_are_refused_alone_and_joined(kind: bytes | None) -> None:
    ticket = _ticket(b'{"rows": [1]}', kind)
    joined = choose_joined_reader(SCHEMA, eats_forms=False)
    for read in (lambda: choose_reader(SCHEMA, eats_forms=False)(ticket), lambda: joined('{"rows": [1]}', ticket)):
        with pytest.raises(InputRefused) as caught:
            read()
        assert caught.value.answer.status == 415


@pytest.mark.parametrize("kind", [None, FORM, JSON])
def test_query_of_a_get_has_no_type(kind: bytes | None) -> None:
    ticket = _ticket(b'{"rows": [1]}', kind, "GET")
    assert choose_reader(SCHEMA, eats_forms=True)(ticket) == {"rows": [1], "factor": None}
    assert choose_joined_reader(SCHEMA, eats_forms=True)('{"rows": [1, 2]}', ticket) == {"rows": [1, 2], "factor": None}
    assert choose_reader(TEXT, eats_forms=True)(ticket) == '{"rows": [1]}'
    assert choose_joined_reader(TEXT, eats_forms=True)("joined", ticket) == "joined"


@pytest.mark.parametrize(
    ("kind", "is_eaten"),
    [
        (FORM, True),
        (b"APPLICATION/x-www-form-urlencoded; charset=x", True),
        (b"multipart/form-data; boundary=x", True),
        (b"multipart/form-data", False),
        (b"multipart/form-data; boundary=", False),
        (b'multipart/form-data; boundary=""', False),
        (b"multipart/form-data; xboundary=x", False),
        (b"text/plain", False),
        (None, False),
    ],
)
def test_forms_are_eaten_on_request(kind: bytes | None, is_eaten: bool) -> None:
    ticket = _ticket(b"a=1", kind)
    assert choose_reader(TEXT, eats_forms=True)(ticket) == ("" if is_eaten else "a=1")
    assert choose_reader(TEXT, eats_forms=False)(ticket) == "a=1"
    assert choose_joined_reader(TEXT, eats_forms=False)("a=1", ticket) == "a=1"
    if is_eaten:
        with pytest.raises(InputRefused):
            choose_joined_reader(TEXT, eats_forms=True)("a=1", ticket)


@pytest.mark.parametrize(
    ("script", "eats_forms", "minds"), [(TEXT, False, False), (TEXT, True, True), (SCHEMA, False, True)]
)
def test_type_matters_where_it_changes_the_input(script: Script, eats_forms: bool, minds: bool) -> None:
    assert minds_type(script, eats_forms=eats_forms) == minds


def test_value_of_a_default_is_handed_on_as_it_is() -> None:
    default: list[Any] = []
    parameters = (Parameter("rows", KEYWORD, default=default),)
    script = Script(lambda: None, lambda **given: given, wants_headers=False, kind=Kind.SCHEMA, parameters=parameters)
    assert choose_reader(script, eats_forms=False)(_ticket(b"{}", JSON))["rows"] is default
