"""A replica's process: started by the daemon with a listening socket, serves one scoring script until SIGTERM.

With several sockets, or `--workers`, it is the master of several such processes (`master`). The HTTP loop runs in a
side thread from the first moment, so that probes are answered while init() runs; the script runs in the main thread.
Exit codes: 0 stopped, 1 the HTTP server broke, 2 wrong usage, 3 the script did not start.
"""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import socket
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from mlctl.scoring.accepting import Acceptor, OneRequestProtocol
from mlctl.scoring.admission import Admission
from mlctl.scoring.affinity import Companion
from mlctl.scoring.app import ScoringApp
from mlctl.scoring.behaviour import Behaviour
from mlctl.scoring.cors import MakeHeaders, choose_cors
from mlctl.scoring.dispatch import Dispatcher, Finished, MakeWorker, Score, Ticket, Worker
from mlctl.scoring.failure import Phase, describe_failure, log_failure, write_failure
from mlctl.scoring.heartbeat import Heartbeat
from mlctl.scoring.limits import BadSetting, Limits, read_limits
from mlctl.scoring.logging_file import BadLoggingFile, find_logging_file, follow_logging_file
from mlctl.scoring.logs import LogFile, set_up_logging
from mlctl.scoring.manner import Manner, choose_replica_manner
from mlctl.scoring.metrics import Metrics
from mlctl.scoring.options import OFF, Options, read_options
from mlctl.scoring.place import Place
from mlctl.scoring.protocol import BoundedProtocol
from mlctl.scoring.scorer import build_score
from mlctl.scoring.server import HttpThread, open_listener, watch_signals
from mlctl.scoring.swagger import Swagger, read_service
from mlctl.scoring.timeouts import limit_time
from mlctl.scoring.timings import BatchSizes, Timings
from mlctl.scoring.user_code import Kind, Script, ScriptRefused, call_init, load_script

if TYPE_CHECKING:
    from mlctl.scoring.collection.collector import DataCollector
    from mlctl.scoring.request_schema import Gate

_logger = logging.getLogger("azmlinfsrv")
_LINGER_S = 3
_FAILED_START = 3


