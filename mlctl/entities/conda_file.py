"""Conda files: what of them can be installed without conda, as requirements that pip and uv take. Pure.

Conda packages go by their PyPI name; the pip section is kept as it is; channels mean nothing here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from packaging.specifiers import InvalidSpecifier, SpecifierSet

from mlctl.entities.document import Path
from mlctl.entities.requirement_lines import split_option, strip_comment

# Conda packages whose PyPI name is another one.
PYPI_NAMES = {
    "dask-core": "dask",
    "faiss": "faiss-cpu",
    "matplotlib-base": "matplotlib",
    "msgpack-python": "msgpack",
    "opencv": "opencv-python-headless",
    "psycopg2": "psycopg2-binary",
    "py-opencv": "opencv-python-headless",
    "py-xgboost": "xgboost",
    "py-xgboost-cpu": "xgboost",
    "pytables": "tables",
    "python-graphviz": "graphviz",
    "pytorch": "torch",
    "pytorch-cpu": "torch",
    "pytorch-gpu": "torch",
    "ray-core": "ray",
    "ray-default": "ray[default]",
    "tensorflow-base": "tensorflow",
    "tensorflow-cpu": "tensorflow",
    "tensorflow-gpu": "tensorflow",
}
# Conda packages that are no Python packages: wheels bring their own of these, or the machine has them.
NOT_ON_PYPI = frozenset(
    [
        "blas",
        "bzip2",
        "c-compiler",
        "ca-certificates",
        "cpuonly",
        "cuda",
        "cuda-toolkit",
        "cudatoolkit",
        "cudnn",
        "curl",
        "cxx-compiler",
        "ffmpeg",
        "gcc",
        "gcc_linux-64",
        "git",
        "graphviz",
        "gxx",
        "gxx_linux-64",
        "icu",
        "jpeg",
        "ld_impl_linux-64",
        "libblas",
        "libcblas",
        "libffi",
        "libgcc",
        "libgcc-ng",
        "libgfortran-ng",
        "libgomp",
        "liblapack",
        "libopenblas",
        "libpng",
        "libstdcxx-ng",
        "libuuid",
        "make",
        "ncurses",
        "nccl",
        "nodejs",
        "nomkl",
        "openblas",
        "openjdk",
        "openmpi",
        "openssl",
        "python_abi",
        "pytorch-cuda",
        "pytorch-mutex",
        "readline",
        "sqlite",
        "tk",
        "tzdata",
        "xz",
        "zlib",
        "zstd",
    ]
)
# mlctl's own scoring server stands in for these; conda's pip and uv are not needed either.
STOOD_IN_FOR = frozenset({"azureml-inference-server-http", "azureml-defaults"})
_INSTALLERS = frozenset({"pip", "conda", "mamba", "uv"})

_SPEC = re.compile(
    r"(?:(?P<channel>[^\s=<>!~\[]+)::)?(?P<name>[A-Za-z0-9_][A-Za-z0-9_.\-]*)(?P<rest>.*)", flags=re.DOTALL
)
_CLAUSE = re.compile(r"(?P<operator>===|==|!=|>=|<=|~=|=|>|<)?\s*(?P<version>[A-Za-z0-9_.!+*\-]+)")
_BRACKETS = re.compile(r"\[(?P<keys>[^\]]*)\]")


@dataclass(frozen=True)
class Entry:
    """A line as pip takes it. path: where it stands in the conda file."""

    text: str
    path: Path


@dataclass(frozen=True)
class Fault:
    """Something in a conda file that is not understood."""

    path: Path
    message: str
    hint: str = ""


@dataclass
class CondaFile:
    """What a conda file asks for.

    python: a version specifier, empty for any. options: pip's option lines. left_out: conda packages that cannot be
    installed here. ignored: parts of the file that mean nothing here.
    """

    python: str = ""
    requirements: list[Entry] = field(default_factory=list[Entry])
    options: list[Entry] = field(default_factory=list[Entry])
    left_out: list[str] = field(default_factory=list[str])
    ignored: list[str] = field(default_factory=list[str])
    faults: list[Fault] = field(default_factory=list[Fault])


def parse_conda_file(data: Mapping[str, Any]) -> CondaFile:
    """Read a conda file's map; what is wrong with it is in `faults`, all of it."""
    found = CondaFile(ignored=[key for key in ("channels", "variables") if data.get(key)])
    dependencies = data.get("dependencies")
    if not isinstance(dependencies, list):
        if dependencies is not None:
            found.faults.append(Fault(("dependencies",), "must be a list", "- python=3.11"))
        return found
    for index, item in enumerate(cast("list[Any]", dependencies)):
        path: Path = ("dependencies", index)
        if isinstance(item, str):
            _add_conda_package(found, item, path)
        elif isinstance(item, Mapping) and list(cast("Mapping[str, Any]", item)) == ["pip"]:
            _add_pip_section(found, cast("Mapping[str, Any]", item)["pip"], (*path, "pip"))
        else:
            found.faults.append(Fault(path, "is neither a package nor a pip section", "- numpy=2.1, or - pip: [numpy]"))
    return found


