"""From an environment's document to the interpreter of its replicas; tells which line asked for a package.

Nothing is written into the registry here: an environment that cannot be built changes nothing.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from mlctl import leases
from mlctl.entities.conda_file import CondaFile, Entry, parse_conda_file, read_name
from mlctl.entities.document import Document, make_document, refuse_document
from mlctl.entities.document import Path as DocumentPath
from mlctl.entities.requirement_lines import is_path, split_lines, split_option, strip_comment
from mlctl.errors import EnvironmentFailed, InvalidInput, Problem
from mlctl.ops.session import Session
from mlctl.registry.assets import Asset
from mlctl.runtimes import environments
from mlctl.runtimes.environments import Interpreter, Recipe

MAX_NESTING = 10
# Packages that are there in place of others, under the same module names.
_VARIANTS = {"mlflow-skinny": "mlflow", "onnxruntime-gpu": "onnxruntime"}
_PATH_OPTIONS = ("--constraint", "--find-links")


@dataclass
class Source:
    """An environment's document with its conda file's content in it.

    label: what to call it. document, prefix: where the conda file's map stands. origins: for lines that came out of
    requirement files, or moved because of them: where they stand.
    """

    spec: dict[str, Any]
    label: str
    document: Document
    prefix: DocumentPath
    origins: dict[DocumentPath, DocumentPath | Problem] = field(default_factory=dict[DocumentPath, Any])

    def locate(self, path: DocumentPath, message: str, hint: str = "") -> Problem:
        """Describe what is wrong at a path of the conda file, in the file that the user wrote."""
        origin = self.origins.get(path, path)
        if isinstance(origin, Problem):
            return replace(origin, message=message, hint=hint)
        return self.document.problem((*self.prefix, *origin), message, hint)


def read_inline(spec: Mapping[str, Any], folder: Path, file: Path | None = None) -> Source:
    """Read what an environment's document points to: its conda file, and the requirement files that this names.

    file: the deployment's file that holds the environment, if it does; looked into only to tell where something is.
    """
    from mlctl.ops.loading import read_document

    conda = spec.get("conda_file")
    label = "the deployment's environment" if not spec.get("name") else f"environment {spec['name']}"
    if isinstance(conda, str):
        path = folder / conda
        document, prefix, here = read_document(path), (), path.parent
        conda = document.data
    else:
        document, prefix, here = _Reread(file, dict(spec)).make(), ("environment", "conda_file"), folder
        prefix = prefix if document.lines else ("conda_file",)
    source = Source(dict(spec), label, document, prefix)
    if isinstance(conda, Mapping):
        source.spec["conda_file"] = _Inliner(source, here).inline(cast("Mapping[str, Any]", conda))
    return source


def read_registered(asset: Asset) -> Source:
    """Wrap an environment that the registry holds."""
    label = f"environment {asset.name}:{asset.version}" if asset.spec.get("name") else "the deployment's environment"
    return Source(dict(asset.spec), label, make_document(dict(asset.spec)), ("conda_file",))


@dataclass(frozen=True)
class _Reread:
    """A file that may be read a second time, to show its lines."""

    file: Path | None
    spec: dict[str, Any]

    def make(self) -> Document:
        from mlctl.ops.loading import read_document

        if self.file is not None and self.file.is_file():
            with contextlib.suppress(InvalidInput):
                found = read_document(self.file)
                environment = found.data.get("environment")
                conda = (
                    cast("Mapping[str, Any]", environment).get("conda_file") if isinstance(environment, dict) else None
                )
                if conda == self.spec.get("conda_file"):
                    return found
        return make_document(self.spec)


class _Inliner:
    """Puts the lines of requirement files in place of their `-r`, and whole paths in place of relative ones."""

    def __init__(self, source: Source, folder: Path) -> None:
        self._source = source
        self._folder = folder

    def inline(self, conda: Mapping[str, Any]) -> dict[str, Any]:
        dependencies = conda.get("dependencies")
        if not isinstance(dependencies, list):
            return dict(conda)
        items = [self._inline_item(item, index) for index, item in enumerate(cast("list[Any]", dependencies))]
        return {**conda, "dependencies": items}

    def _inline_item(self, item: Any, index: int) -> Any:
        entry = cast("Mapping[str, Any]", item if isinstance(item, Mapping) else {})
        section = entry.get("pip")
        if not isinstance(section, list):
            return cast("Any", item)
        lines: list[Any] = []
        for number, line in enumerate(cast("list[Any]", section)):
            origin: DocumentPath = ("dependencies", index, "pip", number)
            found = self._read_line(line, self._folder, origin, 0) if isinstance(line, str) else [(line, origin)]
            for text, place in found:
                self._source.origins["dependencies", index, "pip", len(lines)] = place
                lines.append(text)
        return {**entry, "pip": lines}

    def _read_line(
        self, line: str, folder: Path, place: DocumentPath | Problem, depth: int
    ) -> Iterator[tuple[str, DocumentPath | Problem]]:
        text = strip_comment(line)
        option, value = split_option(text) or ("", "")
        if option == "--requirement":
            yield from self._read_file(folder / value, place, depth + 1)
        elif option == "--editable":
            # What is deployed does not change afterwards: it is installed as it is now.
            yield _make_absolute(value, folder), place
        elif option in _PATH_OPTIONS and "://" not in value:
            yield f"{option} {(folder / value).resolve()}", place
        elif option:
            yield text, place
        else:
            yield _make_absolute(text, folder), place

    def _read_file(
        self, path: Path, place: DocumentPath | Problem, depth: int
    ) -> Iterator[tuple[str, DocumentPath | Problem]]:
        try:
            if depth > MAX_NESTING:
                raise OSError(0, f"requirement files are nested more than {MAX_NESTING} deep")
            content = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise self._refuse(place, f"cannot read {path}: {reason}") from error
        shown = content.splitlines()
        for number, line in split_lines(content):
            excerpt = shown[number - 1]
            here = Problem("", str(path), number, 1, excerpt=excerpt, width=max(1, len(excerpt)))
            yield from self._read_line(line, path.parent, here, depth)

    def _refuse(self, place: DocumentPath | Problem, message: str) -> InvalidInput:
        self._source.origins["refused",] = place
        return refuse_document(self._source.document.file, [self._source.locate(("refused",), message)])


def _make_absolute(text: str, folder: Path) -> str:
    if not is_path(text):
        return text
    path, bracket, extras = text.partition("[")
    return f"{(folder / path.strip()).resolve()}{bracket}{extras}"


def ensure(session: Session, source: Source, *, needs: Sequence[str] = ()) -> Interpreter:
    """Return the interpreter for an environment; builds one when there is none. EnvironmentFailed: it cannot be.

    needs: packages that it shall have beside those it names.
    """
    conda = source.spec.get("conda_file")
    if not isinstance(conda, Mapping):
        return environments.own_interpreter(_describe_image(source.spec))
    found = _parse(source, cast("Mapping[str, Any]", conda))
    named = {read_name(entry.text) for entry in found.requirements}
    named |= {_VARIANTS[name] for name in named & _VARIANTS.keys()}
    recipe = Recipe(
        found.python,
        (*(entry.text for entry in found.requirements), *(name for name in needs if name not in named)),
        tuple(entry.text for entry in found.options),
    )

    def on_wait(what: str) -> None:
        session.watcher.begin(f"{source.label} is being {'built' if what == 'built' else 'built by another command'}")

    def build() -> Interpreter:
        return environments.ensure_environment(session.settings.home, recipe, session.environ, on_wait=on_wait)

    try:
        interpreter = build()
        while not _hold(session, interpreter):
            # It was pruned just before.
            interpreter = build()
    except EnvironmentFailed as error:
        raise _explain(source, found.requirements, error.message) from error
    if interpreter.built_s is not None and found.ignored:
        session.on_notice(f"{source.label}: {' and '.join(found.ignored)} are not used, packages come from pip's index")
    return replace(interpreter, drift=(*interpreter.drift, *_describe_left_out(found)))


def _hold(session: Session, interpreter: Interpreter) -> bool:
    """Keep an environment from being pruned until the command ends; False when it is gone already."""
    with session.store.transaction():
        root = environments.find_environment(interpreter.python)
        if root is not None:
            session.store.held.enter_context(leases.hold(root))
    return interpreter.is_own or root is not None


@dataclass(frozen=True)
class Content:
    """What replicas get from an environment. python: a version specifier, empty for any; packages: in pip's words.

    drift: how that differs from what it asks for.
    """

    python: str = ""
    packages: tuple[str, ...] = ()
    drift: tuple[str, ...] = ()


def describe(session: Session, spec: Mapping[str, Any]) -> Content:
    """Tell what an environment's document comes to on this machine, without building it."""
    conda = spec.get("conda_file")
    if not isinstance(conda, Mapping):
        return Content(drift=(_describe_image(spec),))
    found = parse_conda_file(cast("Mapping[str, Any]", conda))
    drift = environments.find_drift(found.python, session.environ)
    packages = tuple(entry.text for entry in found.requirements)
    return Content(found.python, packages, (*drift, *_describe_left_out(found)))


