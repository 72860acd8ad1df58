"""The process beside a replica that turns records into events and writes them, so that neither costs the replica.

Ends when the replica's end of the socket is closed, or when the replica is gone though a child of it keeps that open.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import BinaryIO, cast

from mlctl.scoring.collection.events import (
    AGENT,
    Data,
    EventBuilder,
    find_content_type,
    make_event_id,
    read_media_type,
    render_data,
)
from mlctl.scoring.collection.files import EventFiles
from mlctl.scoring.collection.records import Exchange, OwnData, read_batches
from mlctl.scoring.collection.settings import NEVER_CAPTURED, CollectionSettings, read_settings
from mlctl.scoring.logs import stamp

_LOOK_FOR_PARENT_EVERY_S = 1.0
_SAY_EVERY_S = 60.0
# Where processors are short the answers come first, and yet the writing goes on.
_NICE = 5
_YEAR_10000 = 253_402_300_800


class Losses:
    """Counts the events that could not be written and says so on stderr, the replica's log, once a minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._count = 0
        self._reason = ""
        self._said_at = -_SAY_EVERY_S

    def add(self, count: int, error: OSError) -> None:
        """Note a failure."""
        self._count += count
        self._reason = f"{error.filename or 'the file'}: {error.strerror}"
        if self._clock() - self._said_at >= _SAY_EVERY_S:
            self.say()

    def say(self) -> None:
        """Say what has not been said yet."""
        if not self._count:
            return
        text = f"The data collector lost {self._count:,} events: {self._reason}"
        self._said_at, self._count = self._clock(), 0
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{stamp(time.time())} W [{os.getpid()}] azmlinfsrv.collection - {text}\n")
            sys.stderr.flush()


class Writer:
    """Writes records as events; may be called by several threads."""

    def __init__(self, settings: CollectionSettings, losses: Losses) -> None:
        self._captured = settings.captured
        self._has_request, self._has_response = ("request" in settings.rates, "response" in settings.rates)
        self._files = EventFiles(settings.folder, settings.instance, settings.rolling)
        self._events = EventBuilder(settings.source)
        self._losses = losses
        self._lock = threading.Lock()
        self._waiting: dict[str, list[bytes]] = {}

    def write(self, records: Iterable[Exchange | OwnData]) -> None:
        """Write a batch: each file is written to once."""
        with self._lock:
            for record in records:
                if isinstance(record, Exchange):
                    self._add_exchange(record)
                else:
                    self._add_own(record)
            for folder, lines in self._waiting.items():
                try:
                    self._files.append(folder, b"".join(lines))
                except OSError as error:
                    self._losses.add(len(lines), error)
            self._waiting.clear()

    def _add_exchange(self, record: Exchange) -> None:
        request_id = record.request_id.decode("latin-1")
        ids = {"correlationid": request_id, "xrequestid": request_id}
        if self._has_request:
            extra: dict[str, object] = {"path": record.path, "method": record.method, **ids}
            if self._captured:
                extra["headers"] = {
                    name: value.decode("latin-1")
                    for name, value in zip(self._captured, record.headers, strict=True)
                    if value is not None
                }
            data = render_data(record.body, read_media_type(record.content_type))
            self._add("request", record.at, data, record.body, extra)
        if self._has_response:
            data = render_data(record.answer, find_content_type(record.answer_headers))
            self._add("response", record.at, data, record.answer, {"statuscode": record.status, **ids})

    def _add_own(self, record: OwnData) -> None:
        body = record.text.encode("utf-8", "backslashreplace")
        headers = {name: value for name, value in record.headers.items() if name.lower() not in NEVER_CAPTURED}
        extra: dict[str, object] = {
            **({"headers": headers} if headers else {}),
            "modelversion": "default",
            "collectdatatype": record.data_type,
            "agent": AGENT,
            "correlationid": record.correlation_id,
            "xrequestid": record.correlation_id,
        }
        # A script may give any time of its own.
        at = record.at if 0 <= record.at < _YEAR_10000 else time.time()
        self._add(record.collection, at, render_data(body, "application/json"), body, extra)

    def _add(self, kind: str, at: float, data: Data, body: bytes | None, extra: dict[str, object]) -> None:
        event_id, url, folder = make_event_id(), "", self._files.folder_at(kind, at)
        if data.text is None and body is not None:
            try:
                url = self._files.put(folder, event_id, body)
            except OSError as error:
                self._losses.add(1, error)
                return
        line = self._events.build(kind, at, data, extra, event_id=event_id, url=url)
        self._waiting.setdefault(folder, []).append(line)


def _watch_parent(parent: int, channel: socket.socket) -> None:
    """End the reading when the replica is gone; what it has sent is still read."""
    while os.getppid() == parent:
        time.sleep(_LOOK_FOR_PARENT_EVERY_S)
    with contextlib.suppress(OSError):
        channel.shutdown(socket.SHUT_RD)


def main(arguments: Sequence[str]) -> int:
    """Write until the replica ends. arguments: settings file, socket's number, replica's pid, listener's number."""
    file, descriptor, parent, *listeners = arguments
    # It ends with the replica: whoever ends all processes at once must not take away what that still has to say.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.umask(0o077)
    os.nice(_NICE)
    settings = read_settings(Path(file))
    channel = socket.socket(fileno=int(descriptor))
    losses = Losses()
    writer = Writer(settings, losses)
    threading.Thread(target=_watch_parent, args=(int(parent), channel), daemon=True).start()
    for listener in listeners:
        from mlctl.scoring.collection.intake import listen

        listen(int(listener), frozenset(settings.rates), writer)
    with channel.makefile("rb", buffering=1 << 20) as stream:
        for records in read_batches(cast("BinaryIO", stream)):
            writer.write(records)
    losses.say()
    return 0
