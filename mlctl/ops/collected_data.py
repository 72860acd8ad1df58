"""What data collectors have kept: the newest events of a deployment, its own or one that is deleted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from mlctl.entities.stored import read_map
from mlctl.errors import InvalidInput
from mlctl.ops.documents import Document
from mlctl.ops.session import Session
from mlctl.registry import deployments
from mlctl.registry.deployments import DeploymentRow
from mlctl.runtimes.collection import list_enabled

_BLOCK_BYTES = 1 << 16


@dataclass(frozen=True)
class CollectedData:
    """events: oldest first. folder: where all of the data lies. note: why there are no events, and what to do."""

    events: list[Document]
    folder: Path
    note: str


def read(session: Session, *, endpoint: str, name: str, collection: str | None, tail: int) -> CollectedData:
    """Return the last `tail` events of one collection, or of all of them by time.

    InvalidInput: neither a deployment nor data of that name; no collection of that name.
    """
    row = deployments.find_deployment(session.store, endpoint, name)
    folder = find_folder(session, endpoint, name, row)
    enabled = list_enabled(row.spec) if row else []
    present = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if row is None and not present:
        hint = f"mlctl deployment list -e {endpoint}"
        raise InvalidInput(f"there is no deployment {name} at {endpoint}, and no data that one collected", hint=hint)
    known = sorted({*enabled, *present})
    wanted = collection.lower() if collection else None
    if wanted is not None and known and wanted not in (*known, "request", "response"):
        raise InvalidInput(f"{name} has no collection {collection}", hint=f"it has: {', '.join(known)}")
    events = [event for one in ([wanted] if wanted else present) for event in _read_last(folder / one, tail)]
    events = sorted(events, key=lambda event: str(event.get("time", "")))[-tail:]
    return CollectedData(events, folder, "" if events else _explain(row, wanted, enabled, name, endpoint))


def find_folder(session: Session, endpoint: str, name: str, row: DeploymentRow | None) -> Path:
    """Return where a deployment's data lies; names are as the deployment itself has them."""
    root = session.settings.collected_data
    return root / row.endpoint / row.name if row else root / endpoint / name


def _explain(row: DeploymentRow | None, wanted: str | None, enabled: list[str], name: str, endpoint: str) -> str:
    if row is None or (enabled and (wanted is None or wanted in enabled)):
        rate = read_map(row.spec, "data_collector").get("sampling_rate") if row else None
        share = f" (sampling_rate: {rate})" if rate is not None and rate < 1 else ""
        what = wanted or ", ".join(enabled)
        return f"nothing has been collected yet of {what}{share}; it appears a moment after a request"
    what = f"collection {wanted}" if wanted else "the data collector"
    return (
        f"{what} of {name} is off, so there is nothing to show. Turn it on:"
        f"\n  mlctl deployment update -n {name} -e {endpoint} --set '{_render_setting(row, wanted or 'request')}'"
    )


def _render_setting(row: DeploymentRow, name: str) -> str:
    """Return the token for --set, which makes the last part of a path only."""
    collections = read_map(read_map(row.spec, "data_collector"), "collections")
    known = next((one for one in collections if one.lower() == name), None)
    if known is not None:
        return f"data_collector.collections.{known}.enabled=true"
    if row.spec.get("data_collector"):
        return f'data_collector.collections.{name}={{"enabled": "true"}}'
    return f'data_collector={{"collections": {{"{name}": {{"enabled": "true"}}}}}}'


def _read_last(folder: Path, count: int) -> list[Document]:
    """Return a collection's last events. Instances write side by side, in folders by time: newest folders first."""
    files = sorted(folder.rglob("*.jsonl"), key=lambda path: path.parent, reverse=True)
    events: list[Document] = []
    for _, instances in groupby(files, key=lambda path: path.parent):
        for file in instances:
            events += _read_tail(file, count)
        if len(events) >= count:
            break
    return events


def _read_tail(file: Path, count: int) -> list[Document]:
    found: list[Document] = []
    for line in _lines_from_end(file):
        try:
            event = json.loads(line)
        except ValueError:
            continue  # half a line, of a writer that was killed
        if isinstance(event, dict):
            found.append(cast("dict[str, Any]", event))
        if len(found) == count:
            break
    return found


def _lines_from_end(file: Path) -> Iterator[bytes]:
    """Yield a file's lines, the last one first, without reading more of it than that takes."""
    try:
        with file.open("rb") as reader:
            position, parts = reader.seek(0, 2), list[bytes]()
            while position:
                start = max(0, position - _BLOCK_BYTES)
                reader.seek(start)
                block, position = reader.read(position - start), start
                *_, last = pieces = block.split(b"\n")
                if len(pieces) == 1:
                    parts.append(block)
                    continue
                yield last + b"".join(reversed(parts))
                yield from reversed(pieces[1:-1])
                parts = [pieces[0]]
            yield b"".join(reversed(parts))
    except OSError:
        return  # removed meanwhile


def count_bytes(root: Path) -> int:
    """Return how much room all collected data takes."""
    total = 0
    for path in root.rglob("*"):
        try:
            total += path.lstat().st_size if path.is_file() else 0
        except OSError:
            continue
    return total
