"""Bodies checked against a request schema before they wait for run(): of the user's own, or of what the model tells.

A body that does not fit is answered 400 with every place that is wrong; it takes nobody's turn. Used by `__main__`.
A schema that was inferred refuses only what the model would refuse as well, and leaves to the script what a script
answers itself: bodies that are no JSON.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mlctl.scoring.answers import Answer
from mlctl.scoring.dispatch import Ticket
from mlctl.scoring.json_schema.compiling import compile_schema, find_faults
from mlctl.scoring.json_schema.rules import Rule, SchemaRefused
from mlctl.scoring.options import AUTO
from mlctl.scoring.refusals import BodyRefused, Fault
from mlctl.scoring.user_code import Kind, Script

# A longer body is checked in a thread, so that probes and other requests are answered meanwhile.
_LONGEST_AT_ONCE_BYTES = 64 * 1024
_logger = logging.getLogger("azmlinfsrv")

Enter = Callable[[Ticket], None]


class Gate:
    """Lets requests in whose bodies fit. is_inferred: nobody wrote the schema."""

    def __init__(self, rule: Rule, loop: asyncio.AbstractEventLoop, *, is_inferred: bool) -> None:
        self._rule = rule
        self._loop = loop
        self._is_inferred = is_inferred

    def admit(self, ticket: Ticket, enter: Enter) -> None:
        """Enter a ticket, or answer it. Called in the loop."""
        if len(ticket.body) <= _LONGEST_AT_ONCE_BYTES:
            self._settle(ticket, self.check(ticket.body), enter)
        else:
            self._loop.create_task(self._admit_later(ticket, enter))

    async def _admit_later(self, ticket: Ticket, enter: Enter) -> None:
        refusal = await self._loop.run_in_executor(None, self.check, ticket.body)
        self._settle(ticket, refusal, enter)

    @staticmethod
    def _settle(ticket: Ticket, refusal: Answer | None, enter: Enter) -> None:
        if refusal is None:
            enter(ticket)
        elif not ticket.answer.done():
            ticket.answer.set_result(refusal)

    def check(self, body: bytes) -> Answer | None:
        """Return the answer to a body that does not fit, None for one that does."""
        try:
            value = json.loads(body)
        except (ValueError, RecursionError) as error:
            return None if self._is_inferred else BodyRefused([Fault("$", f"is not JSON: {error}")]).answer()
        faults = find_faults(self._rule, value)
        return BodyRefused(faults).answer() if faults else None


def open_gate(asked: str, script: Script, loop: asyncio.AbstractEventLoop) -> Gate | None:
    """Return what checks bodies; None where nothing is known of them.

    asked: auto, or the path of a schema. Called after init(): models tell what they take once they are loaded.
    """
    if asked != AUTO:
        _logger.info("Bodies are checked against %s", Path(asked).name)
        return Gate(compile_schema(json.loads(Path(asked).read_bytes())), loop, is_inferred=False)
    schema = infer_schema(script)
    if schema is None:
        return None
    try:
        gate = Gate(compile_schema(schema), loop, is_inferred=True)
    except SchemaRefused as error:
        _logger.warning("Bodies are not checked before run(): %s", error)
        return None
    _logger.info("Bodies are checked against what the model tells of its input")
    return gate


def infer_schema(script: Script) -> Mapping[str, Any] | None:
    """Return what is known of a script's bodies: by the loader of a model, or by @input_schema."""
    describe = getattr(getattr(script.function, "__self__", None), "describe_body", None)
    if describe is not None:
        return describe()
    if script.kind is Kind.SCHEMA:
        from mlctl.scoring.parameter_schemas import describe_parameters

        return describe_parameters(script.function)
    return None
