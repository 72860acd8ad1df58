"""`mlctl batch invoke`, `resume` and `list-jobs`: added to the batch endpoints' commands."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli import render
from mlctl.cli.following import summarize
from mlctl.cli.job import end, follow_to_end, show_job
from mlctl.cli.job_names import JobArgument, JobName, choose
from mlctl.cli.options import GLOBALS, BatchEndpointName, OptionalFile, Set
from mlctl.cli.state import State, current
from mlctl.errors import InvalidInput
from mlctl.ops import batch_jobs, job_documents
from mlctl.ops.batch_jobs import Job
from mlctl.ops.batch_orders import Invocation

Stream = Annotated[bool, typer.Option("--stream", help="Follow the job until it ends; exit code 1 when it fails.")]


def add_job_commands(app: typer.Typer) -> None:
    """Add the commands that start jobs and look at them."""
    app.command(epilog=GLOBALS)(invoke)
    app.command(epilog=GLOBALS)(resume)
    app.command("list-jobs", epilog=GLOBALS)(list_jobs)


def invoke(
    name: Annotated[str | None, typer.Option("--name", "-n", help="Name of the batch endpoint.")] = None,
    deployment_name: Annotated[
        str | None, typer.Option("--deployment-name", "-d", help="Deployment; the endpoint's default if left out.")
    ] = None,
    from_deployment: Annotated[
        str | None,
        typer.Option("--from-deployment", help="ENDPOINT/DEPLOYMENT: let an online deployment's script score a table."),
    ] = None,
    input_: Annotated[
        str | None, typer.Option("--input", help="File, folder or azureml:NAME:VERSION to score.", metavar="PATH")
    ] = None,
    input_type: Annotated[str | None, typer.Option("--input-type", help="uri_folder or uri_file.")] = None,
    inputs: Annotated[
        str | None,
        typer.Option(
            "--inputs", help="Refused: no form of it works in a shell, in az neither: --set inputs.NAME.path=…"
        ),
    ] = None,
    outputs: Annotated[
        str | None,
        typer.Option("--outputs", help="Refused: no form of it works in a shell, in az neither: --output-path FOLDER"),
    ] = None,
    file: OptionalFile = None,
    rows: Annotated[
        bool,
        typer.Option("--rows", help="The input is a table (CSV, JSON lines, Parquet, Arrow): run() gets DataFrames."),
    ] = False,
    input_key: Annotated[
        str | None,
        typer.Option(
            "--input-key", help="Key of the rows in the body that an online script gets.  [default: features]"
        ),
    ] = None,
    mini_batch_size: Annotated[
        int | None, typer.Option("--mini-batch-size", "-m", help="Files, or rows, in a call of run().", min=1)
    ] = None,
    instance_count: Annotated[
        int | None,
        typer.Option("--instance-count", "-c", help="Instances; each has max_concurrency_per_instance workers.", min=1),
    ] = None,
    output_path: Annotated[
        str | None, typer.Option("--output-path", help="Folder for the output; the job's own if left out.")
    ] = None,
    output_format: Annotated[
        str | None, typer.Option("--output-format", help="az (blank-separated, no header), csv, jsonl or parquet.")
    ] = None,
    header: Annotated[
        bool | None, typer.Option("--header/--no-header", help="First line: names of the columns.")
    ] = None,
    with_input: Annotated[
        bool | None, typer.Option("--with-input/--no-input", help="Input columns beside the results.")
    ] = None,
    job_name: Annotated[
        str | None, typer.Option("--job-name", help="Name for the job; used twice, it is the same job.")
    ] = None,
    experiment_name: Annotated[str | None, typer.Option("--experiment-name", help="Recorded on the job.")] = None,
    fail_on_failed_items: Annotated[
        bool,
        typer.Option("--fail-on-failed-items", help="With --stream: exit code 1 when an item could not be scored."),
    ] = False,
    stream: Stream = False,
    set_: Set = None,
) -> None:
    """Score files or a table with a batch deployment; returns the job at once.

    Example: mlctl batch invoke -n fraud-batch --input november.parquet --rows --mini-batch-size 10000 --stream
    """
    state = current()
    state.missing_exits_one = True
    for flag, value, other in (
        ("--inputs", inputs, "--set inputs.data.path=PATH"),
        ("--outputs", outputs, "--output-path FOLDER"),
    ):
        if value is not None:
            raise InvalidInput(f"{flag}: no form of it works in a shell, in az neither", hint=other)
    job = batch_jobs.invoke(
        state.session,
        Invocation(
            endpoint=name,
            deployment=deployment_name,
            from_deployment=from_deployment,
            data=input_,
            data_type=input_type,
            file=Path(file) if file else None,
            settings=tuple(state.overrides),
            rows=rows,
            input_key=input_key,
            output_path=output_path,
            output_format=output_format,
            output_header=header,
            output_with_input=with_input,
            instance_count=instance_count,
            mini_batch_size=mini_batch_size,
            job_name=job_name,
            experiment_name=experiment_name,
            fails_on_failed_items=fail_on_failed_items,
        ),
    )
    show_started(state, job, streams=stream)


def show_started(state: State, job: Job, *, streams: bool) -> None:
    """Print a job that was started, or follow it to its end and print it then."""
    if streams:
        job = follow_to_end(state, job.row.name, sys.stderr)
        if not state.is_for_people and not state.only_errors:
            # The log of a build shall tell, too, how it ended: stdout is az's.
            sys.stderr.write("".join(f"{line}\n" for line in summarize(job, tells_why=False)))
    reference = job_documents.reference(state.session, job)
    state.emit(reference, lambda: render.say(*summarize(job, tells_why=False)) if streams else show_job(job))
    if streams:
        end(job)


def resume(
    name: JobName = None,
    job: JobArgument = None,
    changed: Annotated[
        bool, typer.Option("--changed", help="Score the files again that have changed since, instead of refusing.")
    ] = False,
    stream: Stream = False,
) -> None:
    """Go on with a job that was interrupted: nothing that is scored already is scored again.

    Example: mlctl batch resume -n fraud-batch-7f3a91c2 --stream
    """
    state = current()
    found = batch_jobs.resume(state.session, choose(name, job), scores_changed=changed)
    show_started(state, found, streams=stream)


def list_jobs(name: BatchEndpointName) -> None:
    """List the jobs of a batch endpoint, the newest first.

    Example: mlctl batch list-jobs -n fraud-batch -o table
    """
    state = current()
    found = batch_jobs.list_of_endpoint(state.session, name)
    rows = [job_documents.reference(state.session, job) for job in found]
    state.emit(rows, lambda: render.show_jobs([job_documents.job_document(state.session, job) for job in found]))
