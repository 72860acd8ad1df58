"""One pass over one endpoint: see what runs, plan, start, route, drain, and write down how far it got."""

from __future__ import annotations

import hashlib
import logging
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlctl.control.probing import Prober
from mlctl.control.routing import RoutingTable
from mlctl.entities.server_variables import count_workers
from mlctl.entities.stored import read_map
from mlctl.errors import BackendUnavailable, GatewayRejected
from mlctl.planning.health import longest_start_s, read_probe_settings
from mlctl.planning.replicas import (
    GIVE_UP_AFTER,
    LONGEST_BACKOFF_S,
    STABLE_AFTER_S,
    Replica,
    ReplicaPlan,
    ReplicaState,
    Wanted,
    back_off_s,
    plan_replicas,
)
from mlctl.planning.routes import EndpointRoutes
from mlctl.planning.traffic import plan_backend, plan_routes
from mlctl.planning.workers import list_sockets, name_socket
from mlctl.registry import deployments, endpoints, events, replicas
from mlctl.registry.credentials import read_keys
from mlctl.registry.deployments import DeploymentRow, GenerationRow
from mlctl.registry.endpoints import EndpointRow
from mlctl.registry.replicas import ReplicaRow
from mlctl.registry.secrets import SecretBox, open_secret_box
from mlctl.registry.store import Store
from mlctl.runtimes import mounts, reports
from mlctl.runtimes.base import ReplicaHandle, ReplicaOrder, Runtime
from mlctl.runtimes.collection import collection_file, remove_collection
from mlctl.runtimes.orders import make_order
from mlctl.settings import Settings

log = logging.getLogger(__name__)

IDLE_S = 5.0
RETRY_S = 0.25
# Envoy's workers may still hand a request to a replica for a moment after the main thread took the new list.
DRAIN_BEFORE_TERM_S = 0.25
DRAIN_BEFORE_KILL_S = 40.0
# How long requests may wait for the replacement of a deployment's only replica before they are answered 503.
TAKEOVER_S = 3.0


@dataclass(frozen=True)
class Context:
    """What all reconcilers share."""

    settings: Settings
    run_dir: Path
    runtime: Runtime
    routing: RoutingTable
    prober: Prober
    watch_exit: Callable[[ReplicaHandle, str], None]


