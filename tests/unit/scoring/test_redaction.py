from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.scoring.redaction import describe_exception, redact, render_exception

BODY = json.dumps({"customer": "Jürgen Habermann-Schmidt", "rows": [1.25, 2.5, 3.75, 4.125]}).encode()


def test_message_that_has_nothing_of_the_body_stays() -> None:
    message = "X has 5 features, but LogisticRegression is expecting 6 features as input."
    assert redact(message, BODY) == message


@pytest.mark.parametrize(
    ("message", "redacted"),
    [
        ("bad customer: Habermann-Schmidt!", "bad customer:[...]!"),
        ("bad (Jürgen Habermann-Schmidt)", "bad ([...])"),
        ("twice: 1.25, 2.5, 3.75; and 1.25, 2.5, 3.75!", "twice: [...]; and [...]!"),
        ("short runs such as 1.25 stay", "short runs such as 1.25 stay"),
    ],
)
def test_runs_of_the_body_are_dropped(message: str, redacted: str) -> None:
    assert redact(message, BODY) == redacted


def test_body_quoted_as_python_writes_it_is_dropped() -> None:
    assert "Habermann" not in redact(f"cannot use {json.loads(BODY)!r}", BODY)
    compact = b'{"data":[10,20,30,40,50,60]}'
    assert "[10, 20" not in redact(f"cannot use {json.loads(compact)}", compact)


@given(st.text(min_size=12), st.text(), st.text())
def test_no_run_of_twelve_survives(secret: str, before: str, after: str) -> None:
    body = (before + secret + after).encode("utf-8", "replace")
    text = body.decode()
    redacted = redact(f"error: {text}", body)
    for start in range(len(redacted) - 11):
        run = redacted[start : start + 12]
        assert run not in text or "[...]" in run


def test_long_message_is_cut() -> None:
    assert len(redact("a b " * 10_000, b"")) < 2100


def test_large_body_leaves_little_of_the_message_and_takes_little_time() -> None:
    started = time.monotonic()
    redacted = redact("no such thing " * 100, b"x" * 20_000_000)
    assert len(redacted) < 20
    assert time.monotonic() - started < 5


def test_message_that_cannot_be_written_is_replaced() -> None:
    class Broken(Exception):
        def __str__(self) -> str:
            raise KeyError

    assert describe_exception(Broken()) == "Broken: <no message: KeyError>"


def test_exception_without_message_is_its_type() -> None:
    assert describe_exception(KeyboardInterrupt()) == "KeyboardInterrupt"


def _raise(message: str) -> None:
    try:
        raise KeyError(message)
    except KeyError as exc:
        raise ValueError("outer") from exc


def test_traceback_shows_causes_first_and_redacts_them() -> None:
    secret = json.loads(BODY)["customer"]
    with pytest.raises(ValueError, match="outer") as caught:
        _raise(secret)
    text = render_exception(caught.value, BODY)
    assert (
        text.index("KeyError: '[...]'") < text.index("The exception above led to this one") < text.index("ValueError")
    )
    assert text.count("Traceback (most recent call last):") == 2
    assert Path(__file__).name in text
    assert "Habermann" not in text
