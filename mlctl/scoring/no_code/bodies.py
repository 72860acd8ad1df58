"""What the scorers of this package share: finding the model's file, reading a body, telling what does not fit."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from mlctl.scoring.refusals import BodyRefused, Fault

_LISTED = 20


def find_model(endings: Sequence[str]) -> Path:
    """Return the only file below AZUREML_MODEL_DIR that ends so; FileNotFoundError says what is there instead."""
    folder = Path(os.environ.get("AZUREML_MODEL_DIR") or ".")
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    found = [path for path in files if path.suffix.lower() in endings]
    if len(found) == 1:
        return found[0]
    names = ", ".join(path.relative_to(folder).as_posix() for path in (found or files)[:_LISTED])
    wanted = " or ".join(endings)
    raise FileNotFoundError(
        f"the model must hold one file that ends with {wanted} to be served without a scoring script; "
        + (f"it holds {len(found)}: {names}" if found else f"it holds: {names or 'nothing'}")
    )


def parse_object(text: str) -> dict[str, Any]:
    """Return the body, which must be a JSON object."""
    try:
        body: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BodyRefused([Fault("$", f"is not JSON: {error}")]) from None
    if not isinstance(body, dict):
        raise BodyRefused([Fault("$", f"must be an object, it is {name_type(body)}")])
    return cast("dict[str, Any]", body)


def is_split(value: Any) -> bool:
    """Say whether a value is a table in pandas' split form: `{"columns": […], "data": [[…], …]}`."""
    return isinstance(value, Mapping) and "columns" in value and "data" in value


def check_rows(rows: Any, path: str, width: int | None) -> Iterator[Fault]:
    """Yield what keeps `rows` from being a table: a list of at least one list, all equally long, `width` if known."""
    if not isinstance(rows, list):
        yield Fault(path, f"must be a list of rows, it is {name_type(rows)}")
        return
    listed = cast("list[Any]", rows)
    if not listed:
        yield Fault(path, "has no rows")
        return
    expected = width if width is not None else len(listed[0]) if isinstance(listed[0], list) else None
    for number, row in enumerate(listed):
        if not isinstance(row, list):
            yield Fault(f"{path}[{number}]", f"must be a row, a list of values, it is {name_type(row)}")
        elif expected is not None and len(cast("list[Any]", row)) != expected:
            source = "the model takes" if width is not None else "the first row has"
            yield Fault(f"{path}[{number}]", f"has {len(cast('list[Any]', row))} values, {source} {expected}")


def walk_values(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Yield each value in nested lists with its path, depth first."""
    if isinstance(value, list):
        for number, item in enumerate(cast("list[Any]", value)):
            yield from walk_values(item, f"{path}[{number}]")
    else:
        yield path, value


def name_type(value: Any) -> str:
    """Name a JSON value's type as JSON does, with its article."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "an object"
