"""Variables that Azure's inference server reads as numbers: judged with the document, not when a replica starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.entities.stored import read_map

WORKER_COUNT = "WORKER_COUNT"
MOST_WORKERS = 64
# Smallest and largest whole number.
_NUMBERS = {WORKER_COUNT: (1, MOST_WORKERS), "WORKER_TIMEOUT": (0, 86_400), "SCORING_TIMEOUT_MS": (0, 86_400_000)}


def count_workers(spec: Mapping[str, Any]) -> int:
    """Return how many processes serve in each replica of a deployment: its WORKER_COUNT, 1 where it has none."""
    value = read_map(spec, "environment_variables").get(WORKER_COUNT)
    return int(str(value)) if _is_number(value, *_NUMBERS[WORKER_COUNT]) else 1


def check_server_variables(variables: Mapping[str, Any]) -> None:
    """Refuse values that the server could not follow; numbers may be text."""
    # Here, since commands that only look have no use for pydantic.
    from mlctl.entities.values import refuse, show_value

    for name, (least, most) in _NUMBERS.items():
        if name in variables and not _is_number(variables[name], least, most):
            refuse(f"{show_value(variables[name])} is not a whole number ({least:,} to {most:,})", key=name)


def find_idle_workers(spec: Mapping[str, Any]) -> str:
    """Return why some of a deployment's workers would be idle in Azure; empty where that is not so."""
    workers = count_workers(spec)
    at_a_time = read_map(spec, "request_settings").get("max_concurrent_requests_per_instance") or 1
    if at_a_time >= workers:
        return ""
    return (
        f"{WORKER_COUNT} is {workers}, but request_settings.max_concurrent_requests_per_instance is {at_a_time}: Azure"
        f" lets an instance have no more at a time; set it to {workers}. Here all workers are used"
    )


def _is_number(value: Any, least: int, most: int) -> bool:
    text = str(value)
    is_number = type(value) is not bool and text.isascii() and text.isdigit() and len(text) < 12
    return is_number and least <= int(text) <= most
