"""What mlctl adds to schedules: properties under `mlctl.`, which Azure takes as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

PREFIX = "mlctl."
MISSED_RUNS = "mlctl.missed_runs"
MISSED_WITHIN_S = "mlctl.missed_runs_within_s"
OVERLAPPING_RUNS = "mlctl.overlapping_runs"
ONCE, SKIP, ALLOW = "once", "skip", "allow"

_WORDS = {MISSED_RUNS: (ONCE, SKIP), OVERLAPPING_RUNS: (SKIP, ALLOW)}
_KNOWN = (MISSED_RUNS, MISSED_WITHIN_S, OVERLAPPING_RUNS)
# Printed by mlctl; a document that was shown may be given back with them.
FOUND_OUT = ("mlctl.next_run", "mlctl.last_run", "mlctl.last_job", "mlctl.last_state", "mlctl.last_message")
LONGEST_WITHIN_S = 366 * 86_400


def check_schedule_extensions(properties: Mapping[str, Any]) -> None:
    """Refuse values that mlctl could not follow; they are text in Azure, numbers are taken as well."""
    from mlctl.entities.values import list_words, refuse, show_value

    given = {name: value for name, value in properties.items() if name.startswith(PREFIX)}
    for name, value in given.items():
        if name not in (*_KNOWN, *FOUND_OUT):
            refuse("unknown property", _suggest(name), key=name)
        if name in _WORDS and value not in _WORDS[name]:
            refuse(f"{show_value(value)} is not {list_words(_WORDS[name])}", key=name)
    if MISSED_WITHIN_S in given and not _is_number(given[MISSED_WITHIN_S]):
        value = show_value(given[MISSED_WITHIN_S])
        refuse(f"{value} is not a whole number of seconds (60 to {LONGEST_WITHIN_S})", key=MISSED_WITHIN_S)


def _suggest(name: str) -> str:
    import difflib

    near = difflib.get_close_matches(name, _KNOWN, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(_KNOWN)}"


def _is_number(value: Any) -> bool:
    text = str(value)
    return text.isascii() and text.isdigit() and len(text) < 10 and 60 <= int(text) <= LONGEST_WITHIN_S
