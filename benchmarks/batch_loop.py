"""A hand-written batch job: processes that read row groups, call the model, and write Parquet, joined at the end.

Run as a program by `batch_peers`; prints the seconds from the moment when all processes have loaded the model.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import multiprocessing
import sys
import time
from pathlib import Path
from typing import Any


def load_script(path: str) -> Any:
    spec = importlib.util.spec_from_file_location("entry_module", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.init()
    return module


def score_share(script: str, table: str, part: str, *, size: int, share: tuple[int, int], start: Any) -> None:
    """Score a process's share of the row groups."""
    arrow: Any = importlib.import_module("pyarrow")
    pandas: Any = importlib.import_module("pandas")
    parquet: Any = importlib.import_module("pyarrow.parquet")
    module = load_script(script)
    file = parquet.ParquetFile(table)
    number, of = share
    groups = range(number * file.num_row_groups // of, (number + 1) * file.num_row_groups // of)
    start.wait()
    writer: Any = None
    for group in groups:
        frame = file.read_row_group(group).to_pandas()
        results = [module.run(frame.iloc[at : at + size]) for at in range(0, len(frame), size)]
        scored = arrow.Table.from_pandas(pandas.concat(results), preserve_index=False)
        writer = writer or parquet.ParquetWriter(part, scored.schema)
        writer.write_table(scored)
    if writer is not None:
        writer.close()


def join_parts(parts: list[str], target: str) -> None:
    """Write one file, as a job's output is."""
    parquet: Any = importlib.import_module("pyarrow.parquet")
    writer: Any = None
    for part in parts:
        file = parquet.ParquetFile(part)
        for group in range(file.num_row_groups):
            rows = file.read_row_group(group)
            writer = writer or parquet.ParquetWriter(target, rows.schema)
            writer.write_table(rows)
    writer.close()


def main() -> None:
    script, table, size, workers, folder = sys.argv[1:]
    start = multiprocessing.Barrier(int(workers) + 1)
    parts = [str(Path(folder) / f"part-{number}.parquet") for number in range(int(workers))]
    processes = [
        multiprocessing.Process(
            target=score_share,
            args=(script, table, part),
            kwargs={"size": int(size), "share": (number, int(workers)), "start": start},
        )
        for number, part in enumerate(parts)
    ]
    for process in processes:
        process.start()
    start.wait()
    began = time.perf_counter()
    for process in processes:
        process.join()
    if len(parts) > 1:
        join_parts(parts, str(Path(folder) / "joined.parquet"))
    print(json.dumps({"took_s": time.perf_counter() - began}))


if __name__ == "__main__":
    main()
