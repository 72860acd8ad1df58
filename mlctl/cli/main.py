"""The command line's entry: takes the arguments apart, runs one command, and is the one place that prints errors."""

from __future__ import annotations

import importlib
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import click

from mlctl import __version__
from mlctl.cli.arguments import NOUNS, Invocation, normalize
from mlctl.errors import InvalidInput, MlctlError, NotFound, UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from mlctl.cli.state import State

INTERRUPTED, BUG = 130, 70
_logger = logging.getLogger("mlctl.cli")

# A static table: help of the root imports none of the commands.
COMMANDS = {
    "endpoint": "Endpoints: one address, keys, and traffic split over deployments (az: online-endpoint).",
    "deployment": "Deployments: a model and its scoring script, served by replicas (az: online-deployment).",
    "model": "Models: files under a name and a version.",
    "environment": "Environments: what deployments run in, under a name and a version.",
    "batch": "Batch scoring: tables and folders, in mini-batches over worker processes (az: batch-endpoint).",
    "batch-deployment": "Batch deployments: a model and its scoring script, run by batch jobs.",
    "data": "Data: files and folders under a name and a version; they are referenced, not copied.",
    "component": "Components: commands and pipelines under a name and a version.",
    "compute": "Computes: where batch jobs run; this machine, whatever they are called, or a Dask cluster.",
    "job": "Jobs: batch scoring, commands and pipelines, as they run.",
    "schedule": "Schedules: batch invocations and jobs at set times, started by the daemon.",
    "serve": "Serve one scoring script in the foreground, as Azure's inference server does (azmlinfsrv).",
    "workspace": "The workspace: where assets are looked up, and the key of its secrets.",
    "daemon": "The daemon that keeps everything running; commands start it by themselves.",
    "artifacts": "Copies of models and code that the registry keeps.",
    "validate": "Check files and list everything that is wrong, without changing anything.",
    "version": "The versions of mlctl and of what it runs on.",
    "doctor": "Look for what is broken or left behind on this machine.",
}


class Root(click.Group):
    """Loads the module of a noun when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the nouns."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one noun's commands."""
        cmd_name = NOUNS.get(cmd_name, cmd_name)
        if cmd_name not in COMMANDS:
            return None
        import typer.main

        command = typer.main.get_command(importlib.import_module(f"mlctl.cli.{cmd_name.replace('-', '_')}").app)
        command.name = cmd_name
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the noun; name the nearest when there is none."""
        near = get_close_matches(args[0], [*COMMANDS, *NOUNS], n=1) if args and args[0] not in NOUNS else []
        if args and near and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"No such command '{args[0]}'. Did you mean {near[0]}?", ctx)
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete nouns from the static table; what stands after one is completed by its own command."""
        from click.shell_completion import CompletionItem

        options = click.Command.shell_complete(self, ctx, incomplete)
        nouns = [CompletionItem(noun, help=text) for noun, text in COMMANDS.items() if noun.startswith(incomplete)]
        return nouns if not incomplete.startswith("-") else options

    def _main_shell_completion(
        self, ctx_args: MutableMapping[str, Any], prog_name: str, complete_var: str | None = None
    ) -> None:
        """Answer a shell that asks for completion, in Typer's form: its scripts are what is installed."""
        variable = complete_var or f"_{prog_name}_COMPLETE".upper()
        instruction = os.environ.get(variable)
        if not instruction:
            return
        from typer.completion import get_completion_inspect_parameters, shell_complete

        # Not for its result: it makes Typer's shells known to click.
        get_completion_inspect_parameters()
        raise click.exceptions.Exit(shell_complete(self, ctx_args, prog_name, variable, instruction))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the table of nouns without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


def make_root() -> Root:
    """Build the command tree; nouns are imported when they are looked up."""
    return Root(
        name="mlctl",
        help="Azure ML endpoints on your own machine: az ml's files and commands, without a cloud.\n\n"
        "Example: mlctl deployment create -f blue.yml --all-traffic",
        epilog="Every command takes az's global arguments: -o/--output, --query, -g, -w, --verbose, --debug.",
        params=[
            _make_flag("--version", _show_version, "Show the version."),
            _make_flag("--install-completion", _install_completion, "Install completion for the current shell."),
            _make_flag("--show-completion", _show_completion, "Print the completion script of the current shell."),
        ],
        context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 110},
        no_args_is_help=False,
    )


def _make_flag(name: str, callback: Callable[[click.Context, click.Parameter, bool], None], text: str) -> click.Option:
    return click.Option([name], is_flag=True, expose_value=False, is_eager=True, callback=callback, help=text)


