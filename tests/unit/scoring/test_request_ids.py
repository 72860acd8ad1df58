from __future__ import annotations

import random
import re

import pytest

from mlctl.scoring.request_ids import assign_ids, make_id

NAMES = ("x-request-id", "x-ms-request-id", "x-ms-client-request-id")


def _parse(headers: bytes) -> dict[str, str]:
    lines = headers.decode().split("\r\n")
    assert lines.pop() == ""
    return dict(line.split(": ", 1) for line in lines)


# Table 2.7 of the scoring contract: what is sent and what comes back, in the order of NAMES; N is a new id.
@pytest.mark.parametrize(
    ("sent", "returned"),
    [
        ("---", "NN-"),
        ("A--", "AA-"),
        ("-B-", "NBB"),
        ("--C", "NCC"),
        ("AB-", "ABB"),
        ("-BC", "NBC"),
        ("A-C", "ACC"),
        ("ABC", "ABC"),
    ],
)
def test_ids_follow_azures_table(sent: str, returned: str) -> None:
    headers = {name.encode(): letter.encode() for name, letter in zip(NAMES, sent, strict=True) if letter != "-"}
    ids = assign_ids(headers)
    letters = {"N": ids.request_id.decode()}
    expected = {
        name: letters.get(letter, letter) for name, letter in zip(NAMES, returned, strict=True) if letter != "-"
    }
    assert _parse(ids.headers) == expected
    assert ids.refusal is None
    assert ids.request_id == expected["x-request-id"].encode()


def test_new_ids_are_uuids_and_differ() -> None:
    ids = {make_id() for _ in range(1000)}
    assert len(ids) == 1000
    assert all(
        re.fullmatch(rb"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", one) for one in ids
    )


def test_seed_of_a_script_does_not_repeat_ids() -> None:
    random.seed(1)
    first = make_id()
    random.seed(1)
    assert make_id() != first


def test_id_of_100_characters_is_fine() -> None:
    assert all(assign_ids({name.encode(): b"i" * 100}).refusal is None for name in NAMES)


def test_long_request_id_is_refused_without_ids() -> None:
    ids = assign_ids({b"x-request-id": b"i" * 101, b"x-ms-request-id": b"B"})
    assert ids.refusal is not None
    assert (ids.refusal.status, ids.headers) == (431, b"")
    assert b"x-request-id must not exceed 100 characters" in ids.refusal.body


@pytest.mark.parametrize("name", NAMES[1:])
def test_other_long_id_is_refused_with_the_request_id(name: str) -> None:
    ids = assign_ids({b"x-request-id": b"A", name.encode(): b"i" * 101})
    assert ids.refusal is not None
    assert (ids.refusal.status, _parse(ids.headers)) == (431, {"x-request-id": "A"})
    assert b"x-ms-request-id and x-ms-client-request-id must not exceed" in ids.refusal.body


def test_the_clients_id_keeps_letters_digits_hyphens_and_underscores_only():
    ids = assign_ids({b"x-ms-client-request-id": b"a b;c=<\xe9>-9_Z"})
    assert b"x-ms-client-request-id: abc-9_Z\r\n" in ids.headers
