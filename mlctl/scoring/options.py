"""What the daemon tells a replica: its command line and the variables of Azure's container."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mlctl.scoring.no_code.choosing import Choice, read_choice

# As a request schema: bodies are not checked; or against what the model tells of its input.
OFF, AUTO = "off", "auto"


class MicroBatching(NamedTuple):
    """Which requests are joined: input_key names the rows in a body; a batch has at most max_rows of them."""

    max_rows: int
    max_wait_s: float
    input_key: str


@dataclass(frozen=True)
class Options:
    """The settings of one replica, fixed at its start.

    fds: sockets that are bound and listening: one for each worker, or one for all of them. sockets: their paths, where
    the daemon says them. workers: how many processes serve. collection: the data collector's configuration.
    max_concurrent, max_queue_wait_s: see `admission`. run_threads: threads that call run(), the main one included.
    failure_file: where a failed start is described, None for nowhere.
    app_root, entry_script, source_directory, model_dir: AML_APP_ROOT and AZUREML_ENTRY_SCRIPT,
    AZUREML_SOURCE_DIRECTORY, AZUREML_MODEL_DIR. no_code: what serves the model, where there is no script.
    request_schema: what bodies are checked against: off, auto, or a file.
    """

    fds: tuple[int, ...]
    sockets: tuple[Path, ...]
    workers: int
    endpoint: str
    deployment: str
    replica: str
    max_concurrent: int
    max_queue_wait_s: float
    run_threads: int
    is_azure_exact: bool
    failure_file: Path | None
    micro_batching: MicroBatching | None
    collection: Path | None
    app_root: Path
    entry_script: str | None
    source_directory: str | None
    model_dir: Path | None
    no_code: Choice | None = None
    request_schema: str = OFF


def _at_least(least: int, text: str) -> int:
    value = int(text)
    if value < least:
        raise argparse.ArgumentTypeError(f"must be at least {least}")
    return value


def _count(text: str) -> int:
    return _at_least(1, text)


def _amount(text: str) -> int:
    return _at_least(0, text)


def _build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mlctl.scoring", description="Serve one scoring script.")
    parser.add_argument(
        "--fd", type=_amount, action="append", required=True, help="listening socket to serve; several: a worker each"
    )
    parser.add_argument("--socket", type=Path, action="append", default=[], help="the path of each of them")
    parser.add_argument("--workers", type=_count, help="workers that share the one socket")
    parser.add_argument("--registry", default="", help="label of the registry it belongs to; marks the process")
    parser.add_argument("--endpoint", required=True, help="name of the endpoint")
    parser.add_argument("--deployment", required=True, help="name of the deployment")
    parser.add_argument("--replica", required=True, help="id of this replica")
    parser.add_argument("--max-concurrent", type=_count, default=1, help="requests admitted at a time")
    parser.add_argument("--max-queue-wait-ms", type=_amount, default=500, help="longest wait of the others")
    parser.add_argument("--run-threads", type=_count, default=1, help="threads that call run()")
    parser.add_argument("--failure-file", type=Path, help="where to describe a failed start")
    parser.add_argument("--azure-exact", action="store_true", help="encode results exactly as Azure does")
    parser.add_argument("--batch-max-rows", type=_amount, default=0, help="join requests up to so many rows; 0: never")
    parser.add_argument("--batch-max-wait-ms", type=float, default=5.0, help="longest wait for a fuller batch")
    parser.add_argument("--batch-input-key", default="features", help="key of the rows in a body")
    parser.add_argument("--no-code", type=read_choice, help="serve the model without a script: LOADER:PATH")
    parser.add_argument("--request-schema", default=OFF, help="check bodies: off, auto or a JSON Schema file")
    parser.add_argument("--collection", type=Path, help="configuration of the data collector")
    return parser


def read_options(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> Options:
    """Parse the command line; a wrong one prints its usage and raises SystemExit(2)."""
    parser = _build_parser()
    parsed = parser.parse_args(arguments)
    if parsed.workers and len(parsed.fd) > 1:
        parser.error("argument --workers: several --fd are a worker each")
    if parsed.socket and len(parsed.socket) != len(parsed.fd):
        parser.error("argument --socket: give one for each --fd, in their order")
    model_dir = environment.get("AZUREML_MODEL_DIR")
    return Options(
        fds=tuple(parsed.fd),
        sockets=tuple(parsed.socket),
        workers=parsed.workers or len(parsed.fd),
        endpoint=parsed.endpoint,
        deployment=parsed.deployment,
        replica=parsed.replica,
        max_concurrent=parsed.max_concurrent,
        max_queue_wait_s=parsed.max_queue_wait_ms / 1000,
        run_threads=parsed.run_threads,
        is_azure_exact=parsed.azure_exact,
        failure_file=parsed.failure_file,
        micro_batching=MicroBatching(parsed.batch_max_rows, parsed.batch_max_wait_ms / 1000, parsed.batch_input_key)
        if parsed.batch_max_rows
        else None,
        collection=parsed.collection,
        app_root=Path(environment.get("AML_APP_ROOT") or Path.cwd()),
        entry_script=environment.get("AZUREML_ENTRY_SCRIPT"),
        source_directory=environment.get("AZUREML_SOURCE_DIRECTORY"),
        model_dir=Path(model_dir) if model_dir else None,
        no_code=parsed.no_code,
        request_schema=parsed.request_schema,
    )
