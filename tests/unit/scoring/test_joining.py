"""Bodies taken apart around their rows, sorted into batches, and written as one."""

from __future__ import annotations

import json
from asyncio import Future
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlctl.scoring.answers import Answer
from mlctl.scoring.dispatch import Ticket
from mlctl.scoring.joining import Basket, RowFinder, Rows


class Client:
    disconnected = False


def make_ticket(body: bytes, headers: dict[bytes, bytes] | None = None) -> Ticket:
    scope = {"method": "POST", "headers": list((headers or {}).items())}
    return Ticket(body, headers or {}, scope, cast("Future[Answer]", None), Client())


def find_rows(body: str, key: str) -> Rows | None:
    return RowFinder(key).find(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("body", "head", "rows", "tail"),
    [
        ('{"features": [[1, 2], [3, 4]]}', '{"features": ', "[1, 2], [3, 4]", "}"),
        (
            ' {\n"features":[1.50,1e2]\t, "a": {"features": 1}}',
            ' {\n"features":',
            "1.50,1e2",
            '\t, "a": {"features": 1}}',
        ),
        ('{"a": "]}", "features": ["]"], "b": []}', '{"a": "]}", "features": ', '"]"', ', "b": []}'),
        ('{"featur\\u0065s": [1]}', '{"featur\\u0065s": ', "1", "}"),
    ],
)
def test_body_is_cut_around_its_rows_as_it_is_written(body: str, head: str, rows: str, tail: str) -> None:
    found = find_rows(body, "features")
    assert found is not None
    assert (found.head, found.text, found.tail) == (head, rows, tail)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{}",
        "[]",
        "[[1, 2]]",
        '"features"',
        '{"features": []}',
        '{"features": {"0": 1}}',
        '{"features": null}',
        '{"other": [1]}',
        '{"features": [1], "features": [2]}',
        '{"features": [1]',
        '{"features": [1]} x',
        '{"features": [1],}',
        '{"features": [1] "a": 2}',
        '{"features" [1]}',
        '{features: [1]}',
        '\ufeff{"features": [1]}',
        "[" * 100_000,
        '{"features": ' + "[" * 100_000 + "}",
    ],
)  # fmt: skip
def test_what_is_no_object_with_one_list_of_rows_is_left_alone(body: str) -> None:
    assert find_rows(body, "features") is None


@settings(deadline=None)  # other work on the machine is no fault
@given(before=st.dictionaries(st.text(max_size=3), JSON, max_size=2), rows=st.lists(JSON, min_size=1, max_size=4))
def test_every_object_with_rows_is_found_and_put_together_again(before: dict[str, Any], rows: list[Any]) -> None:
    body = json.dumps({**before, "rows": rows, "after": 1}, ensure_ascii=False)
    found = find_rows(body, "rows")
    assert found is not None
    assert found.row_count == len(rows)
    assert f"{found.head}[{found.text}]{found.tail}" == body


@settings(deadline=None)  # other work on the machine is no fault
@given(
    bodies=st.lists(
        st.sampled_from(
            [
                '{"rows": [1]}',
                '{"rows": [1, 2]} ',
                '{"rows": []}',
                '{"rows": {"rows": [1]}}',
                '{"rows": [1], "rows": [2]}',
                '{"rows": [1], "k": [2]}',
                '{"rows": [1], "k": [2], "rows": [3]}',
                '{"k": [2], "rows": [3]}',
                '{"rows": [1]',
                '{"rows": [1]]}',
                '{"rows": [1], "k": }',
                '{"rows": 1}',
                '{"rows": "x"}',
                '{"rows": [[1}, 2]}',
                "",
            ]
        ),
        max_size=8,
    )
)
def test_what_is_found_depends_on_no_body_before(bodies: list[str]) -> None:
    finder = RowFinder("rows")
    assert [finder.find(body) for body in bodies] == [find_rows(body, "rows") for body in bodies]


