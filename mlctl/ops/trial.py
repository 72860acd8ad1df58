"""`deployment validate`: one replica is started as it would be served, probed, asked one question, and stopped.

Nothing of it stays, and neither the daemon nor the gateway has a part in it.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mlctl import unix_http
from mlctl.entities.server_variables import count_workers
from mlctl.entities.stored import read_map
from mlctl.errors import Frame, InvalidInput, MlctlError, Problem, TimedOut, UserCodeFailed
from mlctl.ops.session import Session, Watcher
from mlctl.planning.workers import name_socket
from mlctl.runtimes import mounts, reports
from mlctl.runtimes.base import ReplicaHandle, ReplicaOrder
from mlctl.runtimes.orders import make_order
from mlctl.runtimes.process import ProcessRuntime
from mlctl.settings import choose_run_dir, ensure_private_dir, registry_label

if TYPE_CHECKING:
    from mlctl.entities.document import Document
    from mlctl.ops.loading import Loaded

DEFAULT_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 10.0
POLL_S = 0.02
T = TypeVar("T")


@dataclass(frozen=True)
class Step:
    """One part of a trial. error: None when it passed; the parts after a failed one are not there."""

    name: str
    seconds: float
    text: str
    error: MlctlError | None = None


@dataclass(frozen=True)
class Trial:
    """What a trial came to."""

    deployment: str
    steps: tuple[Step, ...]

    @property
    def error(self) -> MlctlError | None:
        """The reason why it failed; None when everything passed."""
        return next((step.error for step in self.steps if step.error is not None), None)

    @property
    def document(self) -> dict[str, Any]:
        """Return the trial for programs."""
        return {
            "deployment": self.deployment,
            "valid": self.error is None,
            "steps": [
                {
                    "name": step.name,
                    "passed": step.error is None,
                    "seconds": round(step.seconds, 3),
                    "text": step.error.message if step.error else step.text,
                }
                for step in self.steps
            ],
        }


def run(
    session: Session,
    *,
    file: Path,
    name: str | None = None,
    endpoint: str | None = None,
    overrides: Sequence[str] = (),
    request_file: Path | None = None,
) -> Trial:
    """Try a deployment's document: environment, init(), probe, one score, stop."""
    from mlctl.ops.loading import load_deployment
    from mlctl.ops.resolving import find_missing

    def find_more(document: Document) -> list[Problem]:
        return find_missing(session, document, file.absolute().parent, needs_endpoint=False)

    body = _read(request_file) if request_file else None
    options = {"name": name, "endpoint_name": endpoint}
    loaded = load_deployment(file, overrides=overrides, options=options, find_more=find_more)
    trial = _Trial(session, loaded)
    try:
        trial.go_through(body)
    finally:
        trial.clean_up()
    return Trial(loaded.spec["name"], tuple(trial.steps))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidInput(f"cannot read {path}: {error.strerror}", hint=f"ls -l {path.parent}") from error


