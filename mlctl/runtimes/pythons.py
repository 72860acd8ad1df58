"""The Python interpreters of this machine: the running one, what it has installed, and which one suits a version."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement
from packaging.specifiers import SpecifierSet

# What mlctl.scoring runs on.
OLDEST = (3, 10)
_PROBE = "import sys, venv; print('.'.join(map(str, sys.version_info[:3])))"
_PROBE_TIMEOUT_S = 20


@dataclass(frozen=True)
class Python:
    """An interpreter. version: in full, as 3.11.7."""

    path: Path
    version: str

    @property
    def minor(self) -> tuple[int, int]:
        """Major and minor version."""
        return _read_minor(self.version)


def own_python() -> Python:
    """Return the interpreter that mlctl runs in."""
    return Python(Path(sys.executable), platform.python_version())


def suits(specifier: str, version: str) -> bool:
    """Say whether a version is one that was asked for; the patch level is not looked at."""
    relaxed = re.sub(r"(===?|~=)(\d+\.\d+)\.\d[^,]*", r"==\2.*", specifier)
    return SpecifierSet(relaxed).contains(version, prereleases=True)


def is_installed_here(requirements: Iterable[str]) -> bool:
    """Say whether the running interpreter has all of these packages already, in versions that will do."""
    return all(_is_installed(text, "") for text in requirements)


def _is_installed(text: str, extra: str) -> bool:
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return False
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
        return True
    try:
        installed = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return False
    if requirement.url or not requirement.specifier.contains(installed, prereleases=True):
        return False
    return all(_has_extra(requirement.name, name) for name in requirement.extras)


def _has_extra(package: str, extra: str) -> bool:
    needed = [Requirement(text) for text in metadata.requires(package) or ()]
    asked = [one for one in needed if one.marker is not None and not one.marker.evaluate({"extra": ""})]
    return all(_is_installed(str(one), extra) for one in asked)


def list_candidates(environ: Mapping[str, str]) -> list[Path]:
    """List what looks like an interpreter new enough: on PATH, of pyenv, of uv. Nothing is started."""
    home = Path(environ.get("HOME") or Path.home())
    pyenv = Path(environ.get("PYENV_ROOT") or home / ".pyenv")
    data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    managed = Path(environ.get("UV_PYTHON_INSTALL_DIR") or data / "uv" / "python")
    folders = [Path(folder) for folder in environ.get("PATH", "").split(os.pathsep) if folder]
    folders += [Path("/usr/local/bin"), Path("/usr/bin")]
    # pyenv's shims only forward, to versions that are listed themselves.
    folders = [folder for folder in folders if folder != pyenv / "shims"]
    folders += [*sorted(pyenv.glob("versions/*/bin")), *sorted(managed.glob("*/bin"))]
    found = {path: None for folder in folders for path in sorted(folder.glob("python3.*"))}
    return [path for path in found if _name_minor(path) >= OLDEST and os.access(path, os.X_OK)]


def name_versions(candidates: Iterable[Path]) -> list[str]:
    """Name the versions that interpreters claim by their file names, each once."""
    return sorted({path.name.removeprefix("python") for path in candidates})


def is_new_enough(specifier: str) -> bool:
    """Say whether mlctl.scoring runs on any of the versions asked for."""
    return any(_could_suit(specifier, (3, minor)) for minor in range(OLDEST[1], 100))


def choose_python(specifier: str, candidates: Iterable[Path]) -> Python:
    """Return an interpreter that suits, the running one first and else the newest; without one, the nearest."""
    own = own_python()
    if suits(specifier, own.version):
        return own
    ordered = sorted({*candidates}, key=lambda path: (_name_minor(path), str(path)), reverse=True)
    fitting = [path for path in ordered if _could_suit(specifier, _name_minor(path))]
    for path in fitting:
        found = _probe(path)
        if found is not None and suits(specifier, found.version):
            return found
    wanted = _name_wanted(specifier)
    nearest = [own.path, *(path for path in ordered if path not in fitting)]
    for path in sorted(nearest, key=lambda path: _distance(path, own, wanted)):
        found = own if path == own.path else _probe(path)
        if found is not None:
            return found
    return own


def _could_suit(specifier: str, minor: tuple[int, int]) -> bool:
    return any(suits(specifier, f"{minor[0]}.{minor[1]}.{patch}") for patch in (0, 99))


def _distance(path: Path, own: Python, wanted: tuple[int, int]) -> tuple[int, bool]:
    """Order by distance from the version asked for; the running interpreter comes before others of its version."""
    minor = own.minor if path == own.path else _name_minor(path)
    return abs((minor[0] - wanted[0]) * 100 + minor[1] - wanted[1]), path != own.path


def _name_wanted(specifier: str) -> tuple[int, int]:
    found = re.search(r"(\d+)(?:\.(\d+))?", specifier)
    return (int(found[1]), int(found[2] or 0)) if found else OLDEST


def _name_minor(path: Path) -> tuple[int, int]:
    """Return the version that a file's name claims: python3.12; 0.0 for other names, such as python3.12-config."""
    found = re.fullmatch(r"python(\d+)\.(\d+)", path.name)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def _read_minor(version: str) -> tuple[int, int]:
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def _probe(path: Path) -> Python | None:
    """Start an interpreter: a file that is called python3.12 need not be one that works."""
    try:
        ran = subprocess.run(
            [str(path), "-I", "-c", _PROBE],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_PROBE_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    version = ran.stdout.strip()
    is_good = ran.returncode == 0 and re.fullmatch(r"\d+\.\d+\.\d+", version) is not None
    return Python(path, version) if is_good and _read_minor(version) >= OLDEST else None
