"""The socket to the writer, and the writer's process: started, fed without ever waiting, started again when it died.

`write` is called in the HTTP loop only.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

from mlctl.scoring.collection.records import Batch

_SIDECAR = str(Path(__file__).with_name("sidecar.py"))
_SEND_BUFFER_BYTES = 1 << 20
_FIRST_RESTART_S, _LAST_RESTART_S = 1.0, 60.0
_STOP_WITHIN_S = 1.0


def _list_processors() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


class Channel:
    """A writer's process and what is on its way to it.

    on_lost: called with the number of records that went down with a writer.
    """

    def __init__(
        self,
        settings: Path,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket | None,
        on_lost: Callable[[int, str], None],
    ) -> None:
        self._settings = settings
        self._loop = loop
        self._listener = listener
        self._on_lost = on_lost
        self._waiting: deque[tuple[memoryview, int]] = deque()
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._is_watching = self._is_closed = False
        self._restart_s, self._started_at = _FIRST_RESTART_S, 0.0
        self._processors = _list_processors()
        self.waiting_bytes = 0

    def start(self) -> None:
        """Start the writer; raises OSError."""
        own, other = socket.socketpair()
        try:
            own.setblocking(False)
            own.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            self._process = self._spawn(other)
        except OSError:
            own.close()
            raise
        finally:
            other.close()
        self._socket = own
        self._started_at = time.monotonic()

    def _spawn(self, other: socket.socket) -> subprocess.Popen[bytes]:
        passed = [other.fileno(), *([self._listener.fileno()] if self._listener else [])]
        words = [str(self._settings), str(passed[0]), str(os.getpid()), *map(str, passed[1:])]
        return subprocess.Popen(
            [sys.executable, "-I", "-S", _SIDECAR, *words],
            pass_fds=passed,
            stdin=subprocess.DEVNULL,
            # sys.stdout may be the script's by now.
            stdout=sys.__stdout__,
            stderr=sys.__stderr__,
            cwd="/",
            env={},
            # Whoever ends the replica and all that its code started leaves the writer the moment it needs.
            start_new_session=True,
        )

    def put(self, batch: Batch) -> None:
        """Add a batch to what is on its way."""
        with self._lock:
            last = len(batch.parts) - 1
            for index, part in enumerate(batch.parts):
                self._waiting.append((memoryview(part), batch.records if index == last else 0))
                self.waiting_bytes += len(part)

    def write(self) -> None:
        """Pass on as much as the socket takes; the rest follows when it can."""
        channel = self._socket
        if channel is None:
            return
        try:
            with self._lock:
                self._drain(channel)
        except (BlockingIOError, InterruptedError):
            self._watch(channel)
        except OSError as error:
            if not self._is_closed:
                self._give_up(channel, str(error.strerror))
        else:
            self._unwatch(channel)

    def _drain(self, channel: socket.socket) -> None:
        while self._waiting:
            part, count = self._waiting[0]
            sent = channel.send(part)
            self.waiting_bytes -= sent
            if sent == len(part):
                self._waiting.popleft()
            else:
                self._waiting[0] = (part[sent:], count)

    def _watch(self, channel: socket.socket) -> None:
        if not self._is_watching:
            self._is_watching = True
            self._loop.add_writer(channel, self.write)

    def _unwatch(self, channel: socket.socket) -> None:
        if self._is_watching:
            self._is_watching = False
            self._loop.remove_writer(channel)

    def _give_up(self, channel: socket.socket, reason: str) -> None:
        """Forget what was meant for a writer that died, half of which it may have, and start another."""
        self._unwatch(channel)
        with self._lock:
            lost = sum(count for _, count in self._waiting)
            self._waiting.clear()
            self.waiting_bytes = 0
            channel.close()
            self._socket = None
        self._on_lost(lost, f"its writer died ({reason})")
        if time.monotonic() - self._started_at > _LAST_RESTART_S:
            self._restart_s = _FIRST_RESTART_S
        self._restart_later()

    def _restart_later(self) -> None:
        self._loop.call_later(self._restart_s, lambda: threading.Thread(target=self._restart, daemon=True).start())
        self._restart_s = min(self._restart_s * 2, _LAST_RESTART_S)

    def _restart(self) -> None:
        """Start another writer. In a thread of its own: a large process takes a while to start another."""
        if self._process is not None:
            self._process.poll()
        if self._processors:
            # The HTTP thread, which began this one, is kept on one processor; the writer must not be kept there, too.
            os.sched_setaffinity(0, self._processors)
        then: Callable[[], None] = self.write
        with self._lock:
            if self._is_closed:
                return
            try:
                self.start()
            except OSError:
                then = self._restart_later
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(then)

    def close(self) -> None:
        """Hand over what is left and let the writer end; waits for about two seconds at most."""
        with self._lock:
            if self._is_closed or self._socket is None:
                self._is_closed = True
                return
            self._is_closed = True
            channel, self._socket = self._socket, None
            deadline = time.monotonic() + _STOP_WITHIN_S
            channel.settimeout(_STOP_WITHIN_S)
            with contextlib.suppress(OSError):
                while self._waiting and time.monotonic() < deadline:
                    self._drain(channel)
                channel.shutdown(socket.SHUT_WR)
                # Its end of the socket is closed when it has written everything.
                channel.recv(1)
            channel.close()
