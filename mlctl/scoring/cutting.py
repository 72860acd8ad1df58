"""One result for many requests, cut back into theirs. How it is cut is learned by comparison. Used by `batching`."""

from __future__ import annotations

import json
import math
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, cast

# numpy.allclose's: models round differently in batches of different sizes, those of 32 bits about 1e-7 of a value.
_RELATIVE = 1e-5
_ABSOLUTE = 1e-8

_kind: Callable[[object], object] = type


class Unlike(Exception):
    """The joined result does not hold the single ones. The message never quotes a value."""


class Plan(ABC):
    """How a result, or a part of one, is cut. is_by_row: some of it differs from row to row."""

    is_by_row = False

    @abstractmethod
    def cut(self, result: Any, spans: Sequence[slice], row_count: int) -> Iterable[Any] | None:
        """Return each request's part of it, as many as there are spans; None where the plan does not fit."""


class ByRow(Plan):
    """A list with an element for each row."""

    is_by_row = True

    def cut(self, result: Any, spans: Sequence[slice], row_count: int) -> Iterable[Any] | None:
        """Slice the list."""
        kind = _kind(result)
        is_list = kind is list or kind is tuple or (_is_numpy(result) and result.ndim)
        return map(result.__getitem__, spans) if is_list and len(result) == row_count else None


class Constant(Plan):
    """Something that is the same in every result, such as the names of the classes. value: as decoded from JSON."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def cut(self, result: Any, spans: Sequence[slice], row_count: int) -> Iterable[Any] | None:
        """Give it to all; a new value does not fit."""
        plain: Any = result.tolist() if _is_numpy(result) else result
        if isinstance(plain, tuple):
            plain = list(cast("tuple[Any, ...]", plain))
        return [result] * len(spans) if is_close(plain, self.value) else None


class ByField(Plan):
    """An object, cut field by field."""

    def __init__(self, fields: dict[str, Plan]) -> None:
        self.fields = fields
        self.is_by_row = any(plan.is_by_row for plan in fields.values())

    def cut(self, result: Any, spans: Sequence[slice], row_count: int) -> Iterable[Any] | None:
        """Cut each field, and put the parts together again."""
        kind = _kind(result)
        if kind is not dict or list(result) != list(self.fields):
            return None
        columns: list[Iterable[Any]] = []
        for name, plan in self.fields.items():
            column = plan.cut(result[name], spans, row_count)
            if column is None:
                return None
            columns.append(column)
        return [dict(zip(self.fields, parts, strict=True)) for parts in zip(*columns, strict=True)]


def _is_numpy(value: Any) -> bool:
    numpy: Any = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray | numpy.generic)


def learn_plan(joined: Any, singles: Sequence[Any], counts: Sequence[int]) -> Plan:
    """Find out how to cut by comparing with the results of the same requests, one by one; all decoded from JSON.

    Raises Unlike where the joined result does not hold the single ones.
    """
    plan = _learn(joined, singles, counts)
    if not plan.is_by_row:
        raise Unlike("run() returns no list with an element for each row")
    return plan


def _learn(joined: Any, singles: Sequence[Any], counts: Sequence[int]) -> Plan:
    kind = _kind(joined)
    if kind is dict and joined:
        return _learn_fields(joined, singles, counts)
    if kind is list and _is_by_row(joined, singles, counts):
        return ByRow()
    if all(is_close(joined, single) for single in singles):
        return Constant(joined)
    if kind is list and len(joined) == sum(counts):
        raise Unlike("rows get other results when they are scored together")
    raise Unlike(
        "run() returns something that is neither equal for all requests nor a list with an element for each row"
    )


def _learn_fields(joined: dict[str, Any], singles: Sequence[Any], counts: Sequence[int]) -> Plan:
    if any(type(single) is not dict or list(single) != list(joined) for single in singles):
        raise Unlike("the fields of the result change from request to request")
    return ByField(
        {name: _learn(value, [single[name] for single in singles], counts) for name, value in joined.items()}
    )


def _is_by_row(joined: list[Any], singles: Sequence[Any], counts: Sequence[int]) -> bool:
    kinds = set(map(type, singles))
    if kinds != {list} or [len(single) for single in singles] != list(counts):
        return False
    return is_close(joined, [row for single in singles for row in single])


def is_close(one: Any, other: Any) -> bool:
    """Compare two values decoded from JSON: decimals within numpy.allclose's tolerance, all else exactly."""
    kind = _kind(one)
    if kind is not type(other):
        return False
    if kind is float:
        is_nan = one != one and other != other
        return is_nan or math.isclose(one, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)
    if kind is list:
        return len(one) == len(other) and all(map(is_close, one, other))
    if kind is dict:
        return list(one) == list(other) and all(map(is_close, one.values(), other.values()))
    return one == other


class Form(NamedTuple):
    """A way of writing JSON."""

    write: Callable[[Any], str]
    is_ascii: bool

    def may_have_written(self, text: str) -> bool:
        """Say whether nothing at first sight speaks against it."""
        return text.isascii() or not self.is_ascii


# json.dumps as it is, compact as pydantic and orjson write, and both without escapes.
_FORMS = [
    Form(json.JSONEncoder(ensure_ascii=is_ascii, separators=separators, check_circular=False).encode, is_ascii)
    for is_ascii in (True, False)
    for separators in ((", ", ": "), (",", ":"))
]


def find_form(texts: Sequence[str]) -> Form:
    """Find the form in which all of `texts` are written; raises Unlike where it is none that is known here."""
    values = [json.loads(text) for text in texts]
    for form in _FORMS:
        if [form.write(value) for value in values] == list(texts):
            return form
    raise Unlike("run() returns text in an unusual form of JSON, such as an indented one")
