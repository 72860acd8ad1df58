"""Reading documents as the registry stores them: plain maps, whose parts may be missing or null."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def read_map(document: Mapping[str, Any], field: str) -> dict[str, Any]:
    """Return a field that holds a map; empty when it is missing or null."""
    return dict(document.get(field) or {})