def _is_kin(one: Any, other: Any) -> bool:
    first, second = find_rows(json.dumps(one), "rows"), find_rows(json.dumps(other), "rows")
    assert first is not None
    assert second is not None
    return first.kin == second.kin


@pytest.mark.parametrize(
    ("one", "other", "is_kin"),
    [
        ({"rows": [[1, 2]]}, {"rows": [[3, 4], [5, 6]]}, True),
        ({"rows": [[1, 2.5]]}, {"rows": [[1.5, 2.5]]}, True),
        ({"rows": [[1, 2]]}, {"rows": [[1.5, 2]]}, False),
        ({"rows": [[1, 2]]}, {"rows": [[1, 2, 3]]}, False),
        ({"rows": [[1, 2]]}, {"rows": [["1", 2]]}, False),
        ({"rows": [[1, None]]}, {"rows": [[1, 2]]}, False),
        ({"rows": [[True]]}, {"rows": [[1]]}, False),
        ({"rows": [[[1], [2]]]}, {"rows": [[[1.5], [2]]]}, False),
        ({"rows": [1]}, {"rows": [[1]]}, False),
        ({"rows": [{"a": 1, "b": "x"}]}, {"rows": [{"a": 2, "b": "y"}]}, True),
        ({"rows": [{"a": 1, "b": 2.5}]}, {"rows": [{"a": 1.5, "b": 2.5}]}, False),
        ({"rows": [{"a": 1, "b": 2}]}, {"rows": [{"b": 1, "a": 2}]}, False),
        ({"rows": [1], "segment": "retail"}, {"rows": [1], "segment": "sme"}, False),
        ({"rows": [1], "segment": 1}, {"rows": [1], "segment": 1.0}, False),
        ({"rows": [1], "segment": "retail"}, {"rows": [2], "segment": "retail"}, True),
    ],
)
def test_rows_are_joined_only_with_their_like(one: Any, other: Any, is_kin: bool) -> None:
    assert _is_kin(one, other) == is_kin


def _sort(bodies: list[bytes], max_rows: int = 4) -> list[list[bytes]]:
    basket = Basket(RowFinder("rows"), max_rows, None)
    for body in bodies:
        basket.add(make_ticket(body))
    return [[ticket.body for ticket in batch.tickets] for batch in basket.batches]


def test_batches_keep_the_order_and_the_size() -> None:
    a1, a2, a3 = b'{"rows": [1]}', b'{"rows": [2, 3]}', b'{"rows": [4, 5]}'
    b1, b2 = b'{"rows": [1], "k": 1}', b'{"rows": [2], "k": 1}'
    large, other = b'{"rows": [1, 2, 3, 4]}', b"no JSON \xff"
    assert _sort([a1, b1, large, a2, other, b2, a3]) == [[a1, a2], [b1, b2], [large], [other], [a3]]


def test_basket_is_full_at_its_number_of_rows() -> None:
    basket = Basket(RowFinder("rows"), 4, None)
    assert basket.add(make_ticket(b'{"rows": [1, 2]}'))
    assert basket.add(make_ticket(b"alone"))
    assert not basket.add(make_ticket(b'{"rows": [3]}'))
    assert [ticket.rows for batch in basket.batches for ticket in batch.tickets] == [2, 1, None]


def test_joined_body_holds_all_rows_as_they_were_written() -> None:
    basket = Basket(RowFinder("rows"), 9, None)
    tickets = [make_ticket(body) for body in (b'{"rows":[ 1.50 ],"k":1}', b'{"rows":[2e0,3.0],"k":1}')]
    for ticket in tickets:
        basket.add(ticket)
    (batch,) = basket.batches
    assert batch.write_body() == '{"rows":[ 1.50 ,2e0,3.0],"k":1}'
    batch.keep(tickets[1:])
    assert (batch.write_body(), batch.row_count) == ('{"rows":[2e0,3.0],"k":1}', 2)
