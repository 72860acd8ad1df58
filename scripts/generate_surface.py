"""Write mlctl/cli/surface.json, the flags of az that the argument normaliser knows, from docs/reference.

`python -m scripts.generate_surface` writes it, `--check` fails when it is out of date.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "docs" / "reference" / "az-ml-surface.json"
TARGET = ROOT / "mlctl" / "cli" / "surface.json"
GROUPS = (
    *("online-endpoint", "online-deployment", "model", "environment", "workspace"),
    *("batch-endpoint", "batch-deployment", "data", "component", "compute", "job"),
)


def render() -> str:
    """Return the table: group -> verb -> flags, each as [name, aliases, kind]."""
    table: dict[str, dict[str, list[Any]]] = {}
    for command in json.loads(SOURCE.read_text()):
        words = command["command"].split()
        if len(words) == 3 and words[0] == "ml" and words[1] in GROUPS:
            flags = [[flag["name"], flag["aliases"], flag["kind"]] for flag in command["flags"]]
            table.setdefault(words[1], {})[words[2]] = flags
    lines = [
        f'  "{group}": {{\n'
        + ",\n".join(f'    "{verb}": {json.dumps(flags)}' for verb, flags in sorted(verbs.items()))
        + "\n  }"
        for group, verbs in sorted(table.items())
    ]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def main() -> int:
    """Write or check the file."""
    text = render()
    if "--check" not in sys.argv:
        TARGET.write_text(text)
        return 0
    if TARGET.read_text() != text:
        print(f"{TARGET.relative_to(ROOT)} is out of date: make schemas")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
