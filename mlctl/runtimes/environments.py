"""Environments of process replicas: a virtual environment per recipe, made by uv, kept under the hash of the recipe.

`ops.environments` asks for one before a deployment is written; `runtimes.process` starts replicas in it. An environment
that is there costs no process: its marker, which is put into place together with it, says all.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sysconfig
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from mlctl.entities.conda_file import read_name
from mlctl.errors import BackendUnavailable, EnvironmentFailed
from mlctl.runtimes import pythons
from mlctl.runtimes.library import ensure_library
from mlctl.runtimes.pip_settings import hide_credentials, read_pip_settings

FOLDER, LIBRARY = "environments", "lib"
MARKER = "mlctl-environment.json"
DRAFT, GONE = ".new-", ".gone-"
# What mlctl.scoring imports; werkzeug only where the script is @rawhttp or makes an AMLResponse.
NEEDS = ("uvicorn", "httptools", "uvloop", "werkzeug")
_FORMAT = 1
_LONGEST_REASON = 12
# The tool's own interpreter, or one that was activated, is none of uv's business.
_NOT_PASSED_ON = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "CONDA_PREFIX")


@dataclass(frozen=True)
class Recipe:
    """What an environment shall have.

    python: a version specifier, empty for any. requirements: as pip takes them, paths absolute. options: pip's option
    lines.
    """

    python: str = ""
    requirements: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Interpreter:
    """What replicas run in.

    drift: how it differs from what was asked for. packages: how many are installed. built_s: how long it was built
    just now; None: it was there.
    """

    python: Path
    version: str
    drift: tuple[str, ...] = ()
    packages: int = 0
    built_s: float | None = None
    is_own: bool = False


Notify = Callable[[str], None]


def own_interpreter(*drift: str) -> Interpreter:
    """Return the interpreter that mlctl runs in."""
    own = pythons.own_python()
    return Interpreter(own.path, own.version, drift, is_own=True)


def ensure_environment(home: Path, recipe: Recipe, environ: Mapping[str, str], *, on_wait: Notify) -> Interpreter:
    """Return what a recipe runs in: the running interpreter if it will do, else its environment, built if need be.

    on_wait: called with "built" or "awaited" when it takes a while. EnvironmentFailed gives uv's reason.
    """
    is_satisfied = pythons.is_installed_here(recipe.requirements)
    if is_satisfied and pythons.suits(recipe.python, pythons.own_python().version):
        return own_interpreter()
    return _Build(home, recipe, environ, is_satisfied=is_satisfied).ensure(on_wait)


def find_drift(specifier: str, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Say how the interpreter that would be taken for a version differs from it; nothing is built."""
    return _describe_drift(specifier, pythons.choose_python(specifier, pythons.list_candidates(environ)))


def find_environment(python: Path) -> Path | None:
    """Return the folder of the environment that an interpreter belongs to; None for the tool's own."""
    root = python.parent.parent
    return root if root.parent.name == FOLDER and (root / MARKER).is_file() else None


def start_words(python: Path, module: str = "mlctl.scoring") -> list[str]:
    """Return how a replica or a worker is started: as a module where mlctl is installed, else from a copy of it."""
    root = find_environment(python)
    if root is None:
        return [str(python), "-P", "-m", module]
    # The word stands there for those who look for replicas among the processes.
    return [str(python), str(ensure_library(root.parent.parent / LIBRARY)), module]


