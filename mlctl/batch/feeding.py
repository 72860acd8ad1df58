"""Fills the queue of mini-batches from the input, in a thread beside the workers, and removes blocks that are done."""

from __future__ import annotations

import bisect
import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.batch import tables
from mlctl.batch.folder import JobFolder
from mlctl.batch.inputs import InputFile
from mlctl.batch.journal import Outcome
from mlctl.batch.order import JobOrder
from mlctl.batch.work_queue import WorkQueue, add_block, add_files
from mlctl.errors import BackendUnavailable, InvalidInput, MlctlError

# Arrow files that are written ahead of the workers.
_BLOCKS_AHEAD = 8
_LONGEST_REASON = 500
_END_WITHIN_S = 10


@dataclass
class _Spilled:
    """A block on its way through the workers. left: mini-batches that are not committed."""

    path: Path
    first: int
    left: int


class Spill:
    """The blocks that were written for this job; each is removed once its rows are committed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._blocks: list[_Spilled] = []

    def add(self, path: Path, first: int, left: int) -> None:
        """Add a block whose mini-batches begin with number `first`."""
        with self._lock:
            self._blocks.append(_Spilled(path, first, left))
        if not left:
            path.unlink()

    def forget(self, outcomes: Sequence[Outcome]) -> None:
        """Remove the blocks of which these were the last mini-batches."""
        if not self._blocks:
            return
        for outcome in outcomes:
            with self._lock:
                found = bisect.bisect_right(self._blocks, outcome.index, key=lambda block: block.first) - 1
                if found < 0:
                    continue
                block = self._blocks[found]
                block.left -= 1
            if block.left == 0:
                with suppress(OSError):
                    block.path.unlink()


class Feeder:
    """Adds all mini-batches of the input, as they become known. is_committed: those need not be kept for.

    error: why it ended early.
    """

    def __init__(
        self,
        order: JobOrder,
        folder: JobFolder,
        work: WorkQueue,
        is_committed: Callable[[int], bool],
    ) -> None:
        self._order = order
        self._folder = folder
        self._work = work
        self._is_committed = is_committed
        self._spill = Spill()
        self._splitter: subprocess.Popen[bytes] | None = None
        self._is_stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._counts: queue.SimpleQueue[tuple[int, int]] = queue.SimpleQueue()
        self.error: MlctlError | None = None

    def start(self, files: Sequence[InputFile]) -> None:
        """Begin, in a thread."""
        self._thread = threading.Thread(target=self._feed, args=(files,), name="feeder", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End early."""
        self._is_stopped.set()
        if self._splitter is not None:
            self._splitter.kill()
        if self._thread is not None:
            self._thread.join(_END_WITHIN_S)

    def take_counts(self) -> Iterator[tuple[int, int]]:
        """Yield the tables that were read to their end since the last call: number, and how many mini-batches.

        A table is among them before any mini-batch of the next one is given out.
        """
        while not self._counts.empty():
            yield self._counts.get()

    def forget(self, outcomes: Sequence[Outcome]) -> None:
        """Take note of what is committed."""
        self._spill.forget(outcomes)

    def _feed(self, files: Sequence[InputFile]) -> None:
        try:
            if self._order.input.mode == "files":
                add_files(self._work, files, self._order.mini_batch_size)
            else:
                self._feed_tables(files)
            if not self._is_stopped.is_set():
                self._work.complete()
        except MlctlError as error:
            self.error = error
            self._work.stop()
        except Exception as error:
            self.error = InvalidInput(f"cannot read the input: {type(error).__name__}: {error}")
            self._work.stop()

    def _feed_tables(self, files: Sequence[InputFile]) -> None:
        for number, file in enumerate(files):
            if self._is_stopped.is_set():
                return
            first = self._work.mini_batches
            blocks = tables.plan_blocks(file)
            if blocks is None:
                self._split(file, number)
            for block in blocks or ():
                add_block(self._work, block.describe(), block.rows, self._order.mini_batch_size)
            if not self._is_stopped.is_set():
                self._counts.put((number, self._work.mini_batches - first))

    def _split(self, file: InputFile, number: int) -> None:
        """Have a process of its own turn a table into blocks, some ahead of the workers."""
        size = self._order.mini_batch_size
        words = [sys.executable, "-P", "-m", "mlctl.batch.splitting", str(self._folder.blocks)]
        pipe = subprocess.PIPE
        with subprocess.Popen(
            [*words, str(size), str(number), file.path], stdin=pipe, stdout=pipe, stderr=pipe
        ) as splitter:
            self._splitter = splitter
            assert splitter.stdin is not None
            assert splitter.stdout is not None
            assert splitter.stderr is not None
            for line in splitter.stdout:
                if self._is_stopped.is_set():
                    splitter.kill()
                    return
                block: dict[str, Any] = json.loads(line)
                self._add_block(file, block)
                while self._work.left() > _BLOCKS_AHEAD * max(1, block["rows"] // size):
                    if self._is_stopped.wait(0.01):
                        splitter.kill()
                        return
                with suppress(BrokenPipeError):
                    splitter.stdin.write(b"\n")
                    splitter.stdin.flush()
            reason = splitter.stderr.read().decode(errors="replace")[-_LONGEST_REASON:]
            with suppress(BrokenPipeError):
                splitter.stdin.close()
        if splitter.returncode != 0 and not self._is_stopped.is_set():
            raise InvalidInput(
                f"cannot read {file.path}: {reason}", hint=f"ls -l {file.path}; df -h {self._folder.path}"
            )

    def _add_block(self, file: InputFile, block: dict[str, Any]) -> None:
        if "unwritable" in block:
            raise BackendUnavailable(
                f"cannot write rows of {file.path} to {self._folder.blocks}: {block['message']}",
                hint=f"df -h {self._folder.path}; then: mlctl batch resume -n {self._order.name}",
            )
        if "unreadable" in block:
            read = f" after {block['rows']:,} rows" if block["rows"] else ""
            raise InvalidInput(
                f"cannot read {file.path}{read}: {block['message']}",
                hint=f"mend the file, then: mlctl batch resume -n {self._order.name} --changed",
            )
        rows = block["rows"]
        table = {key: value for key, value in block.items() if key != "rows"}
        first = self._work.mini_batches
        count = -(-rows // self._order.mini_batch_size)
        left = sum(not self._is_committed(index) for index in range(first, first + count))
        self._spill.add(Path(block["path"]), first, left)
        add_block(self._work, table, rows, self._order.mini_batch_size)
