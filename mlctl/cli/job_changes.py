"""`mlctl job update|delete|validate|show-services|connect-ssh`, added to the other commands of jobs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli import render
from mlctl.cli.job_names import JobArgument, JobName, choose
from mlctl.cli.options import GLOBALS, Add, ForceString, Remove, RequiredFile, Set, Yes
from mlctl.cli.state import current
from mlctl.errors import InvalidInput

NodeIndex = Annotated[int, typer.Option("--node-index", "-i", help="Accepted as in az: jobs run on one node.", min=0)]


def add_changing(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(epilog=GLOBALS)(update)
    app.command(epilog=GLOBALS)(delete)
    app.command(epilog=GLOBALS)(validate)
    app.command("show-services", epilog=GLOBALS)(show_services)
    app.command("connect-ssh", epilog=GLOBALS)(connect_ssh)


def update(
    name: JobName = None,
    job: JobArgument = None,
    set_: Set = None,
    add: Add = None,
    remove: Remove = None,
    force_string: ForceString = False,
    web: Annotated[
        bool, typer.Option("--web", "-e", help="Accepted as in az: there is no studio page to open.")
    ] = False,
) -> None:
    """Change what is said about a job: its display name, description, tags, properties.

    Example: mlctl job update -n fraud-batch-7f3a91c2 --set tags.month=november
    """
    from mlctl.cli.job import show_job
    from mlctl.ops import job_changes, job_documents

    state = current()
    changed = job_changes.update(
        state.session, choose(name, job), operations=state.operations, forces_text=force_string
    )
    state.emit(job_documents.job_document(state.session, changed), lambda: show_job(changed))


def delete(name: JobName = None, job: JobArgument = None, yes: Yes = False) -> None:
    """Delete a job that has ended, its folder included; what it wrote elsewhere stays. Not in az.

    Example: mlctl job delete -n fraud-batch-7f3a91c2 --yes
    """
    from mlctl.ops import batch_jobs, job_deletion

    state = current()
    chosen = choose(name, job)
    folder = batch_jobs.look(state.session, chosen).folder
    state.confirm(f"Delete job {chosen}, its logs and what it wrote below {folder}?", is_sure=yes)
    job_deletion.delete(state.session, chosen)
    state.emit(None, lambda: render.say(f"job {chosen} is deleted"))


def validate(file: RequiredFile, set_: Set = None) -> None:
    """Check a job's file without running it; exits 1 when something is wrong with it.

    Example: mlctl job validate -f train.yml --set inputs.rate=0.5
    """
    from mlctl.ops import command_jobs

    state = current()
    problems = command_jobs.check(file, overrides=state.overrides)
    errors = [
        {"message": problem.message}
        | ({"location": f"{Path(problem.file).absolute()}#line {problem.line}"} if problem.file else {})
        for problem in problems
    ]
    result = {"result": "Failed", "errors": errors} if errors else {"result": "Succeeded"}
    state.emit(result, lambda: render.say(*([] if errors else [f"{file} is in order"])))
    if problems:
        raise InvalidInput(f"{file}: {len(problems)} problem{'s' if len(problems) > 1 else ''}", problems=problems)


def show_services(name: JobName = None, job: JobArgument = None, node_index: NodeIndex = 0) -> None:
    """Show where a job can be looked at: its folder.

    Example: mlctl job show-services -n fraud-batch-7f3a91c2
    """
    from mlctl.ops import batch_jobs, job_documents

    state = current()
    found = batch_jobs.look(state.session, choose(name, job))
    services = job_documents.job_document(state.session, found)["services"]
    state.emit(services, lambda: render.say(f"folder   {found.folder}"))


def connect_ssh(
    name: JobName = None,
    job: JobArgument = None,
    node_index: NodeIndex = 0,
    private_key_file_path: Annotated[
        Path | None, typer.Option("--private-key-file-path", "-f", help="Key file, for Azure's nodes.")
    ] = None,
) -> None:
    """Refused: jobs run on this machine, there is no other node to connect to.

    Example: mlctl job connect-ssh -n fraud-batch-7f3a91c2
    """
    chosen = choose(name, job)
    raise InvalidInput(
        f"job {chosen} runs on this machine, there is no other node to connect to",
        hint=f"its folder: mlctl job show-services -n {chosen}",
    )
