"""What a batch job runs: a batch deployment, or an online deployment whose script scores tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlctl.entities.stored import read_map
from mlctl.errors import InvalidInput
from mlctl.ops import environments
from mlctl.ops.session import Session
from mlctl.registry import assets, deployments, endpoints
from mlctl.runtimes.environments import find_environment

if TYPE_CHECKING:
    from mlctl.ops.batch_orders import Invocation


@dataclass(frozen=True)
class BatchTarget:
    """Script, model and interpreter of a job.

    spec: the batch deployment's settings. is_online: the script is an online one. label: what the job is named after.
    plan: what the deployment was resolved to, code and model by the hash of the registry's copy.
    ensure_python: returns the interpreter, given packages that it needs beside the user's; builds it if need be.
    """

    spec: Mapping[str, Any]
    endpoint: str | None
    deployment: str | None
    label: str
    plan: Mapping[str, Any]
    environment_variables: Mapping[str, str]
    ensure_python: Callable[[Sequence[str]], Path]
    is_online: bool = False
    cluster: str | None = None

    @property
    def no_code(self) -> str | None:
        """What scores where there is no script, `LOADER:PATH`."""
        return self.plan.get("no_code")


def find_target(session: Session, invocation: Invocation) -> BatchTarget:
    """Return what an invocation runs; NotFound names what there is."""
    if invocation.from_deployment is None:
        return _find_batch(session, invocation)
    if invocation.deployment is not None:
        raise InvalidInput("--deployment-name and --from-deployment exclude each other: each names what is run")
    return _find_online(session, invocation.from_deployment, invocation.endpoint)


def _find_batch(session: Session, invocation: Invocation) -> BatchTarget:
    from mlctl.ops.batch_deployments import load

    if invocation.endpoint is None:
        raise InvalidInput(
            "the endpoint is not named",
            hint="mlctl batch invoke -n ENDPOINT --input PATH, or --from-deployment ENDPOINT/DEPLOYMENT",
        )
    found = load(session, invocation.endpoint, invocation.deployment)
    return BatchTarget(
        spec=found.deployment,
        endpoint=found.endpoint,
        deployment=found.name,
        label=found.endpoint,
        plan=found.plan,
        environment_variables=found.environment_variables,
        ensure_python=partial(_ensure_python, session, found.plan),
        cluster=found.cluster,
    )


def _find_online(session: Session, text: str, endpoint: str | None) -> BatchTarget:
    owner, separator, name = text.partition("/")
    if not separator:
        raise InvalidInput(
            f"--from-deployment: {text} is not ENDPOINT/DEPLOYMENT", hint="--from-deployment fraud-endpoint/blue"
        )
    row = deployments.get_deployment(session.store, endpoints.get_endpoint(session.store, owner).name, name)
    variables = {key: _text(value) for key, value in read_map(row.spec, "environment_variables").items()}
    properties = read_map(row.spec, "properties")
    key = properties.get("mlctl.micro_batching.input_key")
    return BatchTarget(
        spec={"properties": {"mlctl.input_key": key, **properties} if key else properties},
        endpoint=endpoint or row.endpoint,
        deployment=row.name,
        label=row.endpoint,
        plan=row.plan,
        environment_variables=variables,
        ensure_python=partial(_ensure_python, session, row.plan),
        is_online=True,
    )


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else str(value)


def _ensure_python(session: Session, plan: Mapping[str, Any], needs: Sequence[str]) -> Path:
    """Return an environment like a deployment's that has some packages more; mlctl's own has them all."""
    python, environment = Path(plan["python"]), plan.get("environment")
    if not needs or find_environment(python) is None or environment is None:
        return python
    asset = assets.get_asset(session.store, kind="environment", **environment)
    if asset is None:
        return python
    return environments.ensure(session, environments.read_registered(asset), needs=needs).python