def _describe_image(spec: Mapping[str, Any]) -> str:
    image = spec.get("image")
    what = f"image {image} is not run" if image else "the build folder is not built"
    return f"{what}: its packages are not known here"


def _describe_left_out(found: CondaFile) -> tuple[str, ...]:
    return tuple(f"conda package {text} is not installed: it is not on PyPI" for text in found.left_out)


def _parse(source: Source, conda: Mapping[str, Any]) -> CondaFile:
    found = parse_conda_file(conda)
    if found.faults:
        problems = [source.locate(fault.path, fault.message, fault.hint) for fault in found.faults]
        if source.document.file:
            raise refuse_document(source.document.file, problems)
        raise InvalidInput(f"{source.label} cannot be used, nothing was changed", problems=problems)
    return found


def _explain(source: Source, requirements: Sequence[Entry], reason: str) -> EnvironmentFailed:
    """Tell uv's reason, and show the lines that ask for what it names."""
    problems = [source.locate(entry.path, entry.text) for entry in requirements if _is_named(entry.text, reason)]
    needs = [name for name in environments.NEEDS if _is_named(name, reason)]
    hint = f"mlctl's scoring server asks for {', '.join(needs)}, too" if needs else ""
    return EnvironmentFailed(
        f"{source.label} cannot be built, nothing was changed: {reason}", hint=hint, problems=problems
    )


def _is_named(requirement: str, reason: str) -> bool:
    name = read_name(requirement) or requirement
    pattern = re.escape(name).replace(r"\-", "[-_.]+")
    return re.search(rf"(?<![\w.-]){pattern}(?![\w-])", reason, flags=re.IGNORECASE) is not None
