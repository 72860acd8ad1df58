"""Where an endpoint and Azure's inference server answer differently, and which of the two is asked for.

An endpoint's replica speaks for Azure's front as well: a failed run() is a 424 that names the container's status.
Alone, the server answers 500, as Azure's does. Besides, a result is encoded in mlctl's way or exactly in Azure's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlctl.scoring.answers import (
    RESULT_REFUSED,
    RUN_FAILED,
    SERVER_RESULT_REFUSED,
    SERVER_RUN_FAILED,
    Answer,
)
from mlctl.scoring.wire import Encoded, encode_result, encode_result_exactly


@dataclass(frozen=True)
class Behaviour:
    """encode: from what run() returned to status and body. run_failed, result_refused: the answers to failures.

    eats_forms: a script that takes text finds none where the body is announced as a form, as `curl -d` does.
    """

    encode: Callable[[object], Encoded]
    run_failed: Answer
    result_refused: Answer
    eats_forms: bool


ENDPOINT = Behaviour(encode_result, RUN_FAILED, RESULT_REFUSED, eats_forms=False)
ENDPOINT_EXACT = Behaviour(encode_result_exactly, RUN_FAILED, RESULT_REFUSED, eats_forms=True)
SERVER = Behaviour(encode_result_exactly, SERVER_RUN_FAILED, SERVER_RESULT_REFUSED, eats_forms=True)
SERVER_PLAIN = Behaviour(encode_result, SERVER_RUN_FAILED, SERVER_RESULT_REFUSED, eats_forms=False)
