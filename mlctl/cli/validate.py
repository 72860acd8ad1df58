"""`mlctl validate`: files checked without changing anything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli import render
from mlctl.cli.options import GLOBALS
from mlctl.cli.state import current

app = typer.Typer(rich_markup_mode=None, add_completion=False)


@app.command(epilog=GLOBALS)
def validate(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="YAML files.", show_default=False)],
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind", help="What they are when neither $schema nor their fields tell: endpoint, deployment, model, …"
        ),
    ] = None,
    azure: Annotated[
        bool, typer.Option("--azure", help="List what Azure's own client would refuse as well, marked as such.")
    ] = False,
) -> None:
    """Check files and list everything that is wrong; exits 1 when anything is. Nothing is changed.

    Example: mlctl validate endpoint.yml environment.yml blue.yml --azure
    """
    # It reads documents, which needs pydantic: no other command of this module's neighbours should.
    from mlctl.ops import validation

    state = current()
    reports = validation.validate(files, kind=kind, for_azure=azure)
    state.emit(render.list_reports(reports), lambda: render.show_reports(reports))
    if not all(report.is_valid for report in reports):
        raise typer.Exit(1)
