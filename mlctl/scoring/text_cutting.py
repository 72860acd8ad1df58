"""Results that are JSON text, cut as text: without decoding them and writing each part anew. Used by `batching`.

Only what cannot be mistaken is cut so: an object whose fields are equal for all requests, or lists by row of numbers
or of flat lists of numbers. Everything else is decoded (`cutting`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from mlctl.scoring.cutting import ByField, ByRow, Constant, Form, Plan


class _Field(NamedTuple):
    """name: as it stands in the text, up to the value. constant: the value where all have the same one."""

    name: str
    constant: str | None


class TextPlan:
    """How the text of a joined result is cut."""

    def __init__(self, fields: Sequence[_Field], comma: str) -> None:
        self._fields = tuple(fields)
        self._comma = comma

    def cut(self, text: str, spans: Sequence[slice], row_count: int) -> list[str] | None:
        """Return each request's part, as its own call of run() would have written it; None where that is not sure."""
        at = 0
        columns: list[Sequence[str]] = []
        for name, constant in self._fields:
            if not text.startswith(name, at):
                return None
            at += len(name)
            if constant is not None:
                if not text.startswith(constant, at):
                    return None
                at += len(constant)
                columns.append([name + constant] * len(spans))
                continue
            opening, closing = ("[[", "]]") if text.startswith("[[", at) else ("[", "]")
            end = text.find(closing, at)
            pieces = self._split(text[at + len(opening) : end], opening, row_count) if end >= 0 else None
            if pieces is None:
                return None
            at = end + len(closing)
            between = self._comma if opening == "[" else f"]{self._comma}["
            columns.append([f"{name}{opening}{between.join(pieces[span])}{closing}" for span in spans])
        return ["".join((*parts, "}")) for parts in zip(*columns, strict=True)] if text[at:] == "}" else None

    def _split(self, inside: str, opening: str, row_count: int) -> list[str] | None:
        """Return what stands for each row. A text in a list may hold a comma itself: such lists are not cut here."""
        if '"' in inside or "{" in inside:
            return None
        nested = 0 if opening == "[" else row_count - 1
        if inside.count("[") != nested or inside.count("]") != nested:
            return None
        pieces = inside.split(self._comma if opening == "[" else f"]{self._comma}[")
        return pieces if len(pieces) == row_count else None


def plan_text(plan: Plan, form: Form) -> TextPlan | None:
    """Return how texts are cut that are written in this form; None where they have to be decoded."""
    if not isinstance(plan, ByField):
        return None
    comma = ", " if form.write([0, 0]) == "[0, 0]" else ","
    fields: list[_Field] = []
    for name, part in plan.fields.items():
        # {"name": 0} without the zero and the closing brace.
        start = f"{comma if fields else '{'}{form.write({name: 0})[1:-2]}"
        if isinstance(part, ByRow):
            fields.append(_Field(start, None))
        elif isinstance(part, Constant):
            fields.append(_Field(start, form.write(part.value)))
        else:
            return None
    return TextPlan(fields, comma)