class EndpointReconciler:
    """Brings one endpoint to what the registry asks for; used by one thread, which owns `store`."""

    def __init__(self, endpoint: str, store: Store, context: Context) -> None:
        self.endpoint = endpoint
        self._store = store
        self._context = context
        self._watched: set[str] = set()
        self._unrouted_at: dict[str, float] = {}
        self._terminated_at: dict[str, float] = {}
        self._takeover_until: dict[str, float] = {}
        self._killed_for: dict[str, str] = {}

    def reconcile(self) -> float | None:
        """Make one pass; return after how many seconds to look again at the latest, None when the endpoint is gone."""
        endpoint = endpoints.find_endpoint(self._store, self.endpoint)
        if endpoint is None:
            self._context.routing.apply(self.endpoint, None)
            return None
        rows = deployments.list_deployments(self._store, endpoint.name)
        running = self._observe(rows)
        plans = {row.name: self._plan(row, running) for row in rows}
        for row in rows:
            running += self._start(row, plans[row.name], running)
            self._mark_draining(plans[row.name])
        if not self._route(endpoint, rows, plans, running):
            return RETRY_S
        settled = [self._settle(row, plans[row.name], running) for row in rows]
        is_drained = self._drain(running)
        if endpoint.state == "Deleting" and not rows:
            return self._finish_deletion(endpoint)
        if not all(settled):
            return 0.0
        return self._next_look(is_drained)

    # What runs

    def _observe(self, rows: Sequence[DeploymentRow]) -> list[ReplicaRow]:
        found: list[ReplicaRow] = []
        by_name = {row.name: row for row in rows}
        for replica in replicas.list_replicas(self._store, self.endpoint):
            deployment = by_name.get(replica.deployment)
            handle = self._handle(replica)
            if handle is None or not self._context.runtime.is_alive(handle):
                self._settle_exit(replica, deployment)
                continue
            found.append(self._judge(replica, handle, deployment))
        return found

    def _handle(self, replica: ReplicaRow) -> ReplicaHandle | None:
        if replica.pid is not None and replica.start_ticks is not None:
            return ReplicaHandle(replica.id, replica.pid, replica.start_ticks)
        # Its daemon died between starting it and writing that down.
        found = self._context.runtime.find(replica.id)
        if found is not None:
            replicas.set_replica_process(self._store, replica.id, pid=found.pid, start_ticks=found.start_ticks)
        return found

    def _judge(self, replica: ReplicaRow, handle: ReplicaHandle, deployment: DeploymentRow | None) -> ReplicaRow:
        if replica.id not in self._watched:
            self._watch(replica, handle, deployment)
        if replica.state == ReplicaState.DRAINING:
            return replica
        verdict = self._context.prober.verdict(replica.id)
        if verdict.is_dead:
            self._killed_for[replica.id] = self._describe_probe(deployment, has_been_ready=verdict.has_been_ready)
            self._report(replica, "replica.probe_failed", f"{self._killed_for[replica.id]}, it is replaced")
            self._context.runtime.kill(handle)
            return self._set_state(replica, ReplicaState.UNREADY)
        state = ReplicaState.READY if verdict.is_ready else ReplicaState(replica.state)
        if not verdict.is_ready and replica.state == ReplicaState.READY:
            state = ReplicaState.UNREADY
        if state == replica.state:
            return replica
        if state is ReplicaState.READY:
            took = max(0.0, time.time() - replica.started_at)
            self._report(replica, "replica.ready", f"ready after {took:.2f} s", seconds=round(took, 3))
            self._takeover_until.pop(replica.socket, None)
        return self._set_state(replica, state)

    def _describe_probe(self, deployment: DeploymentRow | None, *, has_been_ready: bool) -> str:
        """Say why a replica is killed, in the terms of its liveness_probe."""
        settings = read_probe_settings(deployment.spec.get("liveness_probe") if deployment else None)
        if has_been_ready:
            return f"liveness_probe failed {settings.failure_threshold} times in a row"
        return f"it was never ready within the {longest_start_s(settings):g} s of its liveness_probe"

    def _set_state(self, replica: ReplicaRow, state: ReplicaState) -> ReplicaRow:
        replicas.set_replica_state(self._store, replica.id, state)
        return replace(replica, state=str(state), changed_at=time.time())

    def _watch(self, replica: ReplicaRow, handle: ReplicaHandle, deployment: DeploymentRow | None) -> None:
        self._watched.add(replica.id)
        self._context.watch_exit(handle, self.endpoint)
        spec = deployment.spec if deployment else {}
        self._context.prober.watch(
            replica.id,
            endpoint=self.endpoint,
            sockets=replica.sockets,
            liveness=read_probe_settings(spec.get("liveness_probe")),
            readiness=read_probe_settings(spec.get("readiness_probe")),
            is_ready=replica.state == ReplicaState.READY,
        )

    def _forget(self, replica: ReplicaRow) -> None:
        self._watched.discard(replica.id)
        self._unrouted_at.pop(replica.id, None)
        self._terminated_at.pop(replica.id, None)
        self._context.prober.forget(replica.id)

    # Ends

    def _settle_exit(self, replica: ReplicaRow, deployment: DeploymentRow | None) -> None:
        """Take a replica that has ended out of the books; one that should not have ended counts as a failure."""
        how = self._killed_for.pop(replica.id, "")
        was_killed = bool(how)
        if replica.pid is not None and replica.start_ticks is not None:
            handle = ReplicaHandle(replica.id, replica.pid, replica.start_ticks)
            how = how or self._context.runtime.describe_exit(handle)
            # Workers that its code started end with it.
            self._context.runtime.kill(handle)
        self._forget(replica)
        replicas.remove_replica(self._store, replica.id)
        self._settle_loss(replica, deployment, how, was_killed=was_killed)
        self._failure_file(replica.id).unlink(missing_ok=True)
        remove_collection(collection_file(self._failure_file(replica.id), replica.id))

    def _settle_loss(
        self, replica: ReplicaRow, deployment: DeploymentRow | None, how: str, *, was_killed: bool
    ) -> None:
        is_expected = replica.state == ReplicaState.DRAINING or deployment is None or deployment.state == "Deleting"
        if is_expected or deployment is None:
            for path in replica.sockets:
                Path(path).unlink(missing_ok=True)
                Path(f"{path}.away").unlink(missing_ok=True)
            self._report(
                replica, "replica.stopped", f"ended, it was no longer needed: {_tell_why(replica, deployment)}"
            )
            return
        self._report(replica, "replica.exited", self._describe_end(replica, how, was_killed=was_killed))
        if replica.state == ReplicaState.READY:
            self._takeover_until[replica.socket] = time.monotonic() + TAKEOVER_S
        else:
            self._takeover_until.pop(replica.socket, None)
        self._count_failure(replica, deployment, how)

    def _describe_end(self, replica: ReplicaRow, how: str, *, was_killed: bool) -> str:
        """Tell the cause where it is known: the script's own, mlctl's, or else how the process ended."""
        cause = reports.read_cause(self._failure_file(replica.id))
        if cause:
            return f"did not start: {cause}"
        if was_killed:
            return f"was ended: {how}"
        return f"ended unexpectedly while {replica.state}{f': {how}' if how else ''}"

    def _count_failure(self, replica: ReplicaRow, deployment: DeploymentRow, how: str) -> None:
        was_stable = replica.state == ReplicaState.READY and _is_past(replica.changed_at, STABLE_AFTER_S)
        if was_stable or replica.generation != deployment.generation:
            return
        failures, was_ready = deployment.failures + 1, replica.state == ReplicaState.READY
        wait_s = back_off_s(failures, was_ready=was_ready)
        deployments.count_failure(self._store, deployment, next_start_at=time.time() + wait_s)
        if failures >= GIVE_UP_AFTER and not was_ready:
            error = reports.describe_failure(
                self._failure_file(replica.id), failures, how, took_s=time.time() - deployment.modified_at
            )
            deployments.mark_failed(self._store, deployment, error)

    def _failure_file(self, replica: str) -> Path:
        return self._context.run_dir / f"{replica}.failure.json"

    # Decisions

    def _plan(self, row: DeploymentRow, running: Sequence[ReplicaRow]) -> ReplicaPlan:
        # Read anew: settling an exit may have changed it.
        row = deployments.find_deployment(self._store, self.endpoint, row.name) or row
        generations = deployments.list_generations(self._store, self.endpoint, row.name)
        serving = generations.get(row.serving_generation or 0)
        wanted = Wanted(
            generation=row.generation,
            count=_instance_count(row.spec),
            serving=serving.generation if serving else None,
            serving_count=_instance_count(serving.spec) if serving else 0,
            may_start=_back_off_left_s(row) <= 0,
            has_given_up=row.state == "Failed" and row.serving_generation != row.generation,
            is_deleting=row.state == "Deleting",
        )
        return plan_replicas(wanted, [_view(replica) for replica in running if replica.deployment == row.name])

    # Actions

    def _start(self, row: DeploymentRow, plan: ReplicaPlan, running: Sequence[ReplicaRow]) -> list[ReplicaRow]:
        if not plan.start:
            return []
        generations = deployments.list_generations(self._store, self.endpoint, row.name)
        taken = {replica.socket for replica in running}
        started: list[ReplicaRow] = []
        for generation in plan.start:
            socket = self._choose_socket(row, taken, count_workers(generations[generation].spec))
            taken.add(socket)
            started.append(self._start_one(row, generations[generation], socket))
        return started

    def _choose_socket(self, row: DeploymentRow, taken: set[str], workers: int) -> str:
        """Reuse the socket of a replica that has just died: requests that wait there are served by the new one."""
        prefix = _socket_prefix(self.endpoint, row.name)
        for socket in self._takeover_until:
            is_alike = Path(socket).name.startswith(prefix) and len(list_sockets(socket)) == workers
            if socket not in taken and is_alike:
                return socket
        return str(self._context.run_dir / name_socket(f"{prefix}{secrets.token_hex(4)}", workers))

    def _start_one(self, row: DeploymentRow, generation: GenerationRow, socket: str) -> ReplicaRow:
        replica = replicas.insert_replica(
            self._store,
            replica=f"{row.name}-{secrets.token_hex(4)}",
            endpoint=self.endpoint,
            deployment=row.name,
            generation=generation.generation,
            socket=socket,
        )
        handle = self._context.runtime.start(self._order(replica, generation))
        replicas.set_replica_process(self._store, replica.id, pid=handle.pid, start_ticks=handle.start_ticks)
        limit_s = longest_start_s(read_probe_settings(generation.spec.get("liveness_probe")))
        self._report(replica, "replica.started", f"started, pid {handle.pid}", pid=handle.pid, limit_s=limit_s)
        self._watch(replica, handle, row)
        return replace(replica, pid=handle.pid, start_ticks=handle.start_ticks)

    def _order(self, replica: ReplicaRow, generation: GenerationRow) -> ReplicaOrder:
        mount = mounts.ensure_mount(self._context.settings, self.endpoint, replica.deployment, generation.plan)
        return make_order(
            generation.spec,
            generation.plan,
            mount,
            replica=replica.id,
            socket=Path(replica.socket),
            log_file=reports.log_file(self._context.settings, self.endpoint, replica.deployment, replica.id),
            failure_file=self._failure_file(replica.id),
            collected_data=self._context.settings.collected_data,
        )

    def _mark_draining(self, plan: ReplicaPlan) -> None:
        for replica in plan.drain:
            replicas.set_replica_state(self._store, replica, ReplicaState.DRAINING)

    def _route(
        self,
        endpoint: EndpointRow,
        rows: Sequence[DeploymentRow],
        plans: Mapping[str, ReplicaPlan],
        running: Sequence[ReplicaRow],
    ) -> bool:
        """Publish the endpoint's routes and wait for Envoy; False: try again soon."""
        try:
            self._context.routing.apply(endpoint.name, self._routes(endpoint, rows, plans, running))
        except GatewayRejected as error:
            self._roll_back(endpoint, rows, error)
            return False
        except BackendUnavailable as error:
            log.warning("gateway does not answer", extra={"event": "gateway.silent", "reason": error.message})
            return False
        if endpoint.state != "Failed":
            endpoints.accept(self._store, endpoint.name, endpoint.generation)
        return True

    def _routes(
        self,
        endpoint: EndpointRow,
        rows: Sequence[DeploymentRow],
        plans: Mapping[str, ReplicaPlan],
        running: Sequence[ReplicaRow],
    ) -> EndpointRoutes | None:
        if endpoint.state in ("Deleting", "Failed"):
            return None
        backends = [
            plan_backend(row.name, self._routed_spec(row), self._sockets(plans[row.name], running))
            for row in rows
            if row.state != "Deleting"
        ]
        # Opened anew: the user may have put the secrets under another key.
        box = open_secret_box(self._store, self._context.settings.secret_key)
        keys = read_keys(box, endpoint.credentials).values
        return plan_routes(endpoint.name, endpoint.spec, keys, backends)

    def _routed_spec(self, row: DeploymentRow) -> Mapping[str, Any]:
        """Return the document whose limits count: that of the generation which serves."""
        if row.serving_generation in (None, row.generation):
            return row.spec
        generations = deployments.list_generations(self._store, self.endpoint, row.name)
        serving = generations.get(row.serving_generation or 0)
        return serving.spec if serving else row.spec

    def _sockets(self, plan: ReplicaPlan, running: Sequence[ReplicaRow]) -> list[str]:
        routed = [replica for replica in running if replica.id in plan.routed]
        if routed:
            return [socket for replica in routed for socket in self._answering_sockets(replica)]
        now = time.monotonic()
        return [
            socket
            for replica in running
            if replica.state == ReplicaState.STARTING and self._takeover_until.get(replica.socket, 0.0) > now
            for socket in replica.sockets
        ]

    def _answering_sockets(self, replica: ReplicaRow) -> list[str]:
        silent = self._context.prober.verdict(replica.id).silent
        return [socket for socket in replica.sockets if socket not in silent]

    def _roll_back(self, endpoint: EndpointRow, rows: Sequence[DeploymentRow], error: GatewayRejected) -> None:
        log.error("gateway refused a change", extra={"event": "gateway.rejected", "reason": error.message})
        if endpoint.generation > endpoint.observed_generation:
            endpoints.reject(self._store, endpoint.name, endpoint.generation, code=error.code, message=error.message)
            return
        for row in rows:
            if row.generation > row.observed_generation:
                deployments.mark_failed(self._store, row, {"code": error.code, "message": error.message})

    # Progress

    def _settle(self, row: DeploymentRow, plan: ReplicaPlan, running: Sequence[ReplicaRow]) -> bool:
        """Write down how far a deployment is; False when that asks for another pass at once."""
        if row.state == "Deleting":
            return self._finish_removal(row, running)
        if not plan.is_complete:
            return True
        if row.observed_generation == row.generation and row.state == "Succeeded":
            self._forget_old_failures(row, running)
            return True
        with self._store.transaction():
            deployments.mark_serving(self._store, row, replicas=len(plan.routed), wanted=_instance_count(row.spec))
            if row.takes_all_traffic:
                self._give_all_traffic(row)
        mounts.remove_mounts(self._context.settings, self.endpoint, row.name, keep=row.plan)
        return False

    def _give_all_traffic(self, row: DeploymentRow) -> None:
        endpoint = endpoints.get_endpoint(self._store, self.endpoint)
        mirror = {name: share for name, share in read_map(endpoint.spec, "mirror_traffic").items() if name != row.name}
        spec = {**endpoint.spec, "traffic": {row.name: 100}, "mirror_traffic": mirror}
        endpoints.write_spec(self._store, self.endpoint, spec=spec, event=f"traffic {row.name}=100")

    def _forget_old_failures(self, row: DeploymentRow, running: Sequence[ReplicaRow]) -> None:
        newest = max((replica.changed_at for replica in running if replica.deployment == row.name), default=0.0)
        if row.failures and _is_past(newest, STABLE_AFTER_S):
            deployments.forget_failures(self._store, row)

    def _finish_removal(self, row: DeploymentRow, running: Sequence[ReplicaRow]) -> bool:
        if any(replica.deployment == row.name for replica in running):
            return True
        deployments.remove_deployment(self._store, self.endpoint, row.name)
        mounts.remove_mounts(self._context.settings, self.endpoint, row.name)
        reports.remove_logs(self._context.settings, self.endpoint, row.name)
        return False

    def _finish_deletion(self, endpoint: EndpointRow) -> None:
        endpoints.remove_endpoint(self._store, endpoint.name)
        mounts.remove_mounts(self._context.settings, endpoint.name)
        reports.remove_logs(self._context.settings, endpoint.name)

    def _drain(self, running: Sequence[ReplicaRow]) -> bool:
        """Move the draining replicas on, now that no new request reaches them; True when there are none."""
        draining = [
            replica
            for replica in replicas.list_replicas(self._store, self.endpoint)
            if replica.state == ReplicaState.DRAINING
        ]
        now = time.monotonic()
        for replica in draining:
            handle = self._handle(replica)
            if handle is None:
                continue
            if now - self._unrouted_at.setdefault(replica.id, now) < DRAIN_BEFORE_TERM_S:
                continue
            if replica.id not in self._terminated_at:
                self._terminated_at[replica.id] = now
                self._context.prober.forget(replica.id)
                self._context.runtime.request_stop(handle)
            elif now - self._terminated_at[replica.id] > DRAIN_BEFORE_KILL_S:
                self._context.runtime.kill(handle)
        return not draining

    def _next_look(self, is_drained: bool) -> float:
        # Read anew: this very pass may have begun a back-off.
        rows = deployments.list_deployments(self._store, self.endpoint)
        waits = [IDLE_S]
        waits += [max(0.01, left) for row in rows if row.failures and (left := _back_off_left_s(row)) > 0]
        waits += [max(0.01, until - time.monotonic()) for until in self._open_takeovers()]
        if not is_drained:
            waits.append(0.05)
        return min(waits)

    def _open_takeovers(self) -> list[float]:
        now = time.monotonic()
        self._takeover_until = {socket: until for socket, until in self._takeover_until.items() if until > now - 1.0}
        return [until for until in self._takeover_until.values() if until > now]

    def _report(self, replica: ReplicaRow, kind: str, message: str, **data: Any) -> None:
        events.record(
            self._store,
            kind,
            f"{replica.id} {message}",
            endpoint=self.endpoint,
            deployment=replica.deployment,
            replica=replica.id,
            generation=replica.generation,
            **data,
        )


