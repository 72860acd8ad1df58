"""What mlctl adds to batch deployments: properties under `mlctl.`, which Azure takes as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PREFIX = "mlctl."
INPUT = "mlctl.input"
INPUT_KEY = "mlctl.input_key"
OUTPUT_FORMAT = "mlctl.output_format"
OUTPUT_HEADER = "mlctl.output_header"
OUTPUT_WITH_INPUT = "mlctl.output_with_input"
MINI_BATCH_ERROR_THRESHOLD = "mlctl.mini_batch_error_threshold"

_WORDS = {INPUT: ("files", "rows", "json"), OUTPUT_FORMAT: ("az", "csv", "jsonl", "parquet")}
_FLAGS = (OUTPUT_HEADER, OUTPUT_WITH_INPUT)
_KNOWN = (INPUT, INPUT_KEY, OUTPUT_FORMAT, OUTPUT_HEADER, OUTPUT_WITH_INPUT, MINI_BATCH_ERROR_THRESHOLD)
# Printed by mlctl; a document that was shown may be given back with them.
_FOUND_OUT = ("mlctl.python", "mlctl.drift")


def check_batch_extensions(properties: Mapping[str, Any]) -> None:
    """Refuse values that mlctl could not follow; they are text in Azure, numbers and booleans are taken as well."""
    from mlctl.entities.values import list_words, refuse, show_value

    given = {name: value for name, value in properties.items() if name.startswith(PREFIX)}
    for name, value in given.items():
        if name not in (*_KNOWN, *_FOUND_OUT):
            refuse("unknown property", _suggest(name), key=name)
        if name in _WORDS and value not in _WORDS[name]:
            refuse(f"{show_value(value)} is not {list_words(_WORDS[name])}", key=name)
        if name in _FLAGS and str(value).lower() not in ("true", "false"):
            refuse(f"{show_value(value)} is not true or false", key=name)
    if INPUT_KEY in given and (not isinstance(given[INPUT_KEY], str) or not given[INPUT_KEY]):
        refuse(f"{show_value(given[INPUT_KEY])} is not the name of a key in a body", key=INPUT_KEY)
    if not _is_threshold(given.get(MINI_BATCH_ERROR_THRESHOLD, -1)):
        value = given[MINI_BATCH_ERROR_THRESHOLD]
        refuse(f"{show_value(value)} is not a whole number (-1: any number may fail)", key=MINI_BATCH_ERROR_THRESHOLD)


def _suggest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, _KNOWN, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(_KNOWN)}"


def _is_threshold(value: Any) -> bool:
    text = str(value)
    return text == "-1" or (text.isascii() and text.isdigit() and len(text) < 13)
