"""What mlctl adds to Azure's documents: properties under `mlctl.`, which Azure takes as they are."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from mlctl.entities.micro_batching import check_micro_batching

MAX_BODY_BYTES = "mlctl.max_body_bytes"
LARGEST_BODY_BYTES = 100 * 1024 * 1024
RUN_THREADS = "mlctl.run_threads"
AZURE_EXACT = "mlctl.azure_exact"
# The path of a JSON Schema that bodies have to fit, or "off".
REQUEST_SCHEMA = "mlctl.request_schema"

# Name -> smallest and largest whole number.
_NUMBERS = {MAX_BODY_BYTES: (1, LARGEST_BODY_BYTES), RUN_THREADS: (1, 64)}
_FLAGS = (AZURE_EXACT,)
_NAMES = (*_NUMBERS, *_FLAGS, REQUEST_SCHEMA)


def check_extensions(properties: Mapping[str, Any]) -> None:
    """Refuse values that mlctl could not follow; they are text in Azure, numbers and booleans are taken as well."""
    # Here, since commands that only look want the names above and not pydantic.
    from mlctl.entities.values import refuse, show_value

    for name in properties:
        # Only what is nearly right: others may have properties of their own under any name.
        if name.startswith("mlctl.") and name not in _NAMES and (near := get_close_matches(name, _NAMES, cutoff=0.9)):
            refuse("unknown property", f"did you mean {near[0]}?", key=name)
    for name, (least, most) in _NUMBERS.items():
        if name in properties and not _is_number(properties[name], least, most):
            refuse(f"{name}: {show_value(properties[name])} is not a whole number ({least} to {most})")
    for name in _FLAGS:
        if name in properties and str(properties[name]).lower() not in ("true", "false"):
            refuse(f"{name}: {show_value(properties[name])} is not true or false")
    schema = properties.get(REQUEST_SCHEMA, "off")
    if not isinstance(schema, str) or not schema:
        unquoted = 'YAML reads off as false: write it in quotation marks, "off"'
        hint = unquoted if schema is False else f"for example {REQUEST_SCHEMA}: ./request.schema.json"
        refuse(f'{show_value(schema)} is neither the path of a JSON Schema nor "off"', hint, key=REQUEST_SCHEMA)
    check_micro_batching(properties)


def _is_number(value: Any, least: int, most: int) -> bool:
    text = str(value)
    return text.isascii() and text.isdigit() and len(text) < 12 and least <= int(text) <= most
