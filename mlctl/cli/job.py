"""`mlctl job`: batch, command and pipeline jobs, looked at, followed, stopped, downloaded."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from mlctl.cli import render
from mlctl.cli.following import ask_to_cancel, follow, summarize
from mlctl.cli.job_changes import add_changing
from mlctl.cli.job_names import JobArgument, JobName, choose
from mlctl.cli.options import GLOBALS, OptionalName, RequiredFile, Set, Timeout, is_true
from mlctl.cli.state import current
from mlctl.errors import InvalidInput
from mlctl.ops import batch_jobs, job_documents, job_files

if TYPE_CHECKING:
    from mlctl.cli.state import State
    from mlctl.ops.batch_jobs import Job

app = typer.Typer(
    help="Jobs: batch scoring, commands and pipelines, as they run.", rich_markup_mode=None, add_completion=False
)

MAX_ROWS = 50


Web = Annotated[bool, typer.Option("--web", "-e", help="Accepted as in az: there is no studio page to open.")]


@app.command(epilog=GLOBALS)
def create(
    file: RequiredFile,
    name: OptionalName = None,
    stream: Annotated[bool, typer.Option("--stream", "-s", help="Follow the job's log until it ends.")] = False,
    save_as: Annotated[Path | None, typer.Option("--save-as", "-a", help="File to write the job's JSON to.")] = None,
    skip_validation: Annotated[bool, typer.Option("--skip-validation", help="Accepted as in az.")] = False,
    set_: Set = None,
    web: Web = False,
) -> None:
    """Run a command or pipeline job on this machine, each command in its environment.

    Example: mlctl job create -f train.yml --stream
    """
    from mlctl.ops import command_jobs

    state = current()
    job = command_jobs.create(state.session, file=file, name=name, overrides=state.overrides)
    if stream:
        job = follow_to_end(state, job.row.name, sys.stdout)
    document = job_documents.job_document(state.session, job)
    if save_as is not None:
        _save(save_as, document)
    state.emit(document, lambda: show_job(job))
    end(job)


def _save(path: Path, document: dict[str, Any]) -> None:
    try:
        path.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"--save-as: cannot write {path}: {error.strerror}", hint=f"ls -ld {path.parent}") from error


@app.command(epilog=GLOBALS)
def show(name: JobName = None, job: JobArgument = None, web: Web = False) -> None:
    """Show a job.

    Example: mlctl job show -n fraud-batch-7f3a91c2
    """
    state = current()
    found = batch_jobs.look(state.session, choose(name, job))
    state.emit(job_documents.job_document(state.session, found), lambda: show_job(found))


def show_job(job: Job) -> None:
    """Show a job to people."""
    head = f"job {job.row.name}   {job.status}"
    rest = list(summarize(job) if job.has_ended else _running(job))
    render.say(head, *(line for line in rest if line != job.status))


def _running(job: Job) -> list[str]:
    from mlctl.cli.following import Pace, describe_progress, describe_steps

    if job.row.kind == "pipeline":
        return [*describe_steps(job), f"follow        mlctl job stream -n {job.row.name}"]
    text = describe_progress(job, Pace()) if job.scores else f"log           {job.folder / 'user_logs'}"
    return [text, f"follow        mlctl job stream -n {job.row.name}"]


@app.command("list", epilog=GLOBALS)
def list_(
    parent_job_name: Annotated[
        str | None, typer.Option("--parent-job-name", "-p", help="List the steps of this job: there are none apart.")
    ] = None,
    max_results: Annotated[int, typer.Option("--max-results", "-r", help="How many rows at most.", min=1)] = MAX_ROWS,
    all_results: Annotated[
        str, typer.Option("--all-results", help="List all of them.", metavar="[true|false]")
    ] = "false",
    archived_only: Annotated[bool, typer.Option("--archived-only", help="List only what is archived.")] = False,
    include_archived: Annotated[bool, typer.Option("--include-archived", help="List what is archived, too.")] = False,
) -> None:
    """List jobs, the newest first.

    Example: mlctl job list -r 10 -o table
    """
    state = current()
    if archived_only and include_archived:
        raise InvalidInput("--archived-only and --include-archived exclude each other")
    shown, left_out = batch_jobs.list_page(
        state.session,
        parent=parent_job_name,
        archived=None if include_archived else archived_only,
        limit=None if is_true(all_results) else max_results,
    )
    if left_out:
        state.session.on_notice(f"{left_out} more are not shown: --all-results, or --max-results N")
    rows = [job_documents.job_document(state.session, job) for job in shown]
    state.emit(rows, lambda: render.show_jobs(rows))


@app.command(epilog=GLOBALS)
def stream(name: JobName = None, job: JobArgument = None) -> None:
    """Follow a job until it ends; exit code 1 when it fails.

    Example: mlctl job stream -n fraud-batch-7f3a91c2
    """
    state = current()
    found = batch_jobs.look(state.session, choose(name, job))
    is_for_people = sys.stdout.isatty()
    if not is_for_people:
        sys.stdout.write(f"RunId: {found.row.name}\nWeb View: file://{found.folder}\n\n")
    ended = follow_to_end(state, found.row.name, sys.stdout)
    if is_for_people:
        render.say(*summarize(ended, tells_why=False))
    else:
        sys.stdout.write(f"\nExecution Summary\n=================\nRunId: {ended.row.name}\n")
        sys.stdout.write(f"Web View: file://{ended.folder}\n" + "".join(f"{line}\n" for line in summarize(ended)))
    sys.stdout.flush()
    end(ended)


def follow_to_end(state: State, name: str, out: TextIO) -> Job:
    """Follow a job; Ctrl-C leaves it running, unless told otherwise on a terminal."""
    state.finish()

    is_quiet = state.only_errors and out is sys.stderr

    def say(text: str) -> None:
        if is_quiet:
            return
        out.write(f"{text}\n")
        out.flush()

    try:
        return follow(state.session, name, is_live=sys.stderr.isatty() and not state.only_errors, say=say)
    except KeyboardInterrupt:
        if ask_to_cancel(name):
            return batch_jobs.cancel(state.session, name)
        state.session.pending = f"follow it: mlctl job stream -n {name}; end it: mlctl job cancel -n {name}"
        raise


def end(job: Job) -> None:
    """Exit with 1 for a job that failed, or whose failed items count as one."""
    if not job.has_ended:
        return
    failed = batch_jobs.count_failed(job)
    if job.status != "Completed":
        raise InvalidInput(f"job {job.row.name} is {job.status}" + (f": {job.why}" if job.why else ""), hint=job.hint)
    if failed and job.row.spec.get("fail_on_failed_items"):
        raise InvalidInput(
            f"{failed:,} items could not be scored (--fail-on-failed-items)",
            hint=f"see {job.folder / 'failed_items.jsonl'}",
        )


@app.command(epilog=GLOBALS)
def download(
    name: JobName = None,
    job: JobArgument = None,
    download_path: Annotated[Path, typer.Option("--download-path", "-p", help="Folder to write to.")] = Path(),
    output_name: Annotated[str | None, typer.Option("--output-name", help="Copy this output only.")] = None,
    all_: Annotated[bool, typer.Option("--all", help="Copy logs and all outputs.")] = False,
) -> None:
    """Copy a job's logs or outputs.

    Example: mlctl job download -n fraud-batch-7f3a91c2 --output-name score --download-path ./results
    """
    state = current()
    folders = job_files.download(
        state.session, choose(name, job), folder=download_path, output_name=output_name, takes_all=all_
    )
    state.emit(None, lambda: render.say(*(f"copied to {folder}" for folder in folders)))


@app.command(epilog=GLOBALS)
def cancel(name: JobName = None, job: JobArgument = None, timeout: Timeout = None) -> None:
    """Stop a job; what is scored stays in its folder, and resume goes on.

    Example: mlctl job cancel -n fraud-batch-7f3a91c2
    """
    state = current()
    state.session.timeout_s = timeout
    found = batch_jobs.cancel(state.session, choose(name, job))
    state.emit(None, lambda: show_job(found))


@app.command(epilog=GLOBALS)
def archive(name: JobName = None, job: JobArgument = None) -> None:
    """Hide a job from lists.

    Example: mlctl job archive -n fraud-batch-7f3a91c2
    """
    batch_jobs.set_archived(current().session, choose(name, job), archived=True)


@app.command(epilog=GLOBALS)
def restore(name: JobName = None, job: JobArgument = None) -> None:
    """Show an archived job in lists again.

    Example: mlctl job restore -n fraud-batch-7f3a91c2
    """
    batch_jobs.set_archived(current().session, choose(name, job), archived=False)


add_changing(app)