def _install_completion(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    from typer.completion import install_callback

    install_callback(context, parameter, value)


def _show_completion(context: click.Context, parameter: click.Parameter, value: bool) -> None:
    from typer.completion import show_callback

    show_callback(context, parameter, value)


def _show_version(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value:
        sys.stdout.write(f"mlctl {__version__}\n")
        context.exit()


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    sys.exit(run(sys.argv[1:] if argv is None else argv))


class Terminated(BaseException):
    """A signal asked the process to end: what is half made is cleaned up on the way out."""


def _terminate(number: int, _frame: object) -> None:
    # Once: whoever asks a second time wants it at once.
    signal.signal(number, signal.SIG_DFL)
    raise Terminated(number)


def run(argv: Sequence[str]) -> int:  # noqa: PLR0911  one return for each way to end
    """Run one command line; return its exit code. Nothing is raised."""
    from mlctl.cli import render

    state: State | None = None
    began = time.perf_counter()
    is_debug = "--debug" in argv
    try:
        invocation = normalize(argv)
        state = _make_state(invocation)
        # A number is what a command exits with of its own accord.
        ended = make_root().main(list(invocation.words), prog_name="mlctl", standalone_mode=False, obj=state)
        return ended if isinstance(ended, int) else 0
    except MlctlError as error:
        _finish(state)
        render.print_error(error)
        return _exit_code(error, state)
    except click.exceptions.Exit as ending:
        return ending.exit_code
    except click.ClickException as error:
        _finish(state)
        render.print_error(_translate(error))
        return 2
    except (KeyboardInterrupt, click.Abort):
        _finish(state)
        render.print_note(_tell_interrupted(state))
        return INTERRUPTED
    except Terminated as ending:
        _finish(state)
        return 128 + int(ending.args[0])
    except BrokenPipeError:
        # Whoever read our output has gone: that is their choice, not an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except Exception as error:
        _finish(state)
        if is_debug:
            raise
        render.print_error(_report_bug(error, state))
        return BUG
    finally:
        if state is not None:
            state.session.close()
            _logger.info("Command ran in %.3f seconds.", time.perf_counter() - began)


def _tell_interrupted(state: State | None) -> str:
    pending = state.session.pending if state is not None else ""
    return f"interrupted: the work goes on. {pending}" if pending else "interrupted"


def _exit_code(error: MlctlError, state: State | None) -> int:
    is_one = state is not None and state.missing_exits_one
    return 1 if is_one and isinstance(error, NotFound) else error.exit_code


def _finish(state: State | None) -> None:
    if state is not None:
        state.finish()


def _make_state(invocation: Invocation) -> State:
    from mlctl.cli.output import compile_query
    from mlctl.cli.state import State
    from mlctl.logs import set_up_cli_logging
    from mlctl.ops.session import DEFAULT_WORKSPACE, Session
    from mlctl.settings import load_settings

    options = invocation.options
    set_up_cli_logging(_level(options))
    session = Session(
        settings=load_settings(os.environ),
        environ=dict(os.environ),
        workspace=_choose_workspace(options, DEFAULT_WORKSPACE),
        resource_group=options.get("resource-group") or os.environ.get("AZURE_DEFAULTS_GROUP") or DEFAULT_WORKSPACE,
    )
    query = options.get("query")
    state = State(
        session=session,
        output=(options.get("output") or os.environ.get("AZURE_CORE_OUTPUT") or "").lower() or None,
        query=compile_query(query) if query else None,
        query_text=query or "",
        operations=invocation.operations,
        only_errors="only-show-errors" in options,
    )
    _tell_people(state)
    _logger.info("mlctl %s: %s", __version__, " ".join(invocation.words[:2]))
    _logger.info("registry %s, workspace %s", session.settings.home, session.workspace)
    for name, value in sorted(options.items()):
        _logger.debug("option --%s: %s", name, value)
    return state


def _choose_workspace(options: Mapping[str, str], default: str) -> str:
    name = options.get("workspace-name") or os.environ.get("AZURE_DEFAULTS_WORKSPACE") or default
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,32}", name) is None:
        raise InvalidInput(
            f'--workspace-name: "{name}" is no name: up to 33 letters, digits, - and _, the first no sign',
            hint="leave it out: everything is in the workspace local",
        )
    return name


def _tell_people(state: State) -> None:
    """Send notes to stderr, and progress when somebody looks there."""
    from mlctl.cli import render

    if not state.only_errors:
        state.session.on_notice = render.print_note
    if _logger.isEnabledFor(logging.INFO):
        from mlctl.cli.progress import LoggedProgress

        state.session.watcher = LoggedProgress()
        return
    if sys.stderr.isatty() and not state.only_errors:
        from mlctl.cli.progress import Progress

        progress = Progress()
        state.session.watcher = progress
        state.finish = progress.close


def _level(options: Mapping[str, str]) -> int:
    if "debug" in options:
        return logging.DEBUG
    if "verbose" in options:
        return logging.INFO
    return logging.ERROR if "only-show-errors" in options else logging.WARNING


def _translate(error: click.ClickException) -> UsageError:
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "mlctl"
    # Typer adds what click has added already.
    message = re.sub(r"( Did you mean [^?]*\?)\1+", r"\1", error.format_message().rstrip())
    extra = re.search(r"unexpected extra arguments? \((.*)\)", message)
    shares = extra[1].split() if extra else []
    if shares and all(re.fullmatch(r"[\w-]+=\d+", share) for share in shares):
        # The shell parted what az takes as one argument.
        return UsageError(message, hint=f'quote shares that belong together: --traffic "blue=90 {shares[-1]}"')
    return UsageError(message, hint=f"{path} --help")


def _report_bug(error: Exception, state: State | None) -> MlctlError:
    import traceback

    where = "--debug shows the traceback"
    if state is not None:
        try:
            folder = state.session.settings.logs
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = folder / "cli.log"
            with path.open("a") as file:
                file.write("".join(traceback.format_exception(error)))
            path.chmod(0o600)
            where = f"the traceback is in {path}"
        except OSError:
            pass
    return MlctlError(f"this is a bug of mlctl: {type(error).__name__}: {error}", hint=f"{where}; please report it")


if __name__ == "__main__":
    main()
