"""What one run of the command line carries from `main` to its command: the session, how to print, what was given."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import click

from mlctl.cli.output import apply_query, format_result
from mlctl.errors import InvalidInput
from mlctl.ops.session import Session

Operations = tuple[tuple[str, tuple[str, ...]], ...]


@dataclass
class State:
    """output: None when neither -o nor its default is given. query: compiled. operations: --set, --add, --remove.

    missing_exits_one: az ends with 1 here, not 3, when something is not there (`--local`, `batch invoke`).
    """

    session: Session
    output: str | None = None
    query: Any = None
    query_text: str = ""
    operations: Operations = ()
    only_errors: bool = False
    missing_exits_one: bool = False
    finish: Callable[[], None] = field(default=lambda: None)

    @property
    def overrides(self) -> list[str]:
        """The `--set` expressions of a create."""
        return [token for kind, tokens in self.operations if kind == "set" for token in tokens]

    @property
    def is_for_people(self) -> bool:
        """Whether somebody looks at stdout and asked for no format: then views are shown instead of JSON."""
        return self.output is None and self.query is None and sys.stdout.isatty()

    def emit(self, result: Any, view: Callable[[], None] | None = None) -> None:
        """Print a result: by `view` for people, else as az would."""
        self.finish()
        if view is not None and self.is_for_people:
            view()
            return
        if self.query is not None:
            result = apply_query(self.query, result)
        keeps_order = self.query is not None and "{" in self.query_text
        sys.stdout.write(format_result(result, self.output or "json", keeps_order=keeps_order))
        sys.stdout.flush()

    def emit_text(self, text: str) -> None:
        """Print text as it is, whatever the format."""
        self.finish()
        sys.stdout.write(text if text.endswith("\n") or not text else f"{text}\n")
        sys.stdout.flush()

    def emit_part(self, text: str) -> None:
        """Print a part of a text that goes on."""
        self.finish()
        sys.stdout.write(text)
        sys.stdout.flush()

    def confirm(self, question: str, *, is_sure: bool) -> None:
        """Ask before something is lost, unless told not to; without a terminal refuse, as az does."""
        if is_sure:
            return
        if not sys.stdin.isatty():
            raise InvalidInput("cannot ask for confirmation without a terminal", hint="add --yes")
        sys.stderr.write(f"{question} (y/n): ")
        sys.stderr.flush()
        if sys.stdin.readline().strip().lower() not in ("y", "yes"):
            raise InvalidInput("not confirmed, nothing was changed")


def current() -> State:
    """Return the state of this run."""
    return click.get_current_context().find_root().obj
