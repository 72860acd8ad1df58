"""The command line of Azure's server, and what mlctl adds to it. Names may be written with dashes or underscores."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NamedTuple, NoReturn

WRONG_ARGUMENT = 1
_LEVELS = ("debug", "info", "warning", "error", "critical")


class Arguments(NamedTuple):
    """As given; None for what was not. is_plain: results are encoded as at mlctl's endpoints."""

    entry_script: str | None
    model_dir: str | None
    host: str
    port: int | None
    health_port: int | None
    worker_count: int | None
    config_file: str | None
    appinsights_instrumentation_key: str | None
    access_control_allow_origins: str | None
    log_level: str | None
    reload: bool
    is_plain: bool


class _Parser(argparse.ArgumentParser):
    """Ends with Azure's exit code."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong."""
        self.exit(WRONG_ARGUMENT, f"{self.prog}: {message}\n{self.prog} --help lists what there is\n")


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else 0
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"'{text}' is not a port: give a number from 1 to 65535")
    return port


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number of workers: give 1 or more")
    return int(text)


def _build_parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="mlctl serve", allow_abbrev=False)

    def add(name: str, **options: object) -> None:
        # argparse's stub wants each option by name.
        parser.add_argument(*dict.fromkeys((name, f"--{name[2:].replace('-', '_')}")), **options)  # pyright: ignore

    for name in ("--entry-script", "--model-dir", "--config-file"):
        add(name)
    add("--appinsights-instrumentation-key")
    add("--access-control-allow-origins")
    add("--port", type=_port)
    add("--health-port", type=_port)
    add("--worker-count", type=_count)
    add("--host", default="127.0.0.1")
    add("--log-level", type=str.lower, choices=_LEVELS)
    add("--reload", action="store_true")
    add("--plain", action="store_true", dest="is_plain")
    add("--rest", action="store_true")  # Azure's server takes it, and it means nothing
    return parser


def read_arguments(words: Sequence[str]) -> Arguments:
    """Parse the command line; a wrong one is told and raises SystemExit(1)."""
    given = vars(_build_parser().parse_args(words))
    return Arguments(**{name: given[name] for name in Arguments._fields})
