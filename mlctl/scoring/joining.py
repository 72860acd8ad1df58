"""Bodies whose rows can be scored together: found, put into batches, and written as one body. Used by `batching`.

Bodies are joined as text: the script sees each number as its client wrote it, and nothing is written anew.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable
from itertools import chain
from typing import Any, NamedTuple, cast

from mlctl.scoring.dispatch import Ticket

_decode: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().raw_decode
_find_first_name = re.compile(r'[ \t\n\r]*\{[ \t\n\r]*(?=")').match
_find_value = re.compile(r"[ \t\n\r]*:[ \t\n\r]*").match
_find_next_name = re.compile(r'[ \t\n\r]*,[ \t\n\r]*(?=")').match
_find_end = re.compile(r"[ \t\n\r]*\}[ \t\n\r]*\Z").match
# What is longer is worth a call of its own, and would be parsed twice.
_LONGEST_BODY_BYTES = 256 * 1024
_LISTS = frozenset({list})
_OBJECTS = frozenset({dict})
# Whole numbers beside decimals in one array are decimals, whoever else is in it.
_AS_IF = {frozenset({int, float}): frozenset({float})}


Frame = tuple[str, str]


class Rows(NamedTuple):
    """The rows of one body. text: without the brackets. kin: equal for bodies that can be joined."""

    head: str
    text: str
    tail: str
    row_count: int
    kin: Hashable


class RowFinder:
    """Takes bodies apart around their rows: a list that is not empty, under `key` in the outermost object.

    Bodies are kin when everything but the rows is the same text, and the rows have the same shape and kinds of values:
    a whole number would become a decimal among decimals, and a row that is too short spoil the others' answers.
    """

    def __init__(self, key: str) -> None:
        self._key = key
        self._frame: tuple[str, str] | None = None

    def find(self, body: str) -> Rows | None:
        """Return the rows of a body; None where it is anything else."""
        try:
            return self._find_in_frame(body) or self._find_anywhere(body)
        except (ValueError, RecursionError):
            return None

    def _find_in_frame(self, body: str) -> Rows | None:
        """Try whether the body differs from the last one in its rows only: a third of the time, the same outcome."""
        if self._frame is None:
            return None
        head, tail = self._frame
        if not (body.startswith(head) and body.endswith(tail)):
            return None
        rows, end = _decode(body, len(head))
        return _cut_out(body, head, rows, tail) if end == len(body) - len(tail) else None

    def _find_anywhere(self, body: str) -> Rows | None:
        found = _scan(body, self._key)
        if found is None:
            return None
        rows, start, end = found
        self._frame = head, tail = body[:start], body[end:]
        return _cut_out(body, head, rows, tail)


def _cut_out(body: str, head: str, rows: Any, tail: str) -> Rows | None:
    if not isinstance(rows, list) or not rows:
        return None
    found = cast("list[Any]", rows)
    kin = (head, tail, _describe(found))
    return Rows(head, body[len(head) + 1 : len(body) - len(tail) - 1], tail, len(found), kin)


def _scan(body: str, key: str) -> tuple[Any, int, int] | None:
    """Find the value of `key` in the outermost object, with its place; ValueError where the body is not JSON."""
    found: tuple[Any, int, int] | None = None
    name, at = _find_first_name(body), 0
    while name is not None:
        written, at = _decode(body, name.end())
        colon = _find_value(body, at)
        if colon is None:
            return None
        start = colon.end()
        value, at = _decode(body, start)
        if written == key:
            if found is not None:
                return None
            found = value, start, at
        name = _find_next_name(body, at)
    return found if _find_end(body, at) else None


def _describe(rows: list[Any]) -> Hashable:
    """Describe shape and kinds of values level by level; objects field by field, as they become a table's columns."""
    levels: list[Hashable] = []
    while (kinds := frozenset(map(type, rows))) == _LISTS:
        levels.append(frozenset(map(len, rows)))
        rows = list(chain.from_iterable(rows))
    if kinds == _OBJECTS:
        levels.append(frozenset((tuple(row), tuple(map(type, row.values()))) for row in rows))
    return (*levels, _AS_IF.get(kinds, kinds))


class Batch:
    """Requests to be scored together, in order of arrival. rows: None for one that is to be scored alone."""

    __slots__ = ("row_count", "rows", "tickets")

    def __init__(self, ticket: Ticket, rows: Rows | None) -> None:
        self.tickets = [ticket]
        self.rows = [rows] if rows else []
        self.row_count = rows.row_count if rows else 0

    def add(self, ticket: Ticket, rows: Rows) -> None:
        """Put one more request behind the others."""
        self.tickets.append(ticket)
        self.rows.append(rows)
        self.row_count += rows.row_count

    @property
    def frame(self) -> Frame:
        """What is around the rows, the same for all."""
        return self.rows[0].head, self.rows[0].tail

    def keep(self, tickets: list[Ticket]) -> None:
        """Keep these only, which stand in the same order."""
        if self.rows:
            self.rows = [rows for ticket, rows in zip(self.tickets, self.rows, strict=True) if ticket in tickets]
        self.tickets = tickets
        self.row_count = sum(rows.row_count for rows in self.rows)

    def write_body(self) -> str:
        """Write the one body that holds the rows of all."""
        first = self.rows[0]
        return f"{first.head}[{','.join([rows.text for rows in self.rows])}]{first.tail}"


class Basket:
    """Sorts requests into batches of at most `max_rows` rows; the batches stand in the order of their first requests.

    kin_of: what else has to be equal for two requests to be joined.
    """

    def __init__(self, finder: RowFinder, max_rows: int, kin_of: Callable[[Ticket], Hashable] | None) -> None:
        self._finder = finder
        self._max_rows = max_rows
        self._kin_of = kin_of
        self._open: dict[Hashable, Batch] = {}
        self._row_count = 0
        self.batches: list[Batch] = []

    def add(self, ticket: Ticket) -> bool:
        """Put a request in; say whether there is room for more."""
        rows = self._read(ticket)
        if rows is None or rows.row_count >= self._max_rows:
            self.batches.append(Batch(ticket, None))
            self._row_count += 1 if rows is None else rows.row_count
        else:
            self._join(ticket, rows, (rows.kin, self._kin_of(ticket)) if self._kin_of else rows.kin)
            self._row_count += rows.row_count
        return self._row_count < self._max_rows

    def _read(self, ticket: Ticket) -> Rows | None:
        if len(ticket.body) > _LONGEST_BODY_BYTES:
            return None
        try:
            rows = self._finder.find(ticket.body.decode())
        except UnicodeDecodeError:
            return None
        if rows:
            ticket.rows = rows.row_count
        return rows

    def _join(self, ticket: Ticket, rows: Rows, kin: Hashable) -> None:
        batch = self._open.get(kin)
        if batch is not None and batch.row_count + rows.row_count <= self._max_rows:
            batch.add(ticket, rows)
        else:
            self._open[kin] = Batch(ticket, rows)
            self.batches.append(self._open[kin])
