"""`mlctl serve`: one script in the foreground, as Azure's inference server serves it."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli.options import GLOBALS
from mlctl.cli.state import current

app = typer.Typer(rich_markup_mode=None, add_completion=False)


def _both(name: str) -> tuple[str, ...]:
    """Return both spellings: Azure's own server has underscores."""
    return (name, f"--{name[2:].replace('-', '_')}")


@app.command(epilog=GLOBALS)
def serve(
    entry_script: Annotated[
        str | None,
        typer.Option(*_both("--entry-script"), metavar="FILE", help="Scoring script. AZUREML_ENTRY_SCRIPT"),
    ] = None,
    model_dir: Annotated[
        str | None,
        typer.Option(*_both("--model-dir"), metavar="FOLDER", help="Folder of the model. AZUREML_MODEL_DIR"),
    ] = None,
    port: Annotated[str | None, typer.Option("--port", metavar="PORT", help="Port to serve on. Default: 5001.")] = None,
    host: Annotated[
        str | None,
        typer.Option("--host", metavar="ADDRESS", help="Address to listen on; 0.0.0.0 is every one of this machine's."),
    ] = "127.0.0.1",
    worker_count: Annotated[
        str | None,
        typer.Option(*_both("--worker-count"), metavar="N", help="Processes that serve. Default: 1. WORKER_COUNT"),
    ] = None,
    health_port: Annotated[
        str | None,
        typer.Option(
            *_both("--health-port"),
            metavar="PORT",
            help="Second port, if SEPERATE_HEALTH_ENDPOINT (spelt so) is true. Default: 5000.",
        ),
    ] = None,
    config_file: Annotated[
        str | None,
        typer.Option(*_both("--config-file"), metavar="FILE", help="Settings in JSON. AZUREML_CONFIG_FILE"),
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(
            *_both("--log-level"),
            metavar="LEVEL",
            help="debug, info, warning or error; also shows what the script logs with logging.info(), which Azure's "
            "server loses.",
        ),
    ] = None,
    access_control_allow_origins: Annotated[
        str | None,
        typer.Option(
            *_both("--access-control-allow-origins"),
            metavar="ORIGINS",
            help="Pages that may read answers, parted by commas. AML_CORS_ORIGINS",
        ),
    ] = None,
    appinsights_instrumentation_key: Annotated[
        str | None,
        typer.Option(
            *_both("--appinsights-instrumentation-key"), metavar="GUID", help="Checked; nothing is sent anywhere."
        ),
    ] = None,
    reload: Annotated[
        bool, typer.Option("--reload", help="Load the script anew when a file beside it changes.")
    ] = False,
    plain: Annotated[
        bool, typer.Option("--plain", help="Send text that is JSON as that JSON, as mlctl's endpoints do by default.")
    ] = False,
) -> None:
    """Serve one scoring script in the foreground, with the routes, answers, log and exit codes of Azure's server.

    Example: mlctl serve --entry-script score.py --model-dir model
    """
    from mlctl.ops import serving

    given = {
        "--entry-script": entry_script,
        "--model-dir": model_dir,
        "--port": port,
        "--host": host,
        "--worker-count": worker_count,
        "--health-port": health_port,
        "--config-file": config_file,
        "--log-level": log_level,
        "--access-control-allow-origins": access_control_allow_origins,
        "--appinsights-instrumentation-key": appinsights_instrumentation_key,
    }
    words = [f"{name}={value}" for name, value in given.items() if value is not None]
    flags = [name for name, is_on in {"--reload": reload, "--plain": plain}.items() if is_on]
    serving.serve(current().session, [*words, *flags])