class Replica:
    """The parts of a replica, or of a worker of one, and how they are wired."""

    def __init__(self, options: Options, limits: Limits, place: Place, manner: Manner, log: LogFile) -> None:
        self._options = options
        self._limits = limits
        self._place = place
        self._manner = manner
        self._log = log
        self._loop = uvloop.new_event_loop()
        self._admission = Admission(
            self._loop, max_concurrent=options.max_concurrent, max_queue_wait_s=options.max_queue_wait_s
        )
        self._dispatcher = Dispatcher(self._loop, self._leave, manner.behaviour.run_failed)
        self._companion = Companion(is_on=options.run_threads == 1)
        self._collector = _open_collector(options, place, self._loop)
        timings, sizes = Timings(), BatchSizes() if options.micro_batching else None
        collector = self._collector
        lost = (lambda: collector.lost_total) if collector else None
        self._metrics = Metrics(timings, self._admission.count_unanswered, sizes, lost)
        observers = [manner.watch_requests(self._loop), timings.observe, *([sizes.observe] if sizes else [])]
        observers += collector.observers if collector else ()
        answer_metrics = self._metrics.answer if manner.has_metrics else None
        self._app = ScoringApp(manner.own_headers, self._loop, self._enter, observers, answer_metrics)
        self._make_cors: MakeHeaders | None = None
        self._gate: Gate | None = None
        listeners = [open_listener(fd) for fd in place.fds]
        # uvicorn accepts where that is all there is to it.
        accepts_early = manner.accepts_early and not place.is_shared
        protocol = OneRequestProtocol if place.is_shared else BoundedProtocol
        self._http = HttpThread(self._app, self._loop, listeners if accepts_early else (), self._end, protocol)
        self._acceptor = None if accepts_early else self._make_acceptor(listeners)
        self._heartbeat = Heartbeat(self._loop, self._dispatcher, place, limits.worker_timeout_s, self._stop)

    def _make_acceptor(self, listeners: Sequence[socket.socket]) -> Acceptor:
        dispatcher = self._dispatcher
        is_idle = (lambda: dispatcher.is_idle) if self._place.is_shared else None
        return Acceptor(self._loop, listeners, self._http.connect, is_idle)

    def serve(self) -> int:
        """Serve until told to stop; returns the exit code."""
        self._http.start()
        watch_signals(self._loop, self._stop)
        script = self._start_script()
        if script is None:
            return _FAILED_START
        _spare_collector()
        if self._limits.run_limit_s:
            script = limit_time(script, self._limits.run_limit_s)
            if self._options.run_threads > 1:
                _logger.warning(
                    "SCORING_TIMEOUT_MS ends run() in one of the %d threads only", self._options.run_threads
                )
        behaviour = self._manner.behaviour
        score = build_score(script, behaviour)
        make_worker = _choose_worker(self._options, script, score, behaviour)
        self._gate = _open_gate(self._options, script, self._loop)
        self._loop.call_soon_threadsafe(self._open, script)
        self._dispatcher.start_threads(self._options.run_threads - 1, score, make_worker)
        self._dispatcher.work(score, make_worker, self._companion.settle)
        return 1 if self._http.has_failed else 0

    def flush(self) -> None:
        """Write out what is left of the log and of what is collected."""
        if self._collector:
            self._collector.close()
        sys.stdout.flush()
        self._log.flush()

    def _enter(self, ticket: Ticket) -> None:
        if self._gate is None:
            self._queue(ticket)
        else:
            self._gate.admit(ticket, self._queue)

    def _queue(self, ticket: Ticket) -> None:
        self._companion.follow()
        self._admission.enter(ticket)
        self._dispatcher.put(ticket)

    def _leave(self, finished: Finished) -> None:
        self._admission.leave(finished)
        if self._acceptor:
            self._acceptor.look()

    def _start_script(self) -> Script | None:
        """Load the script and call its init(); None when that failed and is reported."""
        place = self._place
        if place.count > 1:
            _logger.info("Worker %d of %d is starting", place.number, place.count)
        try:
            self._make_cors = choose_cors(os.environ.get("AML_CORS_ORIGINS"))
        except ScriptRefused as exc:
            report_failure(self._options, "import", exc)
            return None
        script = place.script or start_script(self._options)
        if script is not None:
            self._manner.say_limits()
            _logger.info("Worker with pid %d ready for serving traffic", os.getpid())
        return script

    def _open(self, script: Script) -> None:
        self._companion.yield_to_main()
        swagger = Swagger(self._options.app_root, read_service(os.environ), script.function)
        self._admission.open()
        self._metrics.begin()
        self._app.open(swagger.answer, self._make_cors, is_raw=script.kind is Kind.RAW)
        if self._acceptor:
            self._acceptor.open()
        self._heartbeat.start()
        self._place.say_ready()

    def _stop(self) -> None:
        """Stop what there is to stop: a replica that never was ready has no request to finish."""
        if not self._app.is_ready:
            self.flush()
            os._exit(0)
        if self._acceptor:
            self._acceptor.close()
        self._http.stop()

    def _end(self) -> None:
        """Let the main thread end, but do not wait long for a run() or a thread of the script that will not."""
        self._dispatcher.stop()
        time.sleep(_LINGER_S)
        self.flush()
        os._exit(1 if self._http.has_failed else 0)


def start_script(options: Options) -> Script | None:
    """Load the script and call its init(); None when that failed and is reported."""
    phase: Phase = "import"
    try:
        script = _load_script(options)
        phase = "init"
        call_init(script)
    except BaseException as exc:  # sys.exit() is a failure as well
        report_failure(options, phase, exc)
        return None
    return script


def _load_script(options: Options) -> Script:
    if options.no_code is None:
        return load_script(options.app_root, options.entry_script, options.source_directory)
    from mlctl.scoring.no_code.loading import load

    return load(options.model_dir or Path.cwd(), options.no_code)


def report_failure(options: Options, phase: Phase, exc: BaseException) -> None:
    """Tell why a start has failed, in the log and to the daemon."""
    log_failure(phase, exc, options.model_dir)
    if isinstance(exc, ModuleNotFoundError) and options.entry_script:
        _tell_of_sibling(exc.name or "", options.app_root, (options.app_root / options.entry_script).parent)
    if options.failure_file:
        failure = describe_failure(phase, exc, app_root=options.app_root, model_dir=options.model_dir)
        write_failure(options.failure_file, failure)


