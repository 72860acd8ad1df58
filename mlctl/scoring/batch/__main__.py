"""A worker's process: init() once, run() for each mini-batch, shutdown() at the end.

Exit codes: 0 done, 2 wrong usage, 3 the script did not start. Its standard output and error are files of the job.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import faulthandler
import gc
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from mlctl.scoring.batch.calling import BatchScript, load_batch_script
from mlctl.scoring.batch.entry_script import EntryScript
from mlctl.scoring.batch.loading import Rows
from mlctl.scoring.batch.messages import Error, MiniBatch, Reply, Wire
from mlctl.scoring.batch.order import WorkerOrder, read_order
from mlctl.scoring.batch.parts import Parts
from mlctl.scoring.batch.results import ResultRefused, choose_render, count_results
from mlctl.scoring.failure import log_failure
from mlctl.scoring.user_code import ScriptRefused

_FAILED_START = 3
_PR_SET_PDEATHSIG = 1
_LONGEST_TRACE = 20_000
# No row is to blame for a full disk, be it the script that wrote to it.
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING}

log = logging.getLogger("mlctl.scoring.batch")
# For the job's own file, not among what the script prints.
life = logging.getLogger("mlctl.scoring.batch.life")


class Worker:
    """One process of a job."""

    def __init__(self, order: WorkerOrder, wire: Wire) -> None:
        self._order = order
        self._wire = wire
        self._rows = Rows(lambda begins: wire.send({"loading": begins}))
        self._parts = Parts(order.parts, f"{order.name}-{os.getpid()}-{time.time_ns():x}")
        self._render = choose_render(order.format, order.with_input) if order.keeps_rows else None

    def serve(self) -> int:
        """Work until there are no more leases; returns the exit code."""
        began = time.perf_counter()
        life.info("Python %s, %s", sys.version.split()[0], self._order.entry_script or self._order.no_code)
        script = self._start()
        if script is None:
            return _FAILED_START
        life.info("init() is done after %.3f s", time.perf_counter() - began)
        self._wire.send({"ready": os.getpid()})
        for lease in self._wire.leases():
            for mini_batch in lease:
                self._wire.send(self._score(script, mini_batch))
        script.shutdown()
        life.info("shutdown() is done")
        # The interpreter ends in a third of the time when it need not look for cycles among what packages have loaded.
        gc.freeze()
        return 0

    def _start(self) -> BatchScript | None:
        phase = "import"
        # The worker's own arguments are none of the script's business.
        sys.argv = [self._order.entry_script, *self._order.arguments]
        try:
            script = load_batch_script(self._order, self._rows)
            phase = "init"
            script.init()
        except BaseException as exc:  # sys.exit() is a failure as well
            log_failure("init" if phase == "init" else "import", exc, self._order.model_dir)
            message = str(exc) if isinstance(exc, ScriptRefused) else _describe(exc)
            self._wire.send({"failed": phase, "message": message, "trace": _trace(exc)})
            return None
        return script

    def _score(self, script: BatchScript, mini_batch: MiniBatch) -> Reply:
        clock = time.perf_counter
        began, run_s, stage = clock(), 0.0, "load"
        reply = Reply(index=mini_batch["index"], run_s=0.0, total_s=0.0)
        try:
            loaded = script.load(mini_batch)
            stage, run_began = "run", clock()
            result = script.run(loaded.argument, mini_batch["index"])
            run_s, stage = clock() - run_began, "result"
            count = count_results(result) if script.counts_results else loaded.items
            reply["items"], reply["succeeded"] = loaded.items, min(count, loaded.items)
            if count != loaded.items:
                _warn_of_count(mini_batch["index"], count, loaded.items)
            if self._render is not None:
                place = self._parts.write(self._render(result, loaded))
                reply |= Reply(**reply, **place._asdict())
        except BaseException as exc:  # sys.exit() in run() fails one mini-batch, not the worker
            message = str(exc) if isinstance(exc, ResultRefused) else _describe(exc)
            if isinstance(exc, OSError) and exc.errno in _NO_ROOM:
                stage = "disk"
            life.info("mini-batch %d failed: %s", mini_batch["index"], message)
            reply["error"] = Error(stage=stage, message=message, trace=_trace(exc))
        reply["run_s"], reply["total_s"] = round(run_s, 6), round(clock() - began, 6)
        return reply


def _warn_of_count(index: int, count: int, items: int) -> None:
    what = f"{items - count} count as failed" if count < items else f"{items} are counted"
    log.warning("mini-batch %d: run() returned %d results for %d items, %s", index, count, items, what)


def _describe(exc: BaseException) -> str:
    return f"{type(exc).__name__}: {exc}" if str(exc) else type(exc).__name__


def _trace(exc: BaseException) -> str:
    """Render the script's part of a traceback."""
    frames = [frame for frame in traceback.extract_tb(exc.__traceback__) if "/mlctl/scoring/" not in frame.filename]
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(frames)]
    return "".join([*lines, *traceback.format_exception_only(exc)])[-_LONGEST_TRACE:]


def _set_up_logging(order: WorkerOrder) -> None:
    logging.basicConfig(
        level=_LEVELS.get(order.logging_level.lower(), logging.INFO),
        format="%(asctime)s %(levelname)s %(name)s - %(message)s",
        stream=sys.stdout,
        force=True,
    )
    EntryScript.set_up(order.name, order.logs, order.output_folder)
    life.propagate = False
    life.setLevel(logging.INFO)
    with suppress(OSError):  # a log that cannot be written changes no result
        order.life_log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handler = logging.FileHandler(order.life_log, encoding="utf-8")
        handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
        life.addHandler(handler)
        log.addHandler(handler)


def main(arguments: Sequence[str]) -> int:
    """Work, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m mlctl.scoring.batch", description="Run mini-batches of a job.")
    parser.add_argument("--fd", type=int, required=True, help="socket to the coordinator")
    parser.add_argument("--order", type=Path, required=True, help="file with the worker's settings")
    parsed, _ = parser.parse_known_args(arguments)
    faulthandler.enable()
    # A coordinator that is killed takes its workers with it; the job is resumed by another one.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wire = Wire(parsed.fd)
    if not wire.is_open:  # killed before the line above
        return 0
    order = read_order(parsed.order)
    _set_up_logging(order)
    try:
        exit_code = Worker(order, wire).serve()
    except (BrokenPipeError, ConnectionResetError):
        exit_code = 0
    sys.stdout.flush()
    os._exit(exit_code) if exit_code else None
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
