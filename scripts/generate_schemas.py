"""Write `schemas/` from the entities; with `--check` only compare. Called by `make schemas` and `make check`."""

from __future__ import annotations

import argparse
import difflib
import json
import sys
from pathlib import Path

from mlctl.entities.kinds import KINDS
from mlctl.entities.schemas import build_schema

FOLDER = Path(__file__).resolve().parent.parent / "schemas"


def render_schemas() -> dict[str, str]:
    """Map the name of each schema file to its text."""
    return {kind.schema_file: json.dumps(build_schema(kind), indent=2) + "\n" for kind in KINDS}


def write_schemas(folder: Path) -> None:
    """Write all schema files, and remove those that nothing generates any more."""
    folder.mkdir(exist_ok=True)
    wanted = render_schemas()
    for name, text in wanted.items():
        (folder / name).write_text(text, encoding="utf-8")
    for path in folder.glob("*.schema.json"):
        if path.name not in wanted:
            path.unlink()


def find_differences(folder: Path) -> list[str]:
    """List the lines of a unified diff between the files and what would be written."""
    wanted = render_schemas()
    names = sorted(wanted.keys() | {path.name for path in folder.glob("*.schema.json")})
    return [line for name in names for line in _compare(folder / name, wanted.get(name, ""))]


def _compare(path: Path, wanted: str) -> list[str]:
    present = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = (present.splitlines(), wanted.splitlines())
    return list(difflib.unified_diff(*lines, f"schemas/{path.name}", "generated", lineterm=""))


def main(arguments: list[str] | None = None, folder: Path = FOLDER) -> int:
    """Write or compare; 1 when the files are not what the entities say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, fail when a file is out of date")
    if not parser.parse_args(arguments).check:
        write_schemas(folder)
        return 0
    differences = find_differences(folder)
    if differences:
        print("\n".join(differences[:200]))
        print("schemas/ is out of date: run make schemas", file=sys.stderr)
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
