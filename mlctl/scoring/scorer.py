"""What happens to one request in the thread that calls run(): decode, run, encode; every failure becomes an answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from mlctl.scoring.answers import Answer, answer_result
from mlctl.scoring.behaviour import Behaviour
from mlctl.scoring.dispatch import Score, Ticket
from mlctl.scoring.inputs import InputRefused, choose_reader
from mlctl.scoring.redaction import render_exception
from mlctl.scoring.responses import answer_response, is_response
from mlctl.scoring.user_code import Kind, Script

_logger = logging.getLogger("azmlinfsrv")


def build_score(script: Script, behaviour: Behaviour) -> Score:
    """Build the function that answers a ticket with the script's result."""
    wants_headers, clock = script.wants_headers, time.perf_counter
    run, read, encode = _choose_run(script), choose_reader(script, eats_forms=behaviour.eats_forms), behaviour.encode

    def score(ticket: Ticket) -> Answer:
        try:
            given = read(ticket)
        except InputRefused as refusal:
            return behaviour.pass_on(refusal.answer)
        try:
            ticket.run_started_s = clock()
            result = run(given, headers_for_script(ticket)) if wants_headers else run(given)
            ticket.run_ended_s = clock()
        except BaseException as exc:  # sys.exit() in run() fails one request, not the replica
            ticket.run_ended_s = clock()
            _log_exception(exc, ticket.body)
            return behaviour.answer_failure(exc)
        took_ms = (ticket.run_ended_s - ticket.run_started_s) * 1000
        try:
            status, body = encode(result)
        except Exception as exc:  # objects of the script take part in the encoding
            if is_response(result):
                return _pass_on(result, ticket, took_ms, behaviour)
            _log_exception(exc, ticket.body)
            return behaviour.result_refused
        answer = answer_result(status, body, took_ms)
        ticket.encoded_s = clock()
        return answer

    return score


def _choose_run(script: Script) -> Callable[..., object]:
    if script.kind is not Kind.RAW:
        return script.run
    from mlctl.scoring.raw_request import adapt_run

    return adapt_run(script.run)


def _pass_on(response: Any, ticket: Ticket, took_ms: float, behaviour: Behaviour) -> Answer:
    """Answer with a response that the script made; returns when all pieces of a stream are made as well."""
    try:
        answer = behaviour.pass_on(answer_response(response, ticket.scope["method"], took_ms))
    except Exception as exc:  # its body may be made by the script, too
        _log_exception(exc, ticket.body)
        return behaviour.result_refused
    ticket.encoded_s = time.perf_counter()
    if answer.stream is not None:
        try:
            answer.stream.feed(ticket, answer)
        except BaseException as exc:  # as in run()
            _log_exception(exc, ticket.body)
            if not answer.stream.is_begun:
                return behaviour.run_exited
    return answer


def headers_for_script(ticket: Ticket) -> dict[str, str]:
    """Return a request's headers, named as Flask does: `Content-Type`."""
    named: dict[str, str] = {}
    for name, value in ticket.scope["headers"]:
        if b"_" not in name:  # it would pass for another one
            key, text = name.decode("latin-1").title(), value.decode("latin-1").rstrip()
            named[key] = f"{named[key]},{text}" if key in named else text
    return named


def _log_exception(exc: BaseException, body: bytes) -> None:
    _logger.error("Encountered Exception: %s", render_exception(exc, body))