def _add_conda_package(found: CondaFile, item: str, path: Path) -> None:
    text = strip_comment(item)
    spec = _SPEC.fullmatch(text)
    specifier = _read_version(spec["rest"]) if spec else None
    if spec is None or specifier is None:
        hint = "write it as numpy=2.1 or numpy>=2.1,<3, or move it to the pip section"
        found.faults.append(Fault(path, f'"{item}" cannot be told in pip\'s words', hint))
        return
    name = spec["name"].lower()
    if name == "python":
        found.python = specifier
    elif name in NOT_ON_PYPI or name.startswith("_"):
        found.left_out.append(text)
    elif name not in _INSTALLERS:
        _add_requirement(found, Entry(f"{PYPI_NAMES.get(name, name)}{specifier}", path))


def _read_version(rest: str) -> str | None:
    """Turn what follows a conda package's name into a specifier of pip's; None when there is no such."""
    brackets = _BRACKETS.search(rest)
    if brackets:
        version = re.search(r"version\s*=\s*['\"]?([^'\"\]]+)['\"]?", brackets["keys"])
        rest = version[1] if version else rest[: brackets.start()]
    rest = re.sub(r"\s*(===|==|!=|>=|<=|~=|,|>|<|=)\s*", r"\1", rest.strip())
    version, has_build = _drop_build(rest)
    clauses = [_read_clause(clause, is_exact=has_build) for clause in version.split(",") if clause]
    if any(clause is None for clause in clauses):
        return None
    text = ",".join(clause for clause in clauses if clause)
    try:
        SpecifierSet(text)
    except InvalidSpecifier:
        return None
    return text


def _drop_build(rest: str) -> tuple[str, bool]:
    """Take a build string off: `=1.26.4=py311_0` and `1.26.4 py311_0` name one build of one version."""
    found = re.fullmatch(r"(={0,2}[^=<>!~,\s|]+)(?:=|\s+)[A-Za-z0-9_.*]+", rest)
    return (found[1], True) if found else (rest, False)


def _read_clause(clause: str, *, is_exact: bool) -> str | None:
    """`=1.26` is any 1.26 to conda, `1.26` and `==1.26` are that version."""
    found = _CLAUSE.fullmatch(clause)
    if found is None:
        return None
    operator, version = found["operator"] or "==", found["version"]
    if version == "*":
        return ""
    stem = re.sub(r"\.?\*$", "", version)
    if operator not in ("=", "==", "!="):
        return f"{operator}{stem}"
    is_any = (operator == "=" and not is_exact) or stem != version
    # Only releases have patch levels: 1.0.post1.* is nothing that pip knows.
    suffix = ".*" if is_any and re.fullmatch(r"[0-9.]+", stem) else ""
    return f"{'!=' if operator == '!=' else '=='}{stem}{suffix}"


def _add_pip_section(found: CondaFile, section: Any, path: Path) -> None:
    lines = cast("Sequence[Any]", [section] if isinstance(section, str) else section or ())
    if not isinstance(lines, list):
        found.faults.append(Fault(path, "must be a list of packages", "- pip: [numpy, scikit-learn]"))
        return
    for index, line in enumerate(lines):
        where = (*path, index)
        if not isinstance(line, str):
            found.faults.append(Fault(where, f"{line} is not a package", 'text is needed: "numpy==2.1"'))
        elif text := strip_comment(line):
            option, value = split_option(text) or ("", "")
            if option in ("--requirement", "--editable"):
                hint = "register the environment again, from its file"
                found.faults.append(Fault(where, f"{option} {value} cannot be followed any more", hint))
            elif option:
                found.options.append(Entry(text, where))
            else:
                _add_requirement(found, Entry(text, where))


def _add_requirement(found: CondaFile, entry: Entry) -> None:
    if read_name(entry.text) not in STOOD_IN_FOR:
        found.requirements.append(entry)


def read_name(requirement: str) -> str:
    """Return a requirement's name in its normal form; empty for paths and addresses without one."""
    found = re.match(r"\s*([A-Za-z0-9][A-Za-z0-9._-]*)\s*(\[|@|;|[=<>!~(]|\s|$)", requirement)
    return re.sub(r"[-_.]+", "-", found[1]).lower() if found else ""
