"""Options that several commands share, under az's names. az's global arguments are taken by `arguments`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EndpointName = Annotated[str, typer.Option("--name", "-n", help="Name of the endpoint.", show_default=False)]
OptionalName = Annotated[str | None, typer.Option("--name", "-n", help="Name; wins over the one in the file.")]
DeploymentName = Annotated[str, typer.Option("--name", "-n", help="Name of the deployment.", show_default=False)]
OwnerName = Annotated[str, typer.Option("--endpoint-name", "-e", help="Name of its endpoint.", show_default=False)]
OptionalOwnerName = Annotated[
    str | None, typer.Option("--endpoint-name", "-e", help="Name of its endpoint; wins over the one in the file.")
]
RequiredFile = Annotated[Path, typer.Option("--file", "-f", help="YAML file.", show_default=False)]
OptionalFile = Annotated[Path | None, typer.Option("--file", "-f", help="YAML file.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return at once; the work goes on.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Local = Annotated[
    str, typer.Option("--local", help="Accepted as in az: everything is local here.", metavar="[true|false]")
]
Web = Annotated[bool, typer.Option("--web", help="Accepted as in az: there is no studio page to open.")]
WebWithE = Annotated[bool, typer.Option("--web", "-e", help="Accepted as in az: there is no studio page to open.")]
Timeout = Annotated[
    float | None,
    typer.Option(
        "--timeout", help="Seconds to wait at most, then exit 5; the work goes on. Default: as long as it takes."
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="PATH=VALUE tokens that change fields, e.g. instance_count=2 tags.team=risk."),
]
Add = Annotated[list[str] | None, typer.Option("--add", help="PATH and what to append to the list there.")]
Remove = Annotated[list[str] | None, typer.Option("--remove", help="PATH to take out.")]
ForceString = Annotated[bool, typer.Option("--force-string", help="Keep values of --set and --add as text.")]
SkipScriptValidation = Annotated[
    bool, typer.Option("--skip-script-validation", help="Do not check that the scoring script is there and is Python.")
]
LocalGpu = Annotated[
    str, typer.Option("--local-enable-gpu", help="Accepted as in az: replicas see this machine's devices anyway.")
]
VscodeDebug = Annotated[str, typer.Option("--vscode-debug", help="Accepted as in az, without effect.")]
PackageModel = Annotated[bool, typer.Option("--package-model", help="Accepted as in az, without effect.")]
Lines = Annotated[int, typer.Option("--lines", "-l", help="How many lines, from the end.", min=1)]

def is_true(text: str) -> bool:
    """Read a three-state flag, as `arguments` writes it."""
    return text.lower() == "true"


GLOBALS = """Global arguments, as in az:
-o/--output json|jsonc|yaml|yamlc|table|tsv|none, --query JMESPATH, -g/--resource-group (recorded only),
-w/--workspace-name (where models and environments are looked up), --only-show-errors, --verbose, --debug"""
