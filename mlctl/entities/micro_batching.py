"""The properties that have a deployment's waiting requests joined: read, checked, doubted. See `scoring.batching`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from mlctl.entities.stored import read_map

PREFIX = "mlctl.micro_batching."
MAX_ROWS = f"{PREFIX}max_rows"
MAX_WAIT_MS = f"{PREFIX}max_wait_ms"
INPUT_KEY = f"{PREFIX}input_key"
_NUMBERS = {MAX_ROWS: (2, 10_000), MAX_WAIT_MS: (0, 1_000)}


class MicroBatching(NamedTuple):
    """max_rows: of a batch. max_wait_ms: for a fuller one. input_key: names the rows in a body."""

    max_rows: int
    max_wait_ms: int = 5
    input_key: str = "features"


def read_micro_batching(properties: Mapping[str, Any]) -> MicroBatching | None:
    """Read properties that are checked; None where nothing is to be joined."""
    if MAX_ROWS not in properties:
        return None
    defaults = MicroBatching(0)
    return MicroBatching(
        int(properties[MAX_ROWS]),
        int(properties.get(MAX_WAIT_MS, defaults.max_wait_ms)),
        str(properties.get(INPUT_KEY, defaults.input_key)),
    )


def check_micro_batching(properties: Mapping[str, Any]) -> None:
    """Refuse properties that cannot be followed; numbers may be text, as they are in Azure."""
    # Here, since commands that only look read properties, and have no use for pydantic.
    from mlctl.entities.values import refuse, show_value

    given = {name: value for name, value in properties.items() if name.startswith(PREFIX)}
    for name in given:
        if name not in (MAX_ROWS, MAX_WAIT_MS, INPUT_KEY):
            refuse("unknown property", f"there are {MAX_ROWS}, {MAX_WAIT_MS} and {INPUT_KEY}", key=name)
    if given and MAX_ROWS not in given:
        refuse(f"without {MAX_ROWS} no requests are joined", f'add {MAX_ROWS}: "64"', key=next(iter(given)))
    for name, (least, most) in _NUMBERS.items():
        if name in given and not _is_number(given[name], least, most):
            refuse(f"{show_value(given[name])} is not a whole number ({least:,} to {most:,})", key=name)
    if not isinstance(name := given.get(INPUT_KEY, "features"), str) or not name:
        refuse(f"{show_value(name)} is not the name of a key in a body", key=INPUT_KEY)


def _is_number(value: Any, least: int, most: int) -> bool:
    text = str(value)
    return text.isascii() and text.isdigit() and len(text) < 8 and least <= int(text) <= most


def find_doubt(spec: Mapping[str, Any]) -> str:
    """Say why a deployment's requests will not be joined although they shall; empty where nothing speaks against it."""
    if read_micro_batching(read_map(spec, "properties")) is None:
        return ""
    at_a_time = read_map(spec, "request_settings").get("max_concurrent_requests_per_instance") or 1
    if at_a_time >= 2:
        return ""
    return (
        f"{MAX_ROWS} has no effect: request_settings.max_concurrent_requests_per_instance is {at_a_time},"
        " so no two requests are in a replica at a time; set it to 2 or more"
    )
