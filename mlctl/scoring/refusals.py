"""A body that is refused with its faults, each with its place, before the model sees it.

Raised by what stands between a body and a model: the request schema, and the loaders of `no_code`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, NamedTuple

from mlctl.scoring.answers import FUNCTION_SUCCEEDED, JSON_TYPE, Answer

_MOST_FAULTS = 100
_LONGEST_MESSAGE = 300
_NAMES = {bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list", dict: "an object"}


class Fault(NamedTuple):
    """What is wrong and where: a JSON path such as `$.features[0][2]`."""

    path: str
    message: str


class BodyRefused(Exception):
    """The body does not fit; says so to the client in words and as a list. At most 100 faults are told."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        found = islice(faults, _MOST_FAULTS + 1)
        told = [Fault(_clip(path), _clip(message)) for path, message in found] or [Fault("$", "does not fit")]
        self.faults: Sequence[Fault] = told[:_MOST_FAULTS]
        self._is_all = len(told) <= _MOST_FAULTS
        super().__init__(self._summarise())

    def _summarise(self) -> str:
        first, count = self.faults[0], len(self.faults)
        others = f" (and {count - 1} more{'' if self._is_all else ' at least'})" if count > 1 else ""
        return f"The body does not fit what the model takes: {first.path} {first.message}{others}"

    def answer(self) -> Answer:
        """Build the answer: 400, `{"message": …, "errors": [{"path": …, "message": …}]}`."""
        content = {"message": str(self), "errors": [fault._asdict() for fault in self.faults]}
        return Answer(400, json.dumps(content).encode(), JSON_TYPE + FUNCTION_SUCCEEDED)


def name_kind(value: Any) -> str:
    """Name a JSON value's kind, with its article; of a decimal that stands where none may, the value as well."""
    if isinstance(value, float) and not value.is_integer():
        return f"the number {value!r}"
    return next((name for kind, name in _NAMES.items() if type(value) is kind), "null")


def _clip(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 1] + "…"
