"""The batch job as Ray Data's users write it: `map_batches` with actors that hold the model, Parquet to Parquet.

Run as a program by `batch_peers`, in a venv of its own. Prints the seconds from the first call of run() to the end of
the output, as a job of mlctl is timed: what Ray takes to start, and what it has read by then, is not counted.
"""

from __future__ import annotations

import fcntl
import importlib
import importlib.util
import json
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

_SET_FLAGS, _UP_AND_RUNNING = 0x8914, 0x1 | 0x40  # SIOCSIFFLAGS of Linux, and what it sets
# Ray makes one block of a file of this size, and one block occupies one actor.
_BLOCKS_EACH = 8


class Model:
    """An actor's own copy of the script. folder: takes a file with the time of its first call."""

    def __init__(self, script: str, folder: str) -> None:
        spec = importlib.util.spec_from_file_location("entry_module", script)
        assert spec is not None
        assert spec.loader is not None
        self._module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(self._module)
        self._module.init()
        self._folder: str | None = folder

    def __call__(self, rows: Any) -> Any:
        if self._folder is not None:
            with tempfile.NamedTemporaryFile("w", dir=self._folder, suffix=".first", delete=False) as file:
                file.write(str(time.time()))
            self._folder = None
        return self._module.run(rows)


def bring_up_loopback() -> None:
    """Bring up the one interface of this process's own network namespace: Ray's processes talk over it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, _SET_FLAGS, struct.pack("16sh14x", b"lo", _UP_AND_RUNNING))


def main() -> None:
    bring_up_loopback()
    script, table, size, workers, folder = sys.argv[1:]
    ray: Any = importlib.import_module("ray")
    # A processor more than there are actors, else nothing would be left for the tasks that read and write.
    ray.init(
        num_cpus=int(workers) + 1,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
        _temp_dir=str(Path(folder) / "ray"),
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    actors = ray.data.ActorPoolStrategy(size=int(workers))
    made = {"fn_constructor_args": (script, folder), "compute": actors, "num_cpus": 1}
    rows = ray.data.read_parquet(table, override_num_blocks=_BLOCKS_EACH * int(workers))
    scores = rows.map_batches(Model, batch_size=int(size), batch_format="pandas", **made)
    scores.write_parquet(str(Path(folder) / "scores"))
    ended = time.time()
    began = min(float(path.read_text()) for path in Path(folder).glob("*.first"))
    print(json.dumps({"took_s": ended - began}))


if __name__ == "__main__":
    main()
