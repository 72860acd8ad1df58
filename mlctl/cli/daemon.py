"""`mlctl daemon`: the process that keeps endpoints as the registry asks for them."""

from __future__ import annotations

import typer

from mlctl.cli import render
from mlctl.cli.options import GLOBALS, Lines
from mlctl.cli.state import current
from mlctl.ops import daemon

app = typer.Typer(
    help="The daemon that keeps everything running; commands start it by themselves.", rich_markup_mode=None
)


@app.command(epilog=GLOBALS)
def start() -> None:
    """Start the daemon unless it runs.

    Example: mlctl daemon start
    """
    state = current()
    status = daemon.start(state.session)
    state.emit(status.__dict__, lambda: render.show_daemon(status))


@app.command(epilog=GLOBALS)
def stop() -> None:
    """End the daemon, its replicas and Envoy; endpoints come back with the next start.

    Example: mlctl daemon stop
    """
    state = current()
    daemon.stop(state.session)
    state.emit(None, lambda: render.say("the daemon and all it started have ended", "start it   mlctl daemon start"))


@app.command(epilog=GLOBALS)
def restart() -> None:
    """Replace the daemon; replicas and Envoy go on serving.

    Example: mlctl daemon restart
    """
    state = current()
    status = daemon.restart(state.session)
    state.emit(status.__dict__, lambda: render.show_daemon(status))


@app.command(epilog=GLOBALS)
def status() -> None:
    """Show how the daemon is.

    Exit code 0 whatever its state, which `--query state -o tsv` prints: running, starting or stopped.

    Example: mlctl daemon status
    """
    state = current()
    found = daemon.get_status(state.session)
    state.emit(found.__dict__, lambda: render.show_daemon(found))


@app.command(epilog=GLOBALS)
def logs(lines: Lines = 100) -> None:
    """Print the daemon's log, a JSON object a line.

    Example: mlctl daemon logs --lines 20
    """
    state = current()
    state.emit_text(daemon.read_log(state.session, lines))
