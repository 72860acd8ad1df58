"""Logs beyond az's `get-logs`: of an endpoint with one deployment, whose name nobody need know; and while they grow."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

from mlctl.errors import InvalidInput
from mlctl.ops import daemon, deployments
from mlctl.ops.session import Session
from mlctl.registry import deployments as rows
from mlctl.registry import endpoints, replicas
from mlctl.registry.deployments import DeploymentRow

POLL_S = 0.2
# What was read last is looked for in a log that was shortened; its lines begin with a time, so that none is like it.
_KNOWN_BYTES = 4096
_STAMP = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}")

Line = tuple[bytes, str, bytes]


class Tail:
    """Reads a log as it grows, line by line; on where it was when the log's beginning is cut off meanwhile."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = 0
        self._known = self._partial = b""
        self._stamp = b""

    def read(self) -> list[Line]:
        """Return the whole lines that are new, each with its time, or the one before, and the replica's name."""
        *lines, self._partial = (self._partial + self._read_bytes()).split(b"\n")
        return [self._label(line) for line in lines]

    def read_rest(self) -> list[Line]:
        """Return what there is of a line that nobody will end any more."""
        rest, self._partial = self._partial, b""
        return [self._label(rest)] if rest else []

    def _label(self, line: bytes) -> Line:
        if found := _STAMP.match(line):
            self._stamp = found[0]
        return self._stamp, self.path.stem, line

    def _read_bytes(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                if file.seek(0, 2) < self._position:
                    file.seek(0)
                    content = file.read()
                    at = content.rfind(self._known)
                    new = content[at + len(self._known) :] if at >= 0 else content
                    self._position = len(content)
                else:
                    file.seek(self._position)
                    new = file.read()
                    self._position += len(new)
        except OSError:  # removed: its replica is long gone
            return b""
        self._known = (self._known + new)[-_KNOWN_BYTES:]
        return new


class Followed:
    """The logs of a deployment's replicas: those that run at first, and each that comes later, from its beginning."""

    def __init__(self, session: Session, row: DeploymentRow) -> None:
        self._session = session
        self._row = row
        self._folder = session.settings.logs / row.endpoint / row.name
        running = {replica.id for replica in self._list_running()}
        self._paths = set(self._folder.glob("*.log"))
        self._tails = [Tail(path) for path in sorted(self._paths) if path.stem in running]
        newest = None if self._tails else deployments.find_log(session, row)
        if newest is not None:
            self._tails = [Tail(newest)]
        self._has_several = len(running) > 1

    def _list_running(self) -> list[replicas.ReplicaRow]:
        found = replicas.list_replicas(self._session.store, self._row.endpoint)
        return [replica for replica in found if replica.deployment == self._row.name and daemon.is_alive(replica)]

    def read(self) -> list[str]:
        """Return the new lines of all, in the order of their times; of several replicas with the replica's name."""
        self._find_new()
        lines = [line for tail in self._tails for line in tail.read()]
        for tail in [tail for tail in self._tails if not tail.path.exists()]:
            lines += tail.read_rest()
            self._tails.remove(tail)
        return [self._render(line) for line in sorted(lines, key=lambda line: line[0])]

    def _find_new(self) -> None:
        new = set(self._folder.glob("*.log")) - self._paths
        if new:
            self._paths |= new
            self._tails += [Tail(path) for path in sorted(new)]
            self._has_several = self._has_several or len(self._list_running()) > 1

    def _render(self, line: Line) -> str:
        _, replica, text = line
        shown = text.decode(errors="replace")
        return f"[{replica}] {shown}\n" if self._has_several else f"{shown}\n"


def follow(session: Session, *, endpoint: str, name: str, lines: int) -> Iterator[str]:
    """Yield the last lines and then what is added, of all replicas; ends when the deployment is gone."""
    row = deployments.find_row(session, endpoint, name)
    daemon.warn_if_stopped(session)
    followed = Followed(session, row)
    yield "".join(followed.read()[-lines:])
    is_there = True
    while is_there:
        time.sleep(POLL_S)
        is_there = rows.find_deployment(session.store, row.endpoint, row.name) is not None
        if text := "".join(followed.read()):
            yield text


def get_endpoint_logs(session: Session, endpoint: str, *, deployment: str | None, lines: int) -> str:
    """Return the last lines of the named deployment, or of the only one; InvalidInput names the choice."""
    owner = endpoints.get_endpoint(session.store, endpoint)
    name = deployment or _choose_only(session, owner.name)
    return deployments.get_logs(session, endpoint=owner.name, name=name, lines=lines, container="inference-server")


def _choose_only(session: Session, endpoint: str) -> str:
    names = [row.name for row in rows.list_deployments(session.store, endpoint)]
    if len(names) == 1:
        return names[0]
    if not names:
        raise InvalidInput(
            f"{endpoint} has no deployments, so no logs", hint=f"mlctl deployment create -f blue.yml -e {endpoint}"
        )
    raise InvalidInput(
        f"{endpoint} has {len(names)} deployments ({', '.join(names)})",
        hint=f"mlctl endpoint get-logs -n {endpoint} -d {names[0]}",
    )