def compute_routes(
    store: Store, secret_box: SecretBox, is_alive: Callable[[ReplicaRow], bool]
) -> dict[str, EndpointRoutes]:
    """Return the routes of all endpoints as a starting daemon finds them, before any pass."""
    found: dict[str, EndpointRoutes] = {}
    for endpoint in endpoints.list_endpoints(store):
        if endpoint.accepted_spec is None or endpoint.accepted_credentials is None or endpoint.state == "Deleting":
            continue
        ready = [
            replica
            for replica in replicas.list_replicas(store, endpoint.name)
            if replica.state == ReplicaState.READY and is_alive(replica)
        ]
        backends = [
            plan_backend(
                row.name,
                row.spec,
                [socket for replica in ready if replica.deployment == row.name for socket in replica.sockets],
            )
            for row in deployments.list_deployments(store, endpoint.name)
            if row.state != "Deleting"
        ]
        keys = read_keys(secret_box, endpoint.accepted_credentials).values
        found[endpoint.name] = plan_routes(endpoint.name, endpoint.accepted_spec, keys, backends)
    return found


def _tell_why(replica: ReplicaRow, deployment: DeploymentRow | None) -> str:
    """Say why a replica was let go."""
    if deployment is None or deployment.state == "Deleting":
        return "its deployment is deleted"
    if replica.generation < deployment.generation:
        return f"generation {deployment.generation} takes the place of {replica.generation}"
    return "fewer instances are wanted"


def _back_off_left_s(row: DeploymentRow) -> float:
    """Return for how long no replica may be started; more than the longest back-off: the clock was set back since."""
    left = row.next_start_at - time.time()
    return left if 0 < left <= LONGEST_BACKOFF_S else 0.0


def _is_past(at: float, duration_s: float) -> bool:
    """Say whether a duration has passed since; what lies ahead was written down before the clock was set back."""
    return abs(time.time() - at) > duration_s


def _view(replica: ReplicaRow) -> Replica:
    return Replica(replica.id, replica.generation, ReplicaState(replica.state))


def _instance_count(spec: Mapping[str, Any]) -> int:
    return max(1, spec.get("instance_count") or 1)


def _socket_prefix(endpoint: str, deployment: str) -> str:
    return hashlib.sha256(f"{endpoint}/{deployment}".encode()).hexdigest()[:6] + "-"
