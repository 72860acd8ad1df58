"""The settings of Azure's server: from the command line, else the environment, else a file. Contract 2.2."""

from __future__ import annotations

import json
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from mlctl.scoring.limits import BadSetting, Limits, read_limits, read_whole, refuse_setting
from mlctl.scoring.serving.command_line import Arguments

DEFAULT_PORT, DEFAULT_HEALTH_PORT = 5001, 5000
# What the file may say.
IN_FILE = (
    *("AZUREML_ENTRY_SCRIPT", "AZUREML_MODEL_DIR", "AZUREML_SOURCE_DIRECTORY"),
    *("WORKER_COUNT", "WORKER_TIMEOUT", "WORKER_PRELOAD", "SCORING_TIMEOUT_MS", "APP_INSIGHTS_LOG_RESPONSE_ENABLED"),
    *("SERVER_VERSION_LOG_RESPONSE_ENABLED", "SERVICE_NAME", "SERVICE_VERSION", "SERVICE_PATH_PREFIX"),
    *("WORKSPACE_NAME", "HOSTNAME", "AZUREML_DEBUG_PORT", "AZUREML_LOG_LEVEL"),
)
_FLAGS = ("AML_MDC_STORAGE_ENABLED", "APP_INSIGHTS_LOG_RESPONSE_ENABLED")
_YES_OR_NO = frozenset({"true", "false", "1", "0", "yes", "no", "on", "off", "t", "f", "y", "n"})


@dataclass(frozen=True)
class ServerSettings:
    """What the server does. entry_script: None for main.py, or for a model that needs no script.

    health_port: None where there is no second one. extra_keys: those of the file that mean nothing.
    """

    app_root: Path
    entry_script: str | None
    source_directory: str | None
    model_dir: Path | None
    config_file: Path | None
    host: str
    port: int
    health_port: int | None
    workers: int
    limits: Limits
    debug_port: int | None
    tells_version: bool
    extra_keys: tuple[str, ...]


def read_settings(arguments: Arguments, environ: MutableMapping[str, str]) -> ServerSettings:
    """Read them, and set the variables that scripts find under Azure's server; raises BadSetting."""
    environ.setdefault("AML_APP_ROOT", str(Path.cwd()))
    if arguments.entry_script:
        environ["AZUREML_ENTRY_SCRIPT"] = str(Path(arguments.entry_script).resolve())
    _set_given(arguments, environ)
    config_file = _find_config_file(environ)
    found = _read_config_file(config_file) if config_file else {}
    for name in IN_FILE:
        if name in found and found[name] is not None:
            environ.setdefault(name, _text(found[name]))
    environ.setdefault("WORKER_COUNT", "1")
    environ["TRANSPORT_PROTOCOL"] = "grpc"  # what Azure's server sets without --rest, and nothing reads
    _check_flags(environ)
    debug_port = environ.get("AZUREML_DEBUG_PORT")
    model_dir = environ.get("AZUREML_MODEL_DIR")
    return ServerSettings(
        app_root=Path(environ["AML_APP_ROOT"]),
        entry_script=environ.get("AZUREML_ENTRY_SCRIPT") or None,
        source_directory=environ.get("AZUREML_SOURCE_DIRECTORY"),
        model_dir=Path(model_dir) if model_dir else None,
        config_file=config_file,
        host=arguments.host,
        port=arguments.port or DEFAULT_PORT,
        health_port=_choose_health_port(arguments, environ),
        workers=read_whole("WORKER_COUNT", environ["WORKER_COUNT"], least=1),
        limits=read_limits(environ),
        debug_port=read_whole("AZUREML_DEBUG_PORT", debug_port, least=1) if debug_port else None,
        tells_version=environ.get("SERVER_VERSION_LOG_RESPONSE_ENABLED", "true").lower() == "true",
        extra_keys=tuple(name for name in found if name not in IN_FILE),
    )


def _set_given(arguments: Arguments, environ: MutableMapping[str, str]) -> None:
    given = {
        "AZUREML_MODEL_DIR": arguments.model_dir,
        "WORKER_COUNT": arguments.worker_count,
        "AML_APP_INSIGHTS_KEY": arguments.appinsights_instrumentation_key,
        "AML_CORS_ORIGINS": arguments.access_control_allow_origins,
        "AZUREML_CONFIG_FILE": arguments.config_file and Path(arguments.config_file).resolve(),
    }
    environ.update({name: str(value) for name, value in given.items() if value is not None})
    if arguments.appinsights_instrumentation_key is not None:
        environ["AML_APP_INSIGHTS_ENABLED"] = "true"
    # The command line's defaults win over what is in the environment: so it is there.
    environ["SERVER_PORT"] = str(arguments.port or DEFAULT_PORT)
    environ["HEALTH_PORT"] = str(_choose_health_port(arguments, environ) or environ["SERVER_PORT"])


def _choose_health_port(arguments: Arguments, environ: Mapping[str, str]) -> int | None:
    if environ.get("SEPERATE_HEALTH_ENDPOINT") != "true":
        return None
    return arguments.health_port or DEFAULT_HEALTH_PORT


def _find_config_file(environ: Mapping[str, str]) -> Path | None:
    """Return the first file that is there and not empty; one that was named has to be."""
    named = environ.get("AZUREML_CONFIG_FILE")
    if named and not Path(named).is_file():
        raise BadSetting(f"Invalid config file!: {named}: there is no such file")
    script = environ.get("AZUREML_ENTRY_SCRIPT")
    places = [Path(environ["AML_APP_ROOT"]), *([Path(script).absolute().parent] if script else [])]
    candidates = [*([Path(named)] if named else []), *(place / "config.json" for place in places)]
    return next((path for path in candidates if path.is_file() and path.stat().st_size), None)


def _read_config_file(path: Path) -> dict[str, object]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise BadSetting(f"Invalid config file!: {path}:{error.lineno}:{error.colno}: {error.msg}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BadSetting(f"Invalid config file!: {path}: {error}") from error
    if not isinstance(found, dict):
        raise BadSetting(f"Invalid config file!: {path}: it has to be a JSON object")
    return cast("dict[str, object]", found)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_flags(environ: Mapping[str, str]) -> None:
    for name in _FLAGS:
        if name in environ and environ[name].lower() not in _YES_OR_NO:
            raise refuse_setting(name, "Input should be a valid boolean, unable to interpret input")
