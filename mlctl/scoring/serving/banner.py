"""What Azure's server prints before it begins, as it prints it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, MutableMapping

AZURE_VERSION = "1.5.1"
_SHOWN = {
    "AZUREML_ENTRY_SCRIPT": "Entry Script Name",
    "AZUREML_MODEL_DIR": "Model Directory",
    "AZUREML_CONFIG_FILE": "Config File",
    "WORKER_COUNT": "Worker Count",
    "WORKER_TIMEOUT": "Worker Timeout (seconds)",
    "SERVER_PORT": "Server Port",
    "HEALTH_PORT": "Health Port",
    "AML_APP_INSIGHTS_ENABLED": "Application Insights Enabled",
    "AML_APP_INSIGHTS_KEY": "Application Insights Key",
    "HTTP_X_MS_SERVER_VERSION": "Inferencing HTTP server version",
    "AML_CORS_ORIGINS": "CORS for the specified origins",
    "SEPERATE_HEALTH_ENDPOINT": "Create dedicated endpoint for health",
}
_GUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


def settle_app_insights(environ: MutableMapping[str, str]) -> Iterator[str]:
    """Switch Application Insights off unless there is a key; yield the lines that say so."""
    name, key = "AML_APP_INSIGHTS_ENABLED", environ.get("AML_APP_INSIGHTS_KEY")
    if environ.get(name) != "true" or key is None:
        environ[name] = "false"
    elif _GUID.fullmatch(key):
        yield "Valid Application Insights instrumentation key provided."
        yield "mlctl sends nothing to Application Insights: what would be sent stays in this log."
    else:
        environ[name] = "false"
        yield "Invalid Application Insights instrumentation key provided."
        yield "Application Insights has been disabled."


def render_banner(environ: Mapping[str, str], host: str) -> Iterator[str]:
    """Yield the lines."""
    if "AZUREML_MODEL_DIR" not in environ:
        yield "The environment variable 'AZUREML_MODEL_DIR' has not been set."
        yield "Use the --model_dir command line argument to set it."
    yield from ("", f"Azure ML Inferencing HTTP server v{AZURE_VERSION} (as mlctl serves it)", "")
    yield from ("", "Server Settings", "---------------")
    for name, label in _SHOWN.items():
        yield f"{label}: {_show(name, environ.get(name))}"
    yield from ("", "", "Server Routes", "---------------")
    shown = f"[{host}]" if ":" in host else host
    yield f"Liveness Probe: GET   {shown}:{environ['HEALTH_PORT']}/"
    yield f"Score:          POST  {shown}:{environ['SERVER_PORT']}/score"
    yield ""


def _show(name: str, value: str | None) -> str | None:
    if value is None:
        return None
    if name == "AML_APP_INSIGHTS_KEY":
        return "AppInsights key provided"
    return f"Enabling CORS for {value}" if name == "AML_CORS_ORIGINS" else value