def _open_gate(options: Options, script: Script, loop: uvloop.Loop) -> Gate | None:
    """Return what checks bodies, which replicas that check none need not load."""
    if options.request_schema == OFF:
        return None
    from mlctl.scoring.request_schema import open_gate

    return open_gate(options.request_schema, script, loop)


def _tell_of_sibling(name: str, app_root: Path, folder: Path) -> None:
    """Explain why a module beside the script is not found: Azure's server looks for it in AML_APP_ROOT."""
    package = name.partition(".")[0]
    if folder != app_root and ((folder / f"{package}.py").is_file() or (folder / package).is_dir()):
        _logger.error(
            "%s lies beside the script, but modules are looked for in AML_APP_ROOT, which is %s. Start the"
            " server in %s, or set AML_APP_ROOT to that",
            package,
            app_root,
            folder,
        )


def _open_collector(options: Options, place: Place, loop: uvloop.Loop) -> DataCollector | None:
    """Start the data collector, which replicas that collect nothing need not load."""
    if options.collection is None:
        return None
    from mlctl.scoring.collection.collector import open_collector

    # Each process has files of its own.
    return open_collector(options.collection, loop, worker=place.number if place.count > 1 else None)


def _spare_collector() -> None:
    """Exempt what there is after init() from garbage collection: libraries and model stay, and they are large.

    Walking them takes 50 ms and more, in which no request is answered, about once a second under load. What a script
    builds later is collected as ever.
    """
    gc.collect()
    gc.freeze()


def _choose_worker(options: Options, script: Script, score: Score, behaviour: Behaviour) -> MakeWorker:
    """Return what works in the threads that call run(); replicas that join no requests need not load what does."""
    if options.micro_batching is None:
        return Worker
    if options.max_concurrent < 2:
        _logger.warning(
            "Micro-batching joins nothing: max_concurrent_requests_per_instance is %d, set it to 2 or more",
            options.max_concurrent,
        )
        return Worker
    if script.kind is Kind.RAW:
        _logger.warning("Micro-batching joins nothing: run() is decorated with @rawhttp and takes whole requests")
        return Worker
    from mlctl.scoring.batching import JoiningWorker, open_batching

    batching = open_batching(options.micro_batching, script, score, behaviour)
    return partial(JoiningWorker, batching, options.max_concurrent)


def main(arguments: Sequence[str]) -> int:
    """Serve, and return the exit code."""
    faulthandler.enable()
    options = read_options(arguments)
    log = LogFile(sys.stdout.fileno())
    logging_file = find_logging_file([options.app_root])
    try:
        if logging_file:
            follow_logging_file(logging_file, log)
        else:
            set_up_logging(log)
        limits = read_limits(os.environ)
    except (BadSetting, BadLoggingFile) as exc:
        report_failure(options, "import", exc)
        return _FAILED_START
    _logger.info("Replica %s of %s/%s is starting", options.replica, options.endpoint, options.deployment)
    place = _take_place(options, limits)
    if isinstance(place, int):
        return place
    manner = choose_replica_manner(options, limits, log, has_own_logging=logging_file is not None)
    return serve_place(Replica(options, limits, place, manner, log))


def serve_place(replica: Replica) -> int:
    """Serve, and return the exit code."""
    exit_code = replica.serve()
    replica.flush()
    if exit_code == _FAILED_START:
        os._exit(exit_code)  # threads of the script may not keep a replica alive that does not serve
    return exit_code


def _take_place(options: Options, limits: Limits) -> Place | int:
    """Return the place to serve; in the master of several workers the exit code, when all have ended."""
    if options.workers == 1:
        return Place(options.fds)
    from mlctl.scoring.master import Crew, Master

    is_shared = len(options.fds) == 1
    crew = Crew(
        fds=(options.fds,) * options.workers if is_shared else tuple((fd,) for fd in options.fds),
        is_shared=is_shared,
        silence_s=limits.worker_timeout_s,
        sockets=options.sockets,
    )
    return Master(crew, partial(start_script, options) if limits.is_preloaded else None).run()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
