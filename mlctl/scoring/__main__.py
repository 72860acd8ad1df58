"""A replica's process: started by the daemon with a listening socket, serves one scoring script until SIGTERM.

The HTTP loop runs in a side thread from the first moment, so that probes are answered while init() runs; the script
runs in the main thread. Exit codes: 0 stopped, 1 the HTTP server broke, 2 wrong usage, 3 the script did not start.
"""

from __future__ import annotations

import faulthandler
import gc
import logging
import os
import sys
import time
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

import uvloop

from mlctl.scoring.admission import Admission
from mlctl.scoring.affinity import Companion
from mlctl.scoring.app import SERVER_VERSION, ScoringApp
from mlctl.scoring.behaviour import ENDPOINT, ENDPOINT_EXACT, Behaviour
from mlctl.scoring.cors import MakeHeaders, choose_cors
from mlctl.scoring.dispatch import Dispatcher, MakeWorker, Score, Ticket, Worker
from mlctl.scoring.failure import Phase, describe_failure, log_failure, write_failure
from mlctl.scoring.logs import LogFile, set_up_logging
from mlctl.scoring.options import Options, read_options
from mlctl.scoring.request_log import RequestLog
from mlctl.scoring.scorer import build_score
from mlctl.scoring.server import HttpThread, open_listener, watch_signals
from mlctl.scoring.swagger import Swagger, read_service
from mlctl.scoring.user_code import Kind, Script, call_init, load_script

if TYPE_CHECKING:
    from mlctl.scoring.collection.collector import DataCollector

_logger = logging.getLogger("azmlinfsrv")
_LINGER_S = 3
_FAILED_START = 3


class Replica:
    """The parts of a replica and how they are wired."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._log = LogFile(sys.stdout.fileno())
        set_up_logging(self._log)
        self._loop = uvloop.new_event_loop()
        self._admission = Admission(
            self._loop, max_concurrent=options.max_concurrent, max_queue_wait_s=options.max_queue_wait_s
        )
        self._behaviour = ENDPOINT_EXACT if options.is_azure_exact else ENDPOINT
        self._dispatcher = Dispatcher(self._loop, self._admission.leave, self._behaviour.run_failed)
        self._companion = Companion(is_on=options.run_threads == 1)
        request_log = RequestLog(self._log, self._loop)
        self._collector = _open_collector(options, self._loop)
        observers = [request_log.observe, *(self._collector.observers if self._collector else ())]
        own_headers = f"azureml-model-deployment: {options.deployment}\r\nx-ms-server-version: {SERVER_VERSION}\r\n"
        self._app = ScoringApp(own_headers.encode(), self._loop, self._enter, observers)
        self._make_cors: MakeHeaders | None = None
        self._http = HttpThread(self._app, self._loop, open_listener(options.fd), self._end)

    def serve(self) -> int:
        """Serve until told to stop; returns the exit code."""
        self._http.start()
        watch_signals(self._loop, self._stop)
        script = self._start_script()
        if script is None:
            return _FAILED_START
        _spare_collector()
        score = build_score(script, self._behaviour)
        make_worker = _choose_worker(self._options, script, score, self._behaviour)
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
        self._companion.follow()
        self._admission.enter(ticket)
        self._dispatcher.put(ticket)

    def _start_script(self) -> Script | None:
        """Load the script and call its init(); None when that failed and is reported."""
        options = self._options
        _logger.info("Replica %s of %s/%s is starting", options.replica, options.endpoint, options.deployment)
        phase: Phase = "import"
        try:
            self._make_cors = choose_cors(os.environ.get("AML_CORS_ORIGINS"))
            script = load_script(options.app_root, options.entry_script, options.source_directory)
            phase = "init"
            call_init(script)
        except BaseException as exc:  # sys.exit() is a failure as well
            self._report(phase, exc)
            return None
        _logger.info("Worker with pid %d ready for serving traffic", os.getpid())
        return script

    def _report(self, phase: Phase, exc: BaseException) -> None:
        options = self._options
        log_failure(phase, exc, options.model_dir)
        if options.failure_file:
            failure = describe_failure(phase, exc, app_root=options.app_root, model_dir=options.model_dir)
            write_failure(options.failure_file, failure)

    def _open(self, script: Script) -> None:
        self._companion.yield_to_main()
        swagger = Swagger(self._options.app_root, read_service(os.environ), script.function)
        self._admission.open()
        self._app.open(swagger.answer, self._make_cors, is_raw=script.kind is Kind.RAW)

    def _stop(self) -> None:
        """Stop what there is to stop: a replica that never was ready has no request to finish."""
        if not self._app.is_ready:
            self.flush()
            os._exit(0)
        self._http.stop()

    def _end(self) -> None:
        """Let the main thread end, but do not wait long for a run() or a thread of the script that will not."""
        self._dispatcher.stop()
        time.sleep(_LINGER_S)
        self.flush()
        os._exit(1 if self._http.has_failed else 0)


def _open_collector(options: Options, loop: uvloop.Loop) -> DataCollector | None:
    """Start the data collector, which replicas that collect nothing need not load."""
    if options.collection is None:
        return None
    from mlctl.scoring.collection.collector import open_collector

    return open_collector(options.collection, loop)


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
    replica = Replica(read_options(arguments))
    exit_code = replica.serve()
    replica.flush()
    if exit_code == _FAILED_START:
        os._exit(exit_code)  # threads of the script may not keep a replica alive that does not serve
    return exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
