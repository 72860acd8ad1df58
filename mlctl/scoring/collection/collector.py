"""The replica's end of the data collector: takes from the hot path as little as can be, and hands it on in bulk.

`observe` appends to a list; every 50 ms the list is marshalled and sent to the writer, a process of its own. What is on
its way is bounded: a writer that is slow, stopped or dead costs data, which is counted, and never an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path

from mlctl.scoring.app import Handled, Observer
from mlctl.scoring.collection.channel import Channel
from mlctl.scoring.collection.records import LARGE_BYTES, Exchange, OwnData, pack_exchanges, pack_large, pack_own
from mlctl.scoring.collection.settings import PAYLOADS, CollectionSettings, copy_for_worker, read_settings

_FLUSH_EVERY_S = 0.05
# Looked at before something is taken: one body more, of 100 MB at most, may come on top.
_MOST_WAITING_BYTES = 32 * 1024 * 1024
# A record's tuple and its strings.
_RECORD_BYTES = 1024
# azureml-ai-monitoring's queue has as many places.
_MOST_OWN = 1500
_SAY_EVERY_S = 60.0
_logger = logging.getLogger("azmlinfsrv.collection")

Draw = Callable[[], float]


class DataCollector:
    """What a replica collects until it is on its way to the writer.

    draw: returns a number from 0 up to 1, for sampling.
    """

    def __init__(
        self,
        settings: CollectionSettings,
        channel_for: Callable[[Callable[[int, str], None]], Channel],
        loop: asyncio.AbstractEventLoop,
        draw: Draw | None = None,
    ) -> None:
        self.settings = settings
        self._has_request, self._has_response = "request" in settings.rates, "response" in settings.rates
        self._captured = tuple(name.encode() for name in settings.captured)
        self._loop = loop
        # An instance of its own: scripts call random.seed().
        self._draw = draw or random.Random().random
        self._channel = channel_for(self._count_lost)
        self._small: list[tuple[object, ...]] = []
        self._large: list[Exchange] = []
        self._own: list[OwnData] = []
        self._own_lock = threading.Lock()
        self._buffered_bytes = self._own_bytes = 0
        self._is_flush_due = self._is_report_due = self._is_closed = False
        self.lost_total = self._lost = 0
        self._reason = ""
        self._said_at = -_SAY_EVERY_S

    @property
    def observers(self) -> tuple[Observer, ...]:
        """What the app must call: nothing, unless requests or responses are collected."""
        rates = self.settings.rates
        rate = max((rates.get(name, 0.0) for name in PAYLOADS), default=0.0)
        if rate <= 0:
            return ()
        return (self._observe if rate >= 1 else self._make_sampler(rate),)

    def _make_sampler(self, rate: float) -> Observer:
        # One draw for both: a request is kept with its answer or not at all.
        draw, observe = self._draw, self._observe

        def sample(handled: Handled) -> None:
            if draw() < rate:
                observe(handled)

        return sample

    def _observe(self, handled: Handled) -> None:
        scope, headers, request_id, ticket, answer, _ = handled
        if scope["path"] != "/score" or (ticket is None and scope["method"] == "OPTIONS"):
            return
        if self._buffered_bytes + self._channel.waiting_bytes > _MOST_WAITING_BYTES:
            self._count_lost(1, "its writer does not keep up")
            return
        body = ticket.body if ticket is not None and self._has_request else None
        result = answer.body if self._has_response else None
        size = len(body or b"") + len(result or b"")
        record = (
            time.time(),
            request_id,
            scope["method"],
            scope["path"],
            headers.get(b"content-type", b""),
            tuple([headers.get(name) for name in self._captured]),
            answer.status,
            answer.headers,
            body,
            result,
        )
        self._buffered_bytes += size + _RECORD_BYTES
        if size > LARGE_BYTES:
            self._large.append(Exchange(*record))
        else:
            self._small.append(record)
        if not self._is_flush_due:
            self._is_flush_due = True
            self._loop.call_later(_FLUSH_EVERY_S, self._flush)

    def draws(self, name: str) -> bool:
        """Say whether this piece of a collection is kept."""
        return self._draw() < self.settings.rates[name]

    def collect(self, data: OwnData) -> bool:
        """Take what a script collected; False when there is no room. May be called in any thread."""
        with self._own_lock:
            waiting = self._own_bytes + self._channel.waiting_bytes
            is_taken = not self._is_closed and len(self._own) < _MOST_OWN and waiting <= _MOST_WAITING_BYTES
            if is_taken:
                self._own.append(data)
                self._own_bytes += len(data.text) + _RECORD_BYTES
            is_first = len(self._own) == 1
        with contextlib.suppress(RuntimeError):  # the loop is closed, this process is about to end
            if not is_taken:
                self._loop.call_soon_threadsafe(self._count_lost, 1, "its writer does not keep up")
            elif is_first:
                self._loop.call_soon_threadsafe(self._loop.call_later, _FLUSH_EVERY_S, self._flush_own)
        return is_taken

    def _flush(self) -> None:
        self._is_flush_due = False
        self._hand_over()
        self._channel.write()

    def _hand_over(self) -> None:
        small, self._small = self._small, []
        large, self._large = self._large, []
        self._buffered_bytes = 0
        if small:
            self._channel.put(pack_exchanges(small))
        for exchange in large:
            self._channel.put(pack_large(exchange))

    def _flush_own(self) -> None:
        self._hand_over_own()
        self._channel.write()

    def _hand_over_own(self) -> None:
        with self._own_lock:
            own, self._own = self._own, []
            self._own_bytes = 0
        if own:
            self._channel.put(pack_own(own))

    def _count_lost(self, count: int, reason: str) -> None:
        self._lost += count
        self.lost_total += count
        self._reason = reason
        if not self._is_report_due:
            self._is_report_due = True
            self._loop.call_later(max(0.0, self._said_at + _SAY_EVERY_S - self._loop.time()), self._report)

    def _report(self) -> None:
        self._is_report_due = False
        self._said_at = self._loop.time()
        lost, self._lost = self._lost, 0
        _logger.warning("The data collector lost what belongs to %s requests: %s", f"{lost:,}", self._reason)

    def close(self) -> None:
        """Hand over what is left; the first call only. The loop has ended, or is about to."""
        with self._own_lock:
            if self._is_closed:
                return
            self._is_closed = True
        self._hand_over()
        self._hand_over_own()
        self._channel.close()


def open_collector(file: Path, loop: asyncio.AbstractEventLoop, worker: int | None = None) -> DataCollector | None:
    """Start collecting as the file asks; None where that cannot be done, which the log then says.

    worker: its number where the replica has several, each of which writes files of its own.
    """
    try:
        if worker is not None:
            file = copy_for_worker(file, worker)
        settings = read_settings(file)
        for name in settings.refused:
            _logger.warning("capture_headers: %s carries a credential and is never noted", name)
        listener = _prepare_package(file, os.environ) if settings.has_own else None
        collector = DataCollector(settings, lambda on_lost: _start_channel(file, loop, listener, on_lost), loop)
    except (OSError, ValueError, KeyError) as error:
        _logger.warning("The data collector could not be started: %s", error)
        return None
    from mlctl.scoring.collection import monitoring

    monitoring.use(collector)
    _logger.info("Collecting %s below %s", ", ".join(sorted(settings.rates)), settings.folder)
    return collector


def _start_channel(
    file: Path,
    loop: asyncio.AbstractEventLoop,
    listener: socket.socket | None,
    on_lost: Callable[[int, str], None],
) -> Channel:
    channel = Channel(file, loop, listener, on_lost)
    channel.start()
    return channel


def _prepare_package(file: Path, environment: MutableMapping[str, str]) -> socket.socket | None:
    """Tell an installed azureml-ai-monitoring what to collect and where to deliver; None when there is none."""
    if not _is_package_installed():
        return None
    from mlctl.scoring.collection.loopback import open_listener

    try:
        listener = open_listener()
    except OSError as error:
        _logger.warning("azureml-ai-monitoring cannot deliver what it collects, no loopback address: %s", error)
        return None
    listener.set_inheritable(False)
    environment.update(make_package_variables(file, listener.getsockname()[1]))
    return listener


def make_package_variables(file: Path, port: int) -> Mapping[str, str]:
    """Return the variables that azureml-ai-monitoring reads."""
    return {"AZUREML_MDC_CONFIG_PATH": str(file), "AZUREML_MDC_HOST": "127.0.0.1", "AZUREML_MDC_PORT": str(port)}


def _is_package_installed() -> bool:
    from importlib.util import find_spec

    try:
        return find_spec("azureml.ai.monitoring") is not None
    except (ImportError, ValueError):
        return False
