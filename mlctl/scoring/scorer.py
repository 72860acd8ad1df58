"""What happens to one request in the thread that calls run(): decode, run, encode; every failure becomes an answer."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from mlctl.scoring.answers import Answer, answer_result, refuse
from mlctl.scoring.behaviour import Behaviour
from mlctl.scoring.dispatch import Score, Ticket
from mlctl.scoring.redaction import render_exception
from mlctl.scoring.user_code import Script

_logger = logging.getLogger("azmlinfsrv")


def build_score(script: Script, behaviour: Behaviour) -> Score:
    """Build the function that answers a ticket with the script's result."""
    run, wants_headers, clock = script.run, script.wants_headers, time.perf_counter
    encode = behaviour.encode

    def score(ticket: Ticket) -> Answer:
        try:
            text = ticket.body.decode()
        except UnicodeDecodeError as exc:
            return refuse(400, f"Input cannot be decoded as UTF-8: {exc}")
        try:
            ticket.run_started_s = clock()
            result = run(text, headers_for_script(ticket.headers)) if wants_headers else run(text)
            ticket.run_ended_s = clock()
        except BaseException as exc:  # sys.exit() in run() fails one request, not the replica
            _log_exception(exc, ticket.body)
            return behaviour.run_failed
        try:
            status, body = encode(result)
        except Exception as exc:  # objects of the script take part in the encoding
            _log_exception(exc, ticket.body)
            return behaviour.result_refused
        return answer_result(status, body, (ticket.run_ended_s - ticket.run_started_s) * 1000)

    return score


def headers_for_script(headers: Mapping[bytes, bytes]) -> dict[str, str]:
    """Name the headers as Flask does: `Content-Type`."""
    return {name.decode("latin-1").title(): value.decode("latin-1") for name, value in headers.items()}


def _log_exception(exc: BaseException, body: bytes) -> None:
    _logger.error("Encountered Exception: %s", render_exception(exc, body))