class _Build:
    """One recipe on its way to an interpreter."""

    def __init__(self, home: Path, recipe: Recipe, environ: Mapping[str, str], *, is_satisfied: bool) -> None:
        self._recipe = recipe
        self._environ = environ
        self._is_satisfied = is_satisfied
        self._settings = read_pip_settings(environ).override(recipe.options)
        self._candidates = pythons.list_candidates(environ)
        self._folder = home / FOLDER
        self._key = self._make_key()
        self._target = self._folder / self._key
        self._draft = self._folder / f"{DRAFT}{self._key}"

    def _make_key(self) -> str:
        own, wanted = pythons.own_python(), self._recipe.python
        facts: dict[str, Any] = {
            "format": _FORMAT,
            "python": wanted or own.version,
            # Where another interpreter is needed, one that appears later is to be taken.
            "found": [] if pythons.suits(wanted, own.version) else pythons.name_versions(self._candidates),
            "requirements": sorted(self._recipe.requirements),
            "files": [_digest_tree(Path(text)) for text in sorted(self._recipe.requirements) if text.startswith("/")],
            "index": self._settings.identify(),
            "platform": sysconfig.get_platform(),
            "needs": list_needs(self._recipe.requirements),
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]

    def ensure(self, on_wait: Notify) -> Interpreter:
        found = self._find()
        if found is not None:
            return found
        python = pythons.choose_python(self._recipe.python, self._candidates)
        drift = _describe_drift(self._recipe.python, python)
        if self._is_satisfied and python == pythons.own_python():
            return own_interpreter(*drift)
        try:
            with self._lock(on_wait):
                # Somebody else may have built it meanwhile.
                return self._find() or self._make(python, drift)
        except OSError as error:
            reason = f"cannot write {error.filename or self._folder}: {error.strerror}"
            raise BackendUnavailable(reason, hint=f"df -h {self._folder}") from error

    def _find(self) -> Interpreter | None:
        """Return the environment if it is whole and its interpreter is still there."""
        python = self._target / "bin" / "python"
        try:
            marker = json.loads((self._target / MARKER).read_text())
        except (OSError, ValueError):
            return None
        if not python.exists():
            return None
        # So that it is not pruned before the command has written down that it needs it.
        os.utime(self._target / MARKER)
        return Interpreter(python, marker["version"], tuple(marker["drift"]), marker["packages"])

    @contextlib.contextmanager
    def _lock(self, on_wait: Notify) -> Generator[None]:
        """Let one command at a time build this; uv inherits the lock, so that it holds as long as anything writes."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._folder / f".lock-{self._key}").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait("awaited")
                fcntl.flock(file, fcntl.LOCK_EX)
            else:
                on_wait("built")
            self._lock_fd = file.fileno()
            yield

    def _make(self, python: pythons.Python, drift: tuple[str, ...]) -> Interpreter:
        began = time.monotonic()
        _sweep(self._folder)
        shutil.rmtree(self._draft, ignore_errors=True)
        try:
            self._run_uv("venv", "--relocatable", "--python", str(python.path), str(self._draft))
            self._install()
            packages = len([*self._draft.glob("lib/python3*/site-packages/*.dist-info")])
            marker = {"version": python.version, "drift": drift, "packages": packages}
            marker["requirements"] = self._recipe.requirements
            (self._draft / MARKER).write_text(json.dumps(marker))
            if self._target.exists():
                self._target.rename(self._folder / f"{GONE}{self._key}-{time.time_ns()}")
            self._draft.rename(self._target)
        finally:
            shutil.rmtree(self._draft, ignore_errors=True)
        built = self._find()
        assert built is not None
        return replace(built, built_s=time.monotonic() - began)

    def _install(self) -> None:
        """Install the requirements, and what the scoring server needs: our own versions, else any that will do."""
        pinned = list_needs(self._recipe.requirements)
        try:
            self._install_with(pinned)
        except EnvironmentFailed as error:
            if not any(re.search(rf"\b{name}\b", error.message) for name in NEEDS):
                raise
            self._install_with([*_list_bounds().values()])

    def _install_with(self, needs: Sequence[str]) -> None:
        file = self._draft / "requirements.txt"
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as writer:
            writer.write("".join(f"{line}\n" for line in (*self._recipe.requirements, *needs)))
        # Replicas write no bytecode: without it every start would compile everything.
        words = ["pip", "install", "--compile-bytecode", "--python", str(self._draft / "bin" / "python")]
        try:
            self._run_uv(*words, *self._settings.make_arguments(), "-r", str(file))
        finally:
            file.unlink()

    def _run_uv(self, *words: str) -> None:
        environment = {key: value for key, value in self._environ.items() if key not in _NOT_PASSED_ON}
        environment |= {"NO_COLOR": "1", "UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never"}
        ran = subprocess.run(
            [_find_uv(), *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            cwd=self._folder,
            env=environment | self._settings.make_variables(self._environ),
            pass_fds=(self._lock_fd,),
        )
        if ran.returncode != 0:
            raise EnvironmentFailed(read_reason(ran.stderr))


def _find_uv() -> str:
    import uv

    try:
        return os.fsdecode(uv.find_uv_bin())
    except FileNotFoundError as error:
        raise BackendUnavailable("uv, which builds environments, is not there", hint="pip install uv") from error


def list_needs(requirements: Sequence[str]) -> list[str]:
    """Return what the scoring server needs, in the versions that it was tried with; the user's own pins go first."""
    named, bounds = {read_name(text) for text in requirements}, _list_bounds()
    return [bounds[name] if name in named else f"{name}=={metadata.version(name)}" for name in NEEDS]


