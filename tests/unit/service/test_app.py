"""The jobs service's parts that need no process."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest

from mlctl.errors import BackendUnavailable, Conflict, InvalidInput, NotFound, Problem
from mlctl.planning.routes import LARGEST_JOB_REQUEST_BYTES
from mlctl.service.answers import answer_error
from mlctl.service.app import JobsApp, KeyLocks
from mlctl.settings import Settings


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidInput("wrong", hint="do this"), 400, "UserError"),
        (NotFound("gone"), 404, "NotFound"),
        (Conflict("taken"), 409, "Conflict"),
        (BackendUnavailable("full"), 503, "BackendUnavailable"),
    ],
)
def test_an_error_of_a_command_is_one_of_azure(error: Any, status: int, code: str):
    answer = answer_error(error)
    assert (answer.status, answer.body["error"]["code"]) == (status, code)
    assert answer.body["error"]["message"] == error.message
    details = answer.body["error"].get("details", [])
    assert [found["message"] for found in details] == ([error.hint] if error.hint else [])
    assert ("retry-after" in answer.headers) == (status == 503)


def test_all_problems_of_a_document_are_told():
    error = InvalidInput("2 problems", problems=[Problem("one"), Problem("two")])
    assert answer_error(error).body["error"]["message"] == "2 problems: one; two"


def test_equal_keys_wait_for_each_other_and_leave_nothing_behind():
    locks, order = KeyLocks(), list[str]()
    inside, leave = threading.Event(), threading.Event()

    def first() -> None:
        with locks.hold("a"):
            inside.set()
            leave.wait(30)
            order.append("first")

    def second() -> None:
        with locks.hold("a"):
            order.append("second")

    one = threading.Thread(target=first)
    one.start()
    assert inside.wait(30)
    two = threading.Thread(target=second)
    two.start()
    with locks.hold("b"), locks.hold(None):
        order.append("other")
    leave.set()
    one.join(30)
    two.join(30)
    assert order == ["other", "first", "second"]
    assert vars(locks)["_locks"] == {}


def call(tmp_path: Path, messages: list[dict[str, Any]], **scope: Any) -> list[MutableMapping[str, Any]]:
    """Send one request; return what was answered."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return messages.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    given = {"path": "/batch-endpoints/e/jobs", "method": "POST", "headers": [], "query_string": b"", **scope}
    asyncio.run(JobsApp(Settings(home=tmp_path), {})(given, receive, send))
    return sent


def test_a_client_that_leaves_is_answered_nothing(tmp_path: Path):
    part = {"type": "http.request", "body": b"{", "more_body": True}
    assert call(tmp_path, [part, {"type": "http.disconnect"}]) == []


def test_a_body_is_read_no_further_than_it_may_be_long(tmp_path: Path):
    part = {"type": "http.request", "body": b" " * LARGEST_JOB_REQUEST_BYTES, "more_body": True}
    rest = [dict(part) for _ in range(5)]
    start, body = call(tmp_path, rest)
    assert start["status"] == 413
    assert json.loads(body["body"])["error"]["code"] == "PayloadTooLarge"
    assert len(rest) == 3


@pytest.mark.parametrize("path", ["/", "/batch-endpoints/e", "/batch-endpoints/e/jobs/a/b", "/endpoints/e/jobs"])
def test_there_is_nothing_elsewhere(tmp_path: Path, path: str):
    start, _ = call(tmp_path, [], path=path)
    assert start["status"] == 404
    assert not (tmp_path / "registry.db").exists()


def test_an_endpoint_that_is_not_there_is_told(tmp_path: Path):
    start, body = call(tmp_path, [{"type": "http.request", "body": b""}])
    assert start["status"] == 404
    assert json.loads(body["body"])["error"]["message"] == "there is no batch endpoint e"
