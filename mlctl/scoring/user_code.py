"""The user's scoring script: found, loaded and checked as Azure's server does it. Rules: scoring contract 1.2, 2.4."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import Parameter
from pathlib import Path
from types import ModuleType
from typing import Any

from mlctl.scoring.v1_shim import install_shim

_logger = logging.getLogger("azmlinfsrv.user_script")
_HEADERS = "request_headers"
_REFUSED_KINDS = (Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


class ScriptRefused(Exception):
    """The script breaks one of the rules for init() and run()."""


@dataclass(frozen=True)
class Script:
    """A loaded script. run: called with the input, and with the headers as a dict where `wants_headers`."""

    init: Callable[[], object]
    run: Callable[..., object]
    wants_headers: bool


def load_script(app_root: Path, entry_script: str | None, source_directory: str | None = None) -> Script:
    """Import the script and check its functions; raises ScriptRefused, or whatever importing it raises.

    The folders go to the end of sys.path: installed packages win over files beside the script.
    """
    install_shim()
    sys.path.append(str(app_root))
    if source_directory:
        sys.path.append(str(app_root / source_directory))
    module = _load_file(app_root / entry_script) if entry_script else _load_main()
    init = _find_function(module, "init")
    return _check_run(init, _find_function(getattr(module, "driver_module", module), "run"))


def _load_file(path: Path) -> ModuleType:
    _logger.info("Found user script at %s", path)
    spec = importlib.util.spec_from_file_location("entry_module", path)
    if spec is None or spec.loader is None:
        raise ScriptRefused(f"The scoring script {path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules["entry_module"] = module  # dataclasses and pydantic look up their module by name
    spec.loader.exec_module(module)
    return module


def _load_main() -> ModuleType:
    if importlib.util.find_spec("main") is None:
        raise ScriptRefused("No score script found. Expected score script main.py.")
    return importlib.import_module("main")


def _find_function(module: Any, name: str) -> Callable[..., object]:
    function = getattr(module, name, None)
    if not callable(function):
        raise ScriptRefused(f"User script at {module.__file__} does not have a {name}() function defined.")
    return function


def _check_run(init: Callable[..., object], run: Callable[..., object]) -> Script:
    parameters = list(inspect.signature(run).parameters.values())
    name = _find_input(parameters)
    wants_headers = any(parameter.name == _HEADERS for parameter in parameters)
    is_plain = not wants_headers and parameters[0].kind is Parameter.POSITIONAL_OR_KEYWORD
    _logger.info("run() is not decorated. Server will invoke it with the input in JSON string.")
    return Script(init, run if is_plain else _call_by_name(run, name), wants_headers)


def _find_input(parameters: Sequence[Parameter]) -> str:
    """Return the name of the parameter that takes the request's body."""
    if not parameters:
        raise ScriptRefused("run() needs to accept an argument for input data.")
    if any(parameter.kind in _REFUSED_KINDS for parameter in parameters):
        raise ScriptRefused("run() cannot accept positional-only arguments, *args, or **kwargs.")
    names = [parameter.name for parameter in parameters if parameter.name != _HEADERS]
    if not names:
        raise ScriptRefused('run() needs to accept an argument other than "request_headers".')
    return names[0]


def _call_by_name(run: Callable[..., object], name: str) -> Callable[..., object]:
    def call(raw_data: str, headers: dict[str, str] | None = None) -> object:
        arguments: dict[str, object] = {name: raw_data}
        if headers is not None:
            arguments[_HEADERS] = headers
        return run(**arguments)

    return call


def call_init(script: Script) -> None:
    """Call the script's init() and say so in the log."""
    _logger.info("Invoking user's init function")
    script.init()
    _logger.info("Users's init has completed successfully")
