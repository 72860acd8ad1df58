"""A replica that could not start: what it leaves for the log and, as JSON, for the daemon."""

from __future__ import annotations

import json
import logging
import os
import traceback
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Literal, TypedDict

from mlctl.scoring.redaction import describe_exception, render_exception, script_frames
from mlctl.scoring.user_code import ScriptRefused

_LONGEST_LIST = 200
_logger = logging.getLogger("azmlinfsrv")

Phase = Literal["import", "init"]


class Frame(TypedDict):
    """A line of the user's that was being executed. file: relative to AML_APP_ROOT when it is there."""

    file: str
    line: int
    function: str
    text: str


class Failure(TypedDict):
    """Why a start failed. frames: the user's only, innermost last. model_dir: files, relative, 200 at most."""

    phase: Phase
    message: str
    frames: list[Frame]
    model_dir: list[str]


def describe_failure(phase: Phase, exc: BaseException, *, app_root: Path, model_dir: Path | None) -> Failure:
    """Gather what the daemon shows the user."""
    return Failure(
        phase=phase,
        message=str(exc) if isinstance(exc, ScriptRefused) else describe_exception(exc),
        frames=list_user_frames(exc, app_root),
        model_dir=list_files(model_dir) if model_dir else [],
    )


def list_user_frames(exc: BaseException, app_root: Path) -> list[Frame]:
    """Return the frames in files below `app_root`; for a SyntaxError the offending line is the last."""
    stack = list(script_frames(exc.__traceback__))
    if isinstance(exc, SyntaxError) and exc.filename:
        stack.append(traceback.FrameSummary(exc.filename, exc.lineno or 0, "<module>", line=exc.text or ""))
    frames: list[Frame] = []
    for frame in stack:
        path = Path(frame.filename)
        if path.is_relative_to(app_root) and "site-packages" not in path.parts:
            file = path.relative_to(app_root).as_posix()
            frames.append(
                Frame(file=file, line=frame.lineno or 0, function=frame.name, text=(frame.line or "").strip())
            )
    return frames


def write_failure(path: Path, failure: Failure) -> None:
    """Write the description so that a reader sees all of it or nothing; only the owner may read it."""
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(failure, file)
    draft.replace(path)


def log_failure(phase: Phase, exc: BaseException, model_dir: Path | None) -> None:
    """Write the log lines that Azure's server writes."""
    headline = "User's init function failed" if phase == "init" else "Failed to load the user script"
    _logger.error("%s\n%s", headline, exc if isinstance(exc, ScriptRefused) else render_exception(exc))
    if phase == "init" and model_dir:
        for line in ("Model Directory Contents:", *draw_tree(model_dir)):
            _logger.info("%s", line)


def draw_tree(folder: Path) -> Iterator[str]:
    """Draw a folder, one indented line for each thing in it, and say so where there are more than 200."""
    lines = chain([f"{folder.name}/"], (_draw(path, folder) for path in _walk(folder)))
    yield from islice(lines, _LONGEST_LIST)
    if next(lines, None) is not None:
        yield f"Output Truncated. First {_LONGEST_LIST} lines shown."


def _draw(path: Path, folder: Path) -> str:
    depth = len(path.relative_to(folder).parts)
    return f"{'    ' * depth}{path.name}{'/' if path.is_dir() else ''}"


def list_files(folder: Path) -> list[str]:
    """Return the relative paths of the files below a folder, 200 at most."""
    files = (path.relative_to(folder).as_posix() for path in _walk(folder) if not path.is_dir())
    return list(islice(files, _LONGEST_LIST))


def _walk(folder: Path) -> Iterator[Path]:
    """Yield what is below a folder, in order of names; what cannot be read is left out."""
    try:
        paths = sorted(folder.iterdir())
    except OSError:
        return
    for path in paths:
        yield path
        if path.is_dir():
            yield from _walk(path)
