"""From a mini-batch's description to what run() is given. Rows come as pandas DataFrames, read by pyarrow."""

from __future__ import annotations

import importlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from mlctl.scoring.batch.messages import MiniBatch, Table

# So many rows are made a DataFrame at a time, and cut from it: it costs the same for 100 rows as for some 1,000.
_CHUNK_ROWS = 65_536
_KEPT_CHUNKS = 2
_KEPT_BLOCKS = 1

Announce = Callable[[bool], None]


class Rows:
    """Reads rows of tables. Keeps the last block and some of its rows, since mini-batches follow each other.

    announce: is called before (True) and after a block is read, which may take longer than a call of run().
    """

    def __init__(self, announce: Announce) -> None:
        self._announce = announce
        self._blocks: OrderedDict[tuple[str, int], Any] = OrderedDict()
        self._chunks: OrderedDict[tuple[str, int, int], Any] = OrderedDict()

    def read(self, mini_batch: MiniBatch) -> Any:
        """Return a DataFrame of the mini-batch's rows, numbered from 0; `attrs` tell the file and the first row."""
        table, start, count = mini_batch["table"], mini_batch["start"], mini_batch["rows"]  # pyright: ignore[reportTypedDictNotRequiredAccess]
        first, last = start // _CHUNK_ROWS, (start + count - 1) // _CHUNK_ROWS
        chunks = [self._chunk(table, number) for number in range(first, last + 1)]
        chunk: Any = chunks[0]
        if len(chunks) > 1:
            pandas: Any = importlib.import_module("pandas")
            chunk = pandas.concat(chunks, ignore_index=True)
        offset = start - first * _CHUNK_ROWS
        # A copy: a script may write into its mini-batch, and be given the same rows again.
        frame = chunk.iloc[offset : offset + count].copy()
        frame.index = range(count)
        frame.attrs = {"file": table["origin"], "first_row": table["first_row"] + start}
        return frame

    def _chunk(self, table: Table, number: int) -> Any:
        key = (table["path"], table["block"], number)
        found = self._chunks.get(key)
        if found is None:
            block = self._block(table)
            found = block.slice(number * _CHUNK_ROWS, _CHUNK_ROWS).to_pandas()
            self._chunks[key] = found
            if len(self._chunks) > _KEPT_CHUNKS:
                self._chunks.popitem(last=False)
        return found

    def _block(self, table: Table) -> Any:
        key = (table["path"], table["block"])
        found = self._blocks.get(key)
        if found is None:
            self._announce(True)
            if len(self._blocks) >= _KEPT_BLOCKS:
                self._blocks.popitem(last=False)
            blocks = range(table["block"], table["block"] + table["blocks"])
            found = self._blocks[key] = _READERS[table["kind"]](table["path"], blocks)
            self._announce(False)
        return found


def _read_row_groups(path: str, numbers: range) -> Any:
    parquet: Any = importlib.import_module("pyarrow.parquet")
    with parquet.ParquetFile(path) as file:
        return file.read_row_groups([*numbers], use_threads=False)


def _read_record_batches(path: str, numbers: range) -> Any:
    arrow: Any = importlib.import_module("pyarrow")
    with arrow.memory_map(path) as file:
        reader = arrow.ipc.open_file(file)
        return arrow.Table.from_batches([reader.get_batch(number) for number in numbers])


_READERS: dict[str, Callable[[str, range], Any]] = {"parquet": _read_row_groups, "arrow": _read_record_batches}
