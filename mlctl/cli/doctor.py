"""`mlctl doctor`: what is well and what is not."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli import render
from mlctl.cli.options import GLOBALS
from mlctl.cli.state import current

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog=GLOBALS)
def doctor(
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove what killed processes left: drafts, sockets, mounts, replicas.")
    ] = False,
) -> None:
    """Look at registry, daemon, gateway, disk and keys, and for what was left behind; exits 1 when something is broken.

    Example: mlctl doctor --clean
    """
    from mlctl.ops import doctor as examination

    state = current()
    findings = examination.examine(state.session, cleans=clean)
    state.emit(render.list_findings(findings), lambda: render.show_findings(findings))
    if any(finding.level == "error" for finding in findings):
        raise typer.Exit(1)