def _list_bounds() -> dict[str, str]:
    """Return what the scoring server can do with, as mlctl itself declares it: `uvicorn>=0.38`."""
    declared = {read_name(text): text for text in metadata.requires("mlctl") or ()}
    return {name: declared.get(name, name) for name in NEEDS}


def read_reason(output: str) -> str:
    """Return what uv says is wrong, without its signs, its progress and the credentials of addresses."""
    lines: list[str] = []
    for line in output.splitlines():
        text = re.sub(r"^[\s×╰─▶│├]+|^\s*(error|cause|Caused by):\s*", "", line)
        text = re.sub(r"^(error|cause):\s*", "", text).strip()
        if text and not re.match(r"(warning:|Using |Creating |Activate |Resolved |Download|Prepared |Building )", text):
            lines.append(hide_credentials(text))
    if len(lines) > _LONGEST_REASON:
        lines = [lines[0], "…", *lines[2 - _LONGEST_REASON :]]
    return "\n".join(lines) or "uv gave no reason"


def _describe_drift(specifier: str, python: pythons.Python) -> tuple[str, ...]:
    if pythons.suits(specifier, python.version):
        return ()
    wanted = re.sub(r"^==|\.\*$", "", specifier)
    oldest = ".".join(map(str, pythons.OLDEST))
    reason = "is not on this machine" if pythons.is_new_enough(specifier) else f"is too old, {oldest} is needed"
    return (f"Python {wanted} {reason}: {python.version} is used",)


def _sweep(folder: Path) -> None:
    """Remove what killed builds left behind: drafts whose lock nobody holds, and what was replaced."""
    for path in [*folder.glob(f"{DRAFT}*"), *folder.glob(f"{GONE}*")]:
        key = path.name.removeprefix(DRAFT)
        if path.name.startswith(GONE) or not _is_locked(folder / f".lock-{key}"):
            shutil.rmtree(path, ignore_errors=True)


def _is_locked(path: Path) -> bool:
    try:
        with path.open("r") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _digest_tree(path: Path) -> str:
    """Tell apart states of a package that lies on this machine: by name, size and time of its files."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    digest = hashlib.sha256()
    for file in files:
        if file.is_file() and not {"__pycache__", ".git", "build"} & {*file.parts}:
            found = file.stat()
            digest.update(f"{file}\0{found.st_size}\0{found.st_mtime_ns}\0".encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class BuiltEnvironment:
    """A venv that was built; used_at: when a command last asked for it, in epoch seconds."""

    path: Path
    size_bytes: int
    used_at: float


def list_built(home: Path) -> list[BuiltEnvironment]:
    """Return the environments of a registry, by path."""
    found = [marker.parent for marker in sorted((home / FOLDER).glob(f"*/{MARKER}"))]
    return [BuiltEnvironment(path, _measure(path), (path / MARKER).stat().st_mtime) for path in found]


def remove_built(environment: BuiltEnvironment) -> None:
    """Remove an environment; whoever asks for it next builds it anew."""
    gone = environment.path.with_name(f"{GONE}{environment.path.name}")
    environment.path.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)
    environment.path.with_name(f".lock-{environment.path.name}").unlink(missing_ok=True)


def _measure(folder: Path) -> int:
    return sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
