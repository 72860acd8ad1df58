"""Processes that outlive whoever started them: spawned in sessions of their own, known by pid, start time and label.

Used by the process runtime, by the daemon for Envoy, and by `ops.daemon` for the daemon itself. Linux only.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import selectors
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_PR_SET_NO_NEW_PRIVS = 38
_START_TICKS_FIELD = 22


@dataclass(frozen=True)
class ProcessId:
    """A process that cannot be mistaken for a later one with the same pid (start_ticks: since boot)."""

    pid: int
    start_ticks: int


class _Child(subprocess.Popen[bytes]):
    """A process that is meant to outlive this one: nothing is to be said about that when this one ends."""

    def __del__(self) -> None:
        pass


# Children are kept so that they can be reaped; processes of an earlier daemon are reaped by init.
_children: dict[int, _Child] = {}
_exit_codes: dict[int, int] = {}


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    log_file: Path,
    pass_fds: Sequence[int] = (),
) -> ProcessId:
    """Start a program in a session of its own, umask 077, no input, both outputs appended to `log_file`."""
    log_file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        child = _Child(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=descriptor,
            stderr=descriptor,
            env=dict(env),
            cwd=cwd,
            pass_fds=tuple(pass_fds),
            start_new_session=True,
            umask=0o077,
        )
    finally:
        os.close(descriptor)
    _children[child.pid] = child
    return ProcessId(child.pid, read_start_ticks(child.pid) or 0)


def run_quietly(argv: Sequence[str], *, env: Mapping[str, str], timeout_s: float = 10.0) -> int:
    """Run a short program with no input and no output; return its exit code, 127 when it cannot be run at all."""
    quiet = subprocess.DEVNULL
    try:
        return subprocess.run(
            list(argv), env=dict(env), stdin=quiet, stdout=quiet, stderr=quiet, timeout=timeout_s, check=False
        ).returncode
    except (OSError, subprocess.TimeoutExpired):
        return 127


def forbid_new_privileges() -> None:
    """Make it impossible for this process and all it starts to gain privileges (setuid programs do nothing)."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def read_start_ticks(pid: int) -> int | None:
    """Return when a process was started, in clock ticks since boot; None when it is gone or a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The name stands in parentheses and may hold anything, blanks and parentheses too.
    fields = text[text.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return None
    return int(fields[_START_TICKS_FIELD - 3])


def is_running(process: ProcessId) -> bool:
    """Say whether this very process runs; an ended child is reaped on the way."""
    is_alive = read_start_ticks(process.pid) == process.start_ticks
    if not is_alive:
        reap(process.pid)
    return is_alive


def reap(pid: int) -> int | None:
    """Collect an ended child and return its exit code (negative: the signal); None if it runs or is no child."""
    child = _children.get(pid)
    if child is None:
        return None
    code = child.poll()
    if code is not None:
        _children.pop(pid, None)
        _exit_codes[pid] = code
    return code


def read_exit_code(pid: int) -> int | None:
    """Return the exit code of a child that was reaped; None when it is not known."""
    return _exit_codes.get(pid)


def describe_exit(pid: int) -> str:
    """Say how a child ended, once; empty when that is not known, as of processes of an earlier daemon."""
    code = _exit_codes.pop(pid, None)
    if code is None:
        return ""
    return (
        f"its process ended with exit code {code}" if code >= 0 else f"its process was ended by {_name_signal(-code)}"
    )


def _name_signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def send_signal(process: ProcessId, number: signal.Signals) -> None:
    """Signal this very process; nothing happens when it is gone."""
    with contextlib.suppress(OSError):
        descriptor = os.pidfd_open(process.pid)
        try:
            if is_running(process):
                signal.pidfd_send_signal(descriptor, number)
        finally:
            os.close(descriptor)


def kill_session(process: ProcessId) -> None:
    """Kill a process and what is left of its process group: workers that its code started."""
    send_signal(process, signal.SIGKILL)
    for pid in _members(process.pid):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def kill_members(session: int, variable: str) -> None:
    """Kill what is left of a session whose leader may be gone: the processes that were started with `NAME=VALUE`."""
    for pid in _members(session):
        with contextlib.suppress(OSError):
            if variable.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                os.kill(pid, signal.SIGKILL)


def _members(session: int) -> list[int]:
    found: list[int] = []
    for pid in _all_pids():
        with contextlib.suppress(OSError):
            if os.getsid(pid) == session:
                found.append(pid)
    return found


def find_labelled(*words: str) -> list[ProcessId]:
    """Find the running processes whose arguments hold all of `words`."""
    found: list[ProcessId] = []
    for pid in _all_pids():
        arguments = read_arguments(pid)
        ticks = read_start_ticks(pid)
        if ticks is not None and all(word in arguments for word in words):
            found.append(ProcessId(pid, ticks))
    return found


def find_spawned(*words: str) -> list[ProcessId]:
    """Find those that `spawn` started: a replica, not the workers that it forks."""
    return [found for found in find_labelled(*words) if _leads_session(found.pid)]


def _leads_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except OSError:
        return False


def read_arguments(pid: int) -> list[str]:
    """Return a process's arguments; empty when it is gone or somebody else's."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]


class ExitWatcher:
    """Calls back, from a thread of its own, the moment a watched process ends; children or not."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._wake_reader, self._wake_writer = os.pipe()
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._watch, name="exits", daemon=True)
        self._thread.start()

    def watch(self, process: ProcessId, on_exit: Callable[[], None]) -> None:
        """Call `on_exit` once when the process ends; at once when it has ended already."""
        try:
            descriptor = os.pidfd_open(process.pid)
        except OSError:
            on_exit()
            return
        if not is_running(process):
            os.close(descriptor)
            on_exit()
            return
        with self._lock:
            self._selector.register(descriptor, selectors.EVENT_READ, on_exit)
        os.write(self._wake_writer, b"+")

    def _watch(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fd == self._wake_reader:
                    os.read(self._wake_reader, 4096)
                    continue
                with self._lock:
                    self._selector.unregister(key.fd)
                os.close(key.fd)
                key.data()
