"""The user's scoring script: found, loaded and checked as Azure's server does it. Rules: scoring contract 1.2, 2.4."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from inspect import Parameter
from pathlib import Path
from types import ModuleType
from typing import Any

from mlctl.scoring.v1_shim import install_shim

_logger = logging.getLogger("azmlinfsrv.user_script")
_HEADERS = "request_headers"
_REFUSED_KINDS = (Parameter.POSITIONAL_ONLY, Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
# Where @rawhttp leaves its mark: the stand-in, and Azure's own modules where they are installed.
_MARKED = (
    "mlctl.scoring.raw_api",
    "azureml_inference_server_http.api.aml_request",
    "azureml.contrib.services.aml_request",
)
# What knows of @input_schema: the package where it is installed, else the stand-in.
_SCHEMAS = ("inference_schema.schema_util", "mlctl.scoring.schema.declared")


class ScriptRefused(Exception):
    """The script breaks one of the rules for init() and run()."""


class Kind(Enum):
    """What run() is given: the body as text, the whole request (@rawhttp), values by name (@input_schema)."""

    TEXT = "text"
    RAW = "raw"
    SCHEMA = "schema"


@dataclass(frozen=True)
class Script:
    """A loaded script. run: called with the input, and with the headers as a dict where `wants_headers`.

    The input of a script with a schema is a dict, whose keys are the names of the parameters. function: run() as the
    script has it.
    """

    init: Callable[[], object]
    run: Callable[..., object]
    wants_headers: bool
    kind: Kind = Kind.TEXT
    parameters: tuple[Parameter, ...] = ()
    function: Callable[..., object] | None = None


def load_script(app_root: Path, entry_script: str | None, source_directory: str | None = None) -> Script:
    """Import the script and check its functions; raises ScriptRefused, or whatever importing it raises.

    The folders go to the end of sys.path: installed packages win over files beside the script.
    """
    module = import_script(app_root, entry_script, source_directory)
    init = find_function(module, "init")
    driver = getattr(module, "driver_module", None)
    has_driver = isinstance(driver, ModuleType) and hasattr(driver, "run")
    return _check_run(init, find_function(driver if has_driver else module, "run"))


def import_script(app_root: Path, entry_script: str | None, source_directory: str | None = None) -> ModuleType:
    """Import the script, whatever it holds; raises ScriptRefused when there is none, or what importing it raises."""
    install_shim()
    sys.path.append(str(app_root))
    if source_directory:
        sys.path.append(str(app_root / source_directory))
    module = _load_file(app_root / entry_script) if entry_script else _load_main(app_root)
    _logger.info("Found user script at %s", module.__file__)
    return module


def _load_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("entry_module", path)
    if spec is None or spec.loader is None:
        raise ScriptRefused(f"The scoring script {path} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    sys.modules["entry_module"] = module  # dataclasses and pydantic look up their module by name
    spec.loader.exec_module(module)
    return module


def _load_main(app_root: Path) -> ModuleType:
    if importlib.util.find_spec("main") is None:
        _logger.error("Expected script to be found in PYTHONPATH: %s", sys.path)
        _logger.error("%s", _tell_content(app_root))
        raise ScriptRefused("No score script found. Expected score script main.py.")
    return importlib.import_module("main")


def _tell_content(app_root: Path) -> str:
    if not app_root.is_dir():
        return f"The directory {app_root} is not there: see AML_APP_ROOT."
    return f"Current contents of AML_APP_ROOT: {sorted(path.name for path in app_root.iterdir())}"


def find_function(module: Any, name: str) -> Callable[..., object]:
    """Return a function of the script; raises ScriptRefused when there is none."""
    function = getattr(module, name, None)
    if not callable(function):
        raise ScriptRefused(f"User script at {module.__file__} does not have a {name}() function defined.")
    return function


def _check_run(init: Callable[..., object], run: Callable[..., object]) -> Script:
    parameters = list(inspect.signature(run).parameters.values())
    inputs = _find_inputs(parameters)
    wants_headers = len(inputs) < len(parameters)
    kind = _find_kind(run)
    if kind is Kind.SCHEMA:
        names = ", ".join(parameter.name for parameter in inputs)
        arguments = f"Server will invoke it with the following arguments: {names}."
        _logger.info("run() is decorated with @input_schema. %s", arguments)
        return Script(init, _call_with_all(run), wants_headers, kind, inputs, run)
    if kind is Kind.RAW:
        _logger.info("run() is decorated with @rawhttp. Server will invoke it with the flask request object.")
    else:
        _logger.info("run() is not decorated. Server will invoke it with the input in JSON string.")
    is_plain = not wants_headers and inputs[0].kind is Parameter.POSITIONAL_OR_KEYWORD
    call = run if is_plain else _call_by_name(run, inputs[0].name)
    return Script(init, call, wants_headers, kind, inputs, run)


def _find_inputs(parameters: Sequence[Parameter]) -> tuple[Parameter, ...]:
    """Return the parameters other than the headers; without a schema the first one takes the body."""
    if not parameters:
        raise ScriptRefused("run() needs to accept an argument for input data.")
    if any(parameter.kind in _REFUSED_KINDS for parameter in parameters):
        raise ScriptRefused("run() cannot accept positional-only arguments, *args, or **kwargs.")
    inputs = tuple(parameter for parameter in parameters if parameter.name != _HEADERS)
    if not inputs:
        raise ScriptRefused('run() needs to accept an argument other than "request_headers".')
    return inputs


def _find_kind(run: Callable[..., object]) -> Kind:
    """Look for the marks that decorators leave; those of @rawhttp and @input_schema are not on the function."""
    is_raw = any(getattr(sys.modules.get(name), "_rawHttpRequested", False) for name in _MARKED)
    has_schema = find_schemas_of(run) is not None
    if is_raw and has_schema:
        raise ScriptRefused("run() cannot be decorated with both @rawhttp and @input_schema")
    return Kind.RAW if is_raw else Kind.SCHEMA if has_schema else Kind.TEXT


def find_schemas_of(run: Callable[..., object]) -> Any:
    """Return the module that knows the schemas of run(); None where it is not decorated."""
    loaded: list[Any] = [sys.modules[name] for name in _SCHEMAS if name in sys.modules]
    return next((module for module in loaded if module.is_schema_decorated(run)), None)


def _call_by_name(run: Callable[..., object], name: str) -> Callable[..., object]:
    def call(given: object, headers: dict[str, str] | None = None) -> object:
        arguments: dict[str, object] = {name: given}
        if headers is not None:
            arguments[_HEADERS] = headers
        return run(**arguments)

    return call


def _call_with_all(run: Callable[..., object]) -> Callable[..., object]:
    def call(given: dict[str, object], headers: dict[str, str] | None = None) -> object:
        return run(**given) if headers is None else run(**given, **{_HEADERS: headers})

    return call


def call_init(script: Script) -> None:
    """Call the script's init() and say so in the log."""
    _logger.info("Invoking user's init function")
    script.init()
    _logger.info("Users's init has completed successfully")
