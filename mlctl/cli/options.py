"""Options that several commands share, under az's names. az's global arguments are taken by `arguments`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def complete_endpoints(incomplete: str) -> list[str]:
    """Complete the names of endpoints, for the shell."""
    from mlctl.ops.completion import list_endpoints

    return [name for name in list_endpoints() if name.startswith(incomplete.lower())]


def complete_batch_endpoints(incomplete: str) -> list[str]:
    """Complete the names of batch endpoints, for the shell."""
    from mlctl.ops.completion import list_batch_endpoints

    return [name for name in list_batch_endpoints() if name.startswith(incomplete.lower())]


def complete_batch_deployments(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the names of batch deployments, for the shell: of the endpoint that stands before, if one does."""
    from mlctl.ops.completion import list_batch_deployments

    names = list_batch_deployments(ctx.params.get("endpoint_name"))
    return [name for name in names if name.lower().startswith(incomplete.lower())]


def complete_deployments(ctx: typer.Context, incomplete: str) -> list[str]:
    """Complete the names of deployments, for the shell: of the endpoint that stands before, if one does."""
    from mlctl.ops.completion import list_deployments

    names = list_deployments(ctx.params.get("endpoint_name"))
    return [name for name in names if name.startswith(incomplete.lower())]


EndpointName = Annotated[
    str,
    typer.Option("--name", "-n", help="Name of the endpoint.", show_default=False, autocompletion=complete_endpoints),
]
OptionalName = Annotated[str | None, typer.Option("--name", "-n", help="Name; wins over the one in the file.")]
DeploymentName = Annotated[
    str,
    typer.Option(
        "--name", "-n", help="Name of the deployment.", show_default=False, autocompletion=complete_deployments
    ),
]
OwnerName = Annotated[
    str,
    typer.Option(
        "--endpoint-name", "-e", help="Name of its endpoint.", show_default=False, autocompletion=complete_endpoints
    ),
]
OptionalOwnerName = Annotated[
    str | None,
    typer.Option(
        "--endpoint-name",
        "-e",
        help="Name of its endpoint; wins over the one in the file.",
        autocompletion=complete_endpoints,
    ),
]
BatchEndpointName = Annotated[
    str,
    typer.Option(
        "--name",
        "-n",
        help="Name of the batch endpoint.",
        show_default=False,
        autocompletion=complete_batch_endpoints,
    ),
]
BatchDeploymentName = Annotated[
    str,
    typer.Option(
        "--name",
        "-n",
        help="Name of the batch deployment.",
        show_default=False,
        autocompletion=complete_batch_deployments,
    ),
]
BatchOwnerName = Annotated[
    str,
    typer.Option(
        "--endpoint-name",
        "-e",
        help="Name of its batch endpoint.",
        show_default=False,
        autocompletion=complete_batch_endpoints,
    ),
]
OptionalBatchOwnerName = Annotated[
    str | None,
    typer.Option(
        "--endpoint-name",
        "-e",
        help="Name of its batch endpoint; wins over the one in the file.",
        autocompletion=complete_batch_endpoints,
    ),
]
RequiredFile = Annotated[Path, typer.Option("--file", "-f", help="YAML file.", show_default=False)]
OptionalFile = Annotated[Path | None, typer.Option("--file", "-f", help="YAML file.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Return at once; the work goes on.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]
Local = Annotated[
    str,
    typer.Option(
        "--local",
        help="Everything is local here; an endpoint created with it needs no key, and its only deployment no traffic.",
        metavar="[true|false]",
    ),
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


AssetName = Annotated[str, typer.Option("--name", "-n", help="Name of it.", show_default=False)]
Version = Annotated[str | None, typer.Option("--version", "-v", help="Version; or --label.")]
NewVersion = Annotated[str | None, typer.Option("--version", "-v", help="Version; the next number if left out.")]
Label = Annotated[str | None, typer.Option("--label", "-l", help="latest: the one registered last.")]
Description = Annotated[str | None, typer.Option("--description", help="What it is for.")]
Tags = Annotated[
    list[str] | None, typer.Option("--tags", help='NAME=VALUE tokens; a bare NAME has an empty value, "" clears.')
]
Datastore = Annotated[
    str | None, typer.Option("--datastore", help="Accepted as in az: files are kept in this registry.")
]
RegistryName = Annotated[
    str | None, typer.Option("--registry-name", help="Refused: there is no Azure ML registry on this machine.")
]
ArchivedOnly = Annotated[bool, typer.Option("--archived-only", help="List only what is archived.")]
IncludeArchived = Annotated[bool, typer.Option("--include-archived", help="List what is archived, too.")]
MaxResults = Annotated[int | None, typer.Option("--max-results", "-r", help="How many rows at most.", min=1)]

GLOBALS = """Global arguments, as in az:
-o/--output json|jsonc|yaml|yamlc|table|tsv|none, --query JMESPATH, -g/--resource-group (recorded only),
-w/--workspace-name (where models and environments are looked up; endpoints are the same in all of them),
--only-show-errors, --verbose, --debug"""
