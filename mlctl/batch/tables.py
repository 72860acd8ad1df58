"""Tables of a job: which blocks of rows they have, found without reading the rows where the format allows that.

Parquet's row groups are read by the workers where they lie. Everything else, and row groups that are too large, is
turned into Arrow files by `splitting`, in a process of its own that reads the table in a stream.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.batch.inputs import InputFile
from mlctl.errors import InvalidInput

# Workers hold a block in memory each.
LARGEST_BLOCK_ROWS = 4 << 20
LARGEST_BLOCK_BYTES = 256 << 20
# Small row groups are read together.
_LEAST_BLOCK_ROWS = 1 << 17
_COMPRESSIONS = (".gz", ".bz2", ".zst", ".lz4", ".xz")
_FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".pqt": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
}


@dataclass(frozen=True)
class Block:
    """Rows that are read together. blocks: row groups or record batches, from number `block` on."""

    path: str
    kind: str
    block: int
    blocks: int
    origin: str
    first_row: int
    rows: int

    def describe(self) -> dict[str, Any]:
        """Return what workers are told of it."""
        names = ("path", "kind", "block", "blocks", "origin", "first_row")
        return {name: getattr(self, name) for name in names}


def find_format(path: str) -> tuple[str, str]:
    """Return a table's format and compression, by the file's name; raises InvalidInput for what is no table."""
    name = Path(path)
    compression = name.suffix.lower() if name.suffix.lower() in _COMPRESSIONS else ""
    suffix = Path(name.stem).suffix.lower() if compression else name.suffix.lower()
    if suffix not in _FORMATS:
        known = ", ".join(sorted(set(_FORMATS)))
        raise InvalidInput(
            f"{path} is no table: its name ends with none of {known}, nor with one of them and "
            f"{', '.join(_COMPRESSIONS)}",
            hint="without --rows, run() is given the paths of files: mlctl batch invoke … --input FOLDER",
        )
    return _FORMATS[suffix], compression


def plan_blocks(file: InputFile) -> list[Block] | None:
    """Return the blocks of a table; None when only reading it tells, which is `splitting`'s part."""
    return plan_parquet(file) if find_format(file.path) == ("parquet", "") else None


def plan_parquet(file: InputFile) -> list[Block] | None:
    """Return the blocks of a Parquet file; None when its row groups are too large to be read at once."""
    parquet: Any = importlib.import_module("pyarrow.parquet")
    try:
        metadata = parquet.read_metadata(file.path)
    except Exception as error:  # pyarrow raises what its parts raise
        raise InvalidInput(f"cannot read {file.path} as Parquet: {error}", hint=f"ls -l {file.path}") from error
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    if any(_is_large(group.num_rows, group.total_byte_size) for group in groups):
        return None
    return list(_join_groups(file.path, [(group.num_rows, group.total_byte_size) for group in groups]))


def _is_large(rows: int, size_bytes: int) -> bool:
    return rows > LARGEST_BLOCK_ROWS or size_bytes > LARGEST_BLOCK_BYTES


def _join_groups(path: str, groups: list[tuple[int, int]]) -> Iterator[Block]:
    first_row = start = rows = size_bytes = 0
    for number, (group_rows, group_bytes) in enumerate(groups):
        if rows and (rows >= _LEAST_BLOCK_ROWS or _is_large(rows + group_rows, size_bytes + group_bytes)):
            yield Block(path, "parquet", start, number - start, path, first_row, rows)
            first_row, start, rows, size_bytes = first_row + rows, number, 0, 0
        rows, size_bytes = rows + group_rows, size_bytes + group_bytes
    if rows:
        yield Block(path, "parquet", start, len(groups) - start, path, first_row, rows)