class _Trial:
    def __init__(self, session: Session, loaded: Loaded) -> None:
        self._session = session
        self._loaded = loaded
        run_dir = choose_run_dir(session.settings.home, session.environ)
        self._is_run_dir_mine = not run_dir.exists()
        self._run_dir = ensure_private_dir(run_dir)
        self._id = f"trial-{secrets.token_hex(4)}"
        self._runtime = ProcessRuntime(label=registry_label(session.settings.home), environ=session.environ)
        self._handle: ReplicaHandle | None = None
        self.steps: list[Step] = []

    def go_through(self, body: bytes | None) -> None:
        """Make the steps until one fails."""
        plan = self._step("environment", self._resolve)
        order = self._step("start", lambda: self._start(plan)) if plan else None
        ready = self._step("init() and probe", lambda: self._wait_until_ready(order)) if order else None
        if order and ready and body is not None:
            self._step("score", lambda: self._score(order, body))
        if order and self._handle is not None:
            self._step("stop", self._stop)

    def _step(self, name: str, action: Callable[[], tuple[T, str]]) -> T | None:
        self._session.watcher.begin(name)
        began = time.monotonic()
        try:
            result, text = action()
        except MlctlError as error:
            self.steps.append(Step(name, time.monotonic() - began, "", error))
            return None
        self.steps.append(Step(name, time.monotonic() - began, text))
        return result

    def _resolve(self) -> tuple[dict[str, Any], str]:
        from mlctl.ops.resolving import resolve

        # The trial's own steps tell what came of it.
        plan = resolve(replace(self._session, watcher=Watcher()), self._loaded)
        return plan, f"Python {plan['python_version']}"

    def _start(self, plan: dict[str, Any]) -> tuple[ReplicaOrder, str]:
        mount = mounts.ensure_mount(self._session.settings, ".trials", self._id, plan)
        # Anew: whoever made it may have ended while the environment was built.
        ensure_private_dir(self._run_dir)
        order = make_order(
            self._loaded.spec,
            plan,
            mount,
            replica=self._id,
            socket=self._run_dir / name_socket(self._id, count_workers(self._loaded.spec)),
            log_file=self._session.settings.logs / ".trials" / f"{self._id}.log",
            failure_file=self._run_dir / f"{self._id}.failure.json",
            # Collectors of the script shall find what they need; what they collect goes with the mount.
            collected_data=mount.work_dir / "collected",
        )
        self._handle = self._runtime.start(order)
        return order, f"pid {self._handle.pid}"

    def _wait_until_ready(self, order: ReplicaOrder) -> tuple[bool, str]:
        deadline = time.monotonic() + (self._session.timeout_s or DEFAULT_TIMEOUT_S)
        while not self._is_ready(order):
            if self._handle is None or not self._runtime.is_alive(self._handle):
                raise self._explain(order)
            if time.monotonic() > deadline:
                raise TimedOut("init() did not end in time", hint=f"--timeout; its log: {order.log_file}")
            time.sleep(POLL_S)
        return True, "ready"

    @staticmethod
    def _is_ready(order: ReplicaOrder) -> bool:
        try:
            return all(unix_http.request(str(path), "GET", "/", timeout_s=2.0).status == 200 for path in order.sockets)
        except (OSError, unix_http.HTTPException):
            return False

    def _explain(self, order: ReplicaOrder) -> UserCodeFailed:
        report = reports.describe_failure(order.failure_file, 1, self._describe_exit())
        frames: list[dict[str, Any]] = report["frames"]
        return UserCodeFailed(
            f"{order.deployment} {str(report['message']).replace('1 times', 'once')}",
            hint=f"its log: {order.log_file}",
            frames=[Frame(**frame) for frame in frames],
            cause=report["cause"],
            model_dir=report["model_dir"],
        )

    def _describe_exit(self) -> str:
        return self._runtime.describe_exit(self._handle) if self._handle else ""

    def _score(self, order: ReplicaOrder, body: bytes) -> tuple[bool, str]:
        limit_s = read_map(self._loaded.spec, "request_settings").get("request_timeout_ms", 5000) / 1000
        headers = {"Content-Type": "application/json"}
        try:
            answer = unix_http.request(
                str(order.socket), "POST", "/score", body=body, headers=headers, timeout_s=limit_s
            )
        except (OSError, unix_http.HTTPException) as error:
            raise UserCodeFailed(f"run() gave no answer in {limit_s:g} s: {error}", hint=f"{order.log_file}") from error
        if answer.status != 200:
            text = answer.body.decode(errors="replace")
            raise UserCodeFailed(f"run() was answered {answer.status}: {text}", hint=f"its log: {order.log_file}")
        return True, f"200, {len(answer.body):,} bytes"

    def _stop(self) -> tuple[bool, str]:
        assert self._handle is not None
        self._runtime.request_stop(self._handle)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while self._runtime.is_alive(self._handle):
            if time.monotonic() > deadline:
                raise TimedOut(f"it did not end within {STOP_TIMEOUT_S:.0f} s of SIGTERM and was killed")
            time.sleep(POLL_S)
        return True, "ended by itself"

    def clean_up(self) -> None:
        """Leave nothing behind but the log of a failure."""
        if self._handle is not None:
            self._runtime.kill(self._handle)
        mounts.remove_mounts(self._session.settings, ".trials", self._id)
        for path in self._run_dir.glob(f"{self._id}.*"):
            path.unlink(missing_ok=True)
        if self._is_run_dir_mine:
            # Not empty: a daemon that was started meanwhile has it.
            with contextlib.suppress(OSError):
                self._run_dir.rmdir()
        if all(step.error is None for step in self.steps):
            shutil.rmtree(self._session.settings.logs / ".trials", ignore_errors=True)
