"""Where an endpoint and Azure's inference server answer differently, and which of the two is asked for.

An endpoint's replica speaks for Azure's front as well: a failed run() is a 424 that names the container's status.
Alone, the server answers 500, as Azure's does. Besides, a result is encoded in mlctl's way or exactly in Azure's.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace

from mlctl.scoring.answers import (
    RESULT_REFUSED,
    RUN_FAILED,
    SERVER_EXITED,
    SERVER_RESULT_REFUSED,
    SERVER_RUN_FAILED,
    Answer,
    answer_as_front,
)
from mlctl.scoring.timeouts import ScoringTimeout
from mlctl.scoring.wire import Encoded, encode_result, encode_result_exactly


def keep_answer(answer: Answer) -> Answer:
    """Change nothing."""
    return answer


@dataclass(frozen=True)
class Behaviour:
    """encode: from what run() returned to status and body. run_failed, result_refused: the answers to failures.

    eats_forms: a script that takes text finds none where the body is announced as a form, as `curl -d` does.
    run_exited: the answer when run() calls sys.exit(). time_errors: the exceptions that say that its time was over,
    answered with run_timed_out. pass_on: makes of an answer with a status of the script's, or of the input's, what
    reaches the client.
    """

    encode: Callable[[object], Encoded]
    run_failed: Answer
    result_refused: Answer
    eats_forms: bool
    run_exited: Answer
    run_timed_out: Answer
    time_errors: tuple[type[BaseException], ...] = ()
    pass_on: Callable[[Answer], Answer] = keep_answer

    def limit_run(self, timeout_ms: int, *, is_exact: bool) -> Behaviour:
        """Return the same with an answer to a run() that took too long.

        is_exact: as Azure's server, which says so of any TimeoutError of the script.
        """
        body = json.dumps({"message": f"Scoring timeout after {timeout_ms} ms"}).encode()
        errors = (TimeoutError,) if is_exact else (ScoringTimeout,)
        return replace(self, run_timed_out=self.run_failed._replace(body=body), time_errors=errors)

    def answer_failure(self, exc: BaseException) -> Answer:
        """Return the answer to what run() raised."""
        if isinstance(exc, self.time_errors):
            return self.run_timed_out
        return self.run_failed if isinstance(exc, Exception) else self.run_exited


ENDPOINT = Behaviour(
    encode_result,
    run_failed=RUN_FAILED,
    result_refused=RESULT_REFUSED,
    eats_forms=False,
    run_exited=RUN_FAILED,
    run_timed_out=RUN_FAILED,
)
ENDPOINT_EXACT = replace(ENDPOINT, encode=encode_result_exactly, eats_forms=True, pass_on=answer_as_front)
SERVER_PLAIN = replace(
    ENDPOINT,
    run_failed=SERVER_RUN_FAILED,
    result_refused=SERVER_RESULT_REFUSED,
    run_exited=SERVER_RUN_FAILED,
    run_timed_out=SERVER_RUN_FAILED,
)
SERVER = replace(SERVER_PLAIN, encode=encode_result_exactly, eats_forms=True, run_exited=SERVER_EXITED)
