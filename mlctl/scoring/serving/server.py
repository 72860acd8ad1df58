"""One run of `mlctl serve`: what is read, bound and started, in this order. Called by `__main__`."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from mlctl.scoring.__main__ import Replica, serve_place, start_script
from mlctl.scoring.app import SERVER_VERSION, Observer
from mlctl.scoring.behaviour import SERVER, SERVER_PLAIN
from mlctl.scoring.cors import read_origins
from mlctl.scoring.limits import DEFAULT_SCORING_TIMEOUT_MS
from mlctl.scoring.logging_file import find_logging_file, follow_logging_file
from mlctl.scoring.logs import LogFile
from mlctl.scoring.manner import Manner
from mlctl.scoring.master import Crew, Master
from mlctl.scoring.options import AUTO, OFF, Options
from mlctl.scoring.place import Place
from mlctl.scoring.serving.banner import AZURE_VERSION, render_banner, settle_app_insights
from mlctl.scoring.serving.command_line import WRONG_ARGUMENT, Arguments
from mlctl.scoring.serving.debugging import NO_DEBUGGER, connect_debugger, has_debugger
from mlctl.scoring.serving.listeners import PortTaken, is_loopback, open_port
from mlctl.scoring.serving.reloading import ChangeFinder, find_own_output
from mlctl.scoring.serving.server_log import ServerLog, set_up_server_logging
from mlctl.scoring.serving.settings import ServerSettings, read_settings
from mlctl.scoring.user_code import ScriptRefused

if TYPE_CHECKING:
    from mlctl.scoring.no_code.choosing import Choice

_BAD_SETTING = 3
_VERSION = "HTTP_X_MS_SERVER_VERSION"
# There is no limit of requests here: those that wait, wait.
_NO_LIMIT = 1_000_000_000
_own = logging.getLogger("azmlinfsrv")
_gunicorn = logging.getLogger("gunicorn.error")


class Server:
    """One run of `mlctl serve`."""

    def __init__(self, arguments: Arguments) -> None:
        self._arguments = arguments
        self._out, self._err = LogFile(sys.stdout.fileno()), LogFile(sys.stderr.fileno())
        self._stdout = sys.stdout
        self._has_own_logging = False

    def run(self) -> int:
        """Serve until told to stop; returns the exit code."""
        arguments = self._arguments
        set_up_server_logging(self._out, self._err, arguments.log_level, is_plain=arguments.is_plain)
        if not (arguments.entry_script or arguments.config_file or arguments.model_dir):
            _own.error("Error!")
            _own.error(
                "Either provide an entry_script using --entry_script or provide a path to the configuration file using"
                " --config_file"
            )
            return WRONG_ARGUMENT
        try:
            settings = self._prepare()
            no_code = self._choose_loader(settings)
        except ScriptRefused as error:
            _own.critical("%s", error)
            return _BAD_SETTING
        if settings.debug_port and not has_debugger(self._say):
            return NO_DEBUGGER
        return self._serve(settings, _make_options(settings, no_code))

    def _say(self, line: str) -> None:
        self._out.write(f"{line}\n")

    def _choose_loader(self, settings: ServerSettings) -> Choice | None:
        """Return what serves a model without a script; None where there is one, or main.py is meant."""
        if settings.entry_script or settings.model_dir is None or self._arguments.config_file:
            return None
        from mlctl.scoring.no_code.choosing import ModelRefused, choose
        from mlctl.scoring.no_code.loading import list_files

        try:
            return choose(list_files(settings.model_dir))
        except ModelRefused as error:
            raise ScriptRefused(f"{error}\nUse --entry-script to serve {settings.model_dir} with a script.") from error

    def _prepare(self) -> ServerSettings:
        """Read all that may be wrong, and print the banner."""
        settings = read_settings(self._arguments, os.environ)
        read_origins(os.environ.get("AML_CORS_ORIGINS", ""))
        self._warn_of_others(settings)
        self._follow_logging_file(settings)
        if settings.tells_version:
            os.environ[_VERSION] = SERVER_VERSION if self._arguments.is_plain else f"azmlinfsrv/{AZURE_VERSION}"
        for line in (*settle_app_insights(os.environ), *render_banner(os.environ, settings.host)):
            self._say(line)
        if settings.extra_keys:
            _own.warning(
                "Found extra keys in the config file that are not supported by the server.\nExtra keys = %s",
                list(settings.extra_keys),
            )
        return settings

    @staticmethod
    def _warn_of_others(settings: ServerSettings) -> None:
        if not is_loopback(settings.host):
            _own.warning("--host %s: whoever reaches this machine can score; nobody is asked for a key", settings.host)

    def _follow_logging_file(self, settings: ServerSettings) -> None:
        script = settings.entry_script
        folders = [settings.app_root, *([(settings.app_root / script).parent] if script else [])]
        if file := find_logging_file(folders):
            sys.stdout = self._stdout
            follow_logging_file(file, self._out)
            self._has_own_logging = True

    def _serve(self, settings: ServerSettings, options: Options) -> int:
        ports = [settings.port, *([settings.health_port] if settings.health_port else [])]
        try:
            listeners = [open_port(settings.host, port) for port in dict.fromkeys(ports)]
        except PortTaken as error:
            _gunicorn.error("%s", error)
            return WRONG_ARGUMENT
        _gunicorn.info("Listening at: http://%s:%d (%d)", settings.host, settings.port, os.getpid())
        place = self._take_place(settings, options, [listener.fileno() for listener in listeners])
        if isinstance(place, int):
            return place
        if settings.debug_port:
            connect_debugger(settings.debug_port, self._say)
        for listener in listeners:
            listener.detach()
        manner = self._choose_manner(settings)
        return serve_place(Replica(options, settings.limits, place, manner, self._out))

    def _take_place(self, settings: ServerSettings, options: Options, fds: Sequence[int]) -> Place | int:
        is_preloaded = settings.limits.is_preloaded
        if is_preloaded and self._arguments.reload:
            _own.warning("WORKER_PRELOAD has no effect with --reload: each worker loads the script")
            is_preloaded = False
        # A file that is changed twice within a second, at the same length, is taken for what was compiled before.
        sys.dont_write_bytecode = sys.dont_write_bytecode or self._arguments.reload
        crew = Crew(
            fds=(tuple(fds),) * settings.workers,
            is_shared=settings.workers > 1,
            # Who stands at a breakpoint is not hung.
            silence_s=0 if settings.debug_port else settings.limits.worker_timeout_s,
            changes=ChangeFinder(_script_folder(settings), find_own_output()) if self._arguments.reload else None,
        )
        return Master(crew, partial(start_script, options) if is_preloaded else None).run()

    def _choose_manner(self, settings: ServerSettings) -> Manner:
        is_plain, timeout_ms = self._arguments.is_plain, settings.limits.scoring_timeout_ms
        if timeout_ms is None:
            timeout_ms = DEFAULT_SCORING_TIMEOUT_MS
        behaviour = (SERVER_PLAIN if is_plain else SERVER).limit_run(timeout_ms, is_exact=not is_plain)
        # As in Azure's server, where the variable of its own is all that says whether the header is there.
        told = os.environ.get(_VERSION)
        version = f"x-ms-server-version: {told}\r\n".encode() if told else b""
        return Manner(
            behaviour,
            version,
            self._watch_requests,
            accepts_early=False,
            has_metrics=is_plain,
            scoring_timeout_ms=timeout_ms,
        )

    def _watch_requests(self, loop: asyncio.AbstractEventLoop) -> Observer:
        return ServerLog(self._out, loop, has_own_logging=self._has_own_logging).observe


def _script_folder(settings: ServerSettings) -> Path:
    if settings.entry_script is None:
        return settings.app_root
    return (settings.app_root / settings.entry_script).resolve().parent


def _make_options(settings: ServerSettings, no_code: Choice | None) -> Options:
    return Options(
        fds=(),
        sockets=(),
        workers=settings.workers,
        endpoint="",
        deployment="",
        replica="",
        max_concurrent=_NO_LIMIT,
        max_queue_wait_s=0.0,
        run_threads=1,
        is_azure_exact=True,
        failure_file=None,
        micro_batching=None,
        collection=None,
        app_root=settings.app_root,
        entry_script=settings.entry_script,
        source_directory=settings.source_directory,
        model_dir=settings.model_dir,
        no_code=no_code,
        request_schema=AUTO if no_code else OFF,
    )
