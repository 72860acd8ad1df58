from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable

import pytest

from mlctl.scoring.behaviour import ENDPOINT, SERVER
from mlctl.scoring.timeouts import ScoringTimeout, limit_time
from mlctl.scoring.user_code import Script

# pytest's own limit uses the alarm otherwise.
pytestmark = pytest.mark.timeout(60, method="thread")


def limit(run: Callable[..., object], timeout_s: float) -> Callable[..., object]:
    return limit_time(Script(lambda: None, run, wants_headers=False), timeout_s).run


def test_a_call_that_takes_too_long_is_ended() -> None:
    with pytest.raises(ScoringTimeout):
        limit(time.sleep, 0.01)(30)


def test_a_call_in_time_has_its_result_and_leaves_no_alarm() -> None:
    assert limit(lambda given: given, 30)("x") == "x"
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_the_scripts_own_handler_is_put_back() -> None:
    def handle(_number: int, _frame: object) -> None: ...

    signal.signal(signal.SIGALRM, handle)
    try:
        with pytest.raises(ValueError, match="own"):
            limit(fail, 30)("x")
        assert signal.getsignal(signal.SIGALRM) is handle
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def fail(_: object) -> None:
    raise ValueError("own")


def test_another_thread_has_no_limit() -> None:
    results: list[object] = []
    thread = threading.Thread(target=lambda: results.append(limit(lambda given: given, 0.001)("x")))
    thread.start()
    thread.join()
    assert results == ["x"]


def test_an_endpoint_tells_its_own_limit_from_other_time_errors() -> None:
    limited = ENDPOINT.limit_run(500, is_exact=False)
    assert limited.answer_failure(ScoringTimeout()).body == b'{"message": "Scoring timeout after 500 ms"}'
    assert limited.answer_failure(ScoringTimeout()).status == 424
    assert limited.answer_failure(TimeoutError()) == ENDPOINT.run_failed


def test_azures_server_takes_any_time_error_for_its_limit() -> None:
    assert SERVER.limit_run(500, is_exact=True).answer_failure(TimeoutError()).status == 500
    assert b"Scoring timeout" in SERVER.limit_run(500, is_exact=True).answer_failure(TimeoutError()).body


def test_an_exit_has_gunicorns_page_on_the_server_only() -> None:
    assert SERVER.answer_failure(SystemExit(0)).body.startswith(b"<html>")
    assert ENDPOINT.answer_failure(SystemExit(0)) == ENDPOINT.run_failed
