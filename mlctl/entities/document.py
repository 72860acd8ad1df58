"""A document that was read: its data, and where each part of it stands. Made by `yaml_file`, used by `parsing`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from mlctl.errors import InvalidInput, Problem

Path = tuple[str | int, ...]


@dataclass(frozen=True)
class Mark:
    """A place in the text: line and column count from 1, `width` characters belong to it on that line."""

    line: int
    column: int
    width: int = 1


@dataclass(frozen=True)
class Marks:
    """Where the key and the value of a path begin; `key` is None for items of lists and for the root."""

    key: Mark | None
    value: Mark


def _no_marks() -> dict[Path, Marks]:
    return {}


def _no_origins() -> dict[Path, str]:
    return {}


@dataclass(frozen=True)
class Document:
    """A YAML file as plain data.

    marks: path -> place in the text. origins: path -> the option that set it (`--set instance_count=two`): what is
    wrong there is told of the option, not of the file.
    """

    file: str
    lines: tuple[str, ...]
    data: dict[str, Any]
    marks: Mapping[Path, Marks] = field(default_factory=_no_marks)
    origins: Mapping[Path, str] = field(default_factory=_no_origins)

    def problem(self, path: Path, message: str, hint: str = "", *, at_key: bool = False) -> Problem:
        """Describe what is wrong at a path, which is put before the message.

        A path that does not stand in the text is shown at the nearest part above it that does.
        """
        origin = self._find_origin(path)
        if origin is not None:
            above = path[: len(origin)] == origin and path != origin
            where = f"{render_path(path)}: " if above else ""
            return Problem(f"{self.origins[origin]}: {where}{message}", hint=hint)
        text = f"{render_path(path)}: {message}" if path else message
        mark = self._find_mark(path, at_key=at_key)
        if mark is None:
            return Problem(text, file=self.file, line=1 if self.lines else 0, column=1 if self.lines else 0, hint=hint)
        return Problem(text, self.file, mark.line, mark.column, hint, self.lines[mark.line - 1], mark.width)

    def not_found(self, path: Path, message: str, hint: str = "") -> Problem:
        """Describe what is named at a path and is not there."""
        return replace(self.problem(path, message, hint), is_not_found=True)

    def replace_data(self, data: dict[str, Any], origins: Mapping[Path, str] | None = None) -> Document:
        """Return the document with other data (an option applied, or merged into a base) and the same places."""
        return replace(self, data=data, origins={**self.origins, **(origins or {})})

    def _find_origin(self, path: Path) -> Path | None:
        return next((path[:n] for n in range(len(path), 0, -1) if path[:n] in self.origins), None)

    def _find_mark(self, path: Path, *, at_key: bool) -> Mark | None:
        for length in range(len(path), 0, -1):
            marks = self.marks.get(path[:length])
            if marks is not None:
                return marks.key if marks.key is not None and (at_key or length < len(path)) else marks.value
        return None


def make_document(data: dict[str, Any], file: str = "") -> Document:
    """Wrap data that came from no text: from options alone, or from the registry."""
    return Document(file=file, lines=(), data=data)


def render_path(path: Path) -> str:
    """Render a path as users write it: `identity.user_assigned_identities[0].resource_id`."""
    parts = [f"[{step}]" if isinstance(step, int) else f".{step}" for step in path]
    return "".join(parts).removeprefix(".")


def refuse_document(file: str, problems: Sequence[Problem]) -> InvalidInput:
    """Make the error for all the problems of one document, in the order in which they stand there."""
    count = f"{len(problems)} problem" + ("s" if len(problems) != 1 else "")
    message = f"{file}: {count}, nothing was changed" if file else f"{count}, nothing was changed"
    ordered = sorted(problems, key=lambda problem: (problem.line, problem.column))
    return InvalidInput(message, problems=ordered)
