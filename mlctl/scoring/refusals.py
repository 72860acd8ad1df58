"""A body that is refused with its faults, each with its place, before the model sees it.

Raised by what stands between the body and the model: the request schema and the scorers of `no_code`. `scorer` answers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import NamedTuple

from mlctl.scoring.answers import FUNCTION_SUCCEEDED, JSON_TYPE, Answer

_MOST_FAULTS = 100
_LONGEST_MESSAGE = 300


class Fault(NamedTuple):
    """What is wrong and where: a JSON path such as `$.features[0][2]`."""

    path: str
    message: str


class BodyRefused(Exception):
    """The body does not fit; says so to the client in words and as a list. At most 100 faults are told."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults: Sequence[Fault] = [
            Fault(path, _clip(message)) for path, message in islice(faults, _MOST_FAULTS)
        ] or [Fault("$", "does not fit")]
        super().__init__(self._summarise())

    def _summarise(self) -> str:
        first, count = self.faults[0], len(self.faults)
        more = f" (and {count - 1} more)" if count > 1 else ""
        return f"The body does not fit what the model takes: {first.path} {first.message}{more}"

    def answer(self) -> Answer:
        """Build the answer: 400, `{"message": …, "errors": [{"path": …, "message": …}]}`."""
        content = {"message": str(self), "errors": [fault._asdict() for fault in self.faults]}
        return Answer(400, json.dumps(content).encode(), JSON_TYPE + FUNCTION_SUCCEEDED)


def _clip(message: str) -> str:
    return message if len(message) <= _LONGEST_MESSAGE else message[: _LONGEST_MESSAGE - 1] + "…"
