"""The jobs of batch endpoints over HTTP: an ASGI application behind the gateway, which has checked the token.

Requests are read in the loop and carried out in threads: starting a job waits for its coordinator.
"""

from __future__ import annotations

import asyncio
import logging
import re
import threading
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from mlctl.errors import InvalidInput, MlctlError
from mlctl.ops import job_requests
from mlctl.ops.batch_documents import jobs_uri
from mlctl.ops.session import Session
from mlctl.planning.routes import LARGEST_JOB_REQUEST_BYTES
from mlctl.registry.batch_endpoints import BatchEndpointRow
from mlctl.service.answers import Answer, answer_error, refuse
from mlctl.settings import Settings

log = logging.getLogger(__name__)

THREADS = 8
MOST_WAITING = 64
_PATH = re.compile(r"/batch-endpoints/(?P<endpoint>[^/]+)/jobs(?:/(?P<job>[^/]+))?/?", re.IGNORECASE)
_MOST_LISTED, _LISTED = 1000, 100

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class Request:
    """A request. headers: names in lower case. job: None for all jobs of the endpoint."""

    method: str
    endpoint: str
    job: str | None
    query: str
    headers: Mapping[str, str]
    body: bytes


class TooLarge(Exception):
    """A body is larger than any request for a job."""


class Gone(Exception):
    """The client left before it had sent all."""


class KeyLocks:
    """One lock for each key that is in use: equal requests wait for each other, others do not."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._users: Counter[str] = Counter()

    @contextmanager
    def hold(self, key: str | None) -> Generator[None]:
        """Hold the lock of a key; None: nothing."""
        if key is None:
            yield
            return
        with self._guard:
            self._users[key] += 1
            lock = self._locks.setdefault(key, threading.Lock())
        try:
            with lock:
                yield
        finally:
            with self._guard:
                self._users[key] -= 1
                if not self._users[key]:
                    del self._users[key], self._locks[key]


class JobsApp:
    """The application. environ: what jobs inherit."""

    def __init__(self, settings: Settings, environ: Mapping[str, str]) -> None:
        self._settings = settings
        self._environ = environ
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="request")
        self._waiting = 0
        self._locks = KeyLocks()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            answer = await self._answer(scope, receive)
        except Gone:
            return
        body = answer.encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **answer.headers}
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": pairs})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: MutableMapping[str, Any], receive: Receive) -> Answer:
        found = _PATH.fullmatch(scope["path"])
        if found is None:
            return refuse(404, "there is nothing here", hint="jobs are at /batch-endpoints/NAME/jobs")
        allowed = ("GET",) if found["job"] else ("GET", "POST")
        if scope["method"] not in allowed:
            return refuse(405, f"{scope['method']} is not {' or '.join(allowed)}", allow=", ".join(allowed))
        if self._waiting >= MOST_WAITING:
            return refuse(429, "too many requests for jobs at once: try again", code="TooManyRequests", retry_after="1")
        try:
            body = await _read_body(receive)
        except TooLarge:
            return refuse(413, f"the body is larger than {LARGEST_JOB_REQUEST_BYTES >> 20} MiB")
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        query = scope["query_string"].decode("latin-1")
        request = Request(scope["method"], found["endpoint"], found["job"], query, headers, body)
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._carry_out, request)
        finally:
            self._waiting -= 1

    def _carry_out(self, request: Request) -> Answer:
        session = Session(settings=self._settings, environ=self._environ, on_notice=_note)
        try:
            row = job_requests.find_endpoint(session, request.endpoint)
            session.workspace, session.resource_group = row.workspace, row.resource_group
            if request.method == "POST":
                return self._start(session, row, request)
            if request.job is not None:
                return Answer(200, job_requests.show(session, row, request.job))
            return _list(session, row, request.query)
        except MlctlError as error:
            return answer_error(error)
        except Exception as error:
            log.exception("request failed", extra={"event": "jobs.failed", "endpoint": request.endpoint})
            message = f"this is a bug of mlctl: {type(error).__name__}"
            return refuse(500, message, hint="logs/jobs.log of the registry tells where")
        finally:
            session.close()

    def _start(self, session: Session, row: BatchEndpointRow, request: Request) -> Answer:
        wanted = job_requests.read_body(request.body)
        invocation = job_requests.make_invocation(row.name, wanted, request.headers)
        with self._locks.hold(invocation.request_id or invocation.job_name):
            document = job_requests.start(session, invocation)
        log.info("job asked for", extra={"event": "jobs.started", "endpoint": row.name, "job": document["name"]})
        return Answer(201, document, {"location": f"{jobs_uri(session, row)}/{document['name']}"})


async def _read_body(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        body += message.get("body", b"")
        if len(body) > LARGEST_JOB_REQUEST_BYTES:
            raise TooLarge
        if not message.get("more_body"):
            return bytes(body)


def _list(session: Session, row: BatchEndpointRow, query: str) -> Answer:
    given = parse_qs(query)
    top, skip = _read_number(given, "$top", _LISTED, 1, _MOST_LISTED), _read_number(given, "$skip", 0, 0, 10**9)
    found = job_requests.list_page(session, row, skip=skip, top=top)
    document: dict[str, Any] = {"value": found[:top]}
    if len(found) > top:
        document["nextLink"] = f"{jobs_uri(session, row)}?$skip={skip + top}&$top={top}"
    return Answer(200, document)


def _read_number(given: Mapping[str, list[str]], name: str, default: int, least: int, most: int) -> int:
    text = given.get(name, [str(default)])[-1]
    if not (text.isascii() and text.isdigit() and len(text) < 11 and least <= int(text) <= most):
        raise InvalidInput(f"{name}: {text} is not a whole number from {least} to {most}")
    return int(text)


def _note(text: str) -> None:
    log.warning(text, extra={"event": "jobs.notice"})
